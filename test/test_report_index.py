# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The page of many recordings: what is wrong with each in words, in any order, in one file."""

import html
import json
import re

import pytest
from arm_recordings import run_command, write_arm
from test_evaluation import Operator, evaluate
from test_report import in_browser

from ros2_gridsampler.evaluating.evaluation_report import conclude, merge
from ros2_gridsampler.evaluating.metrics import METRICS
from ros2_gridsampler.evaluating.report_page import write_index
from ros2_gridsampler.policy.checkpoint import save_checkpoint

LONG = 'pick_up_the_yellow_bottle_' * 4
LOST = 'run_0.mcap is not whole. 200 messages could be read, the rest is lost.'


@pytest.fixture(scope='module')
def known(tmp_path_factory):
    """The report of one bag, as a page of several wants it."""
    bag = write_arm(tmp_path_factory.mktemp('bags') / 'arm')
    report = evaluate(bag, Operator(off=0.01)).report
    return {'policy': {'name': 'a', 'backend': 'eager'}, 'arm': 'so101', **report}


def many(known, count):
    """Reports of which every fifth is not whole, and every seventh has a black camera."""
    bags = []
    for index in range(count):
        report = json.loads(json.dumps(known))
        name = f'{LONG[: 100 - 4]}_{index:03d}'
        report['mean_absolute_error_overall']['policy'] = 0.001 * ((index * 37) % count + 1)
        if index % 5 == 4:
            report |= {'complete': False, 'problems': [LOST]}
        if index % 7 == 6:
            dark = ['Look at camera front: all frames are black.']
            report |= {'frames_dark': report['frames'], 'look_at': dark}
        bags.append({'folder': name, **conclude({**report, 'bag': name})})
    return bags


def write(path, bags):
    merged = conclude({key: bags[0][key] for key in ('policy', 'arm')} | merge(bags))
    write_index(path, merged, bags, {'gone': 'it is <not> whole'})
    return path.read_text()


def test_the_index_says_of_each_bag_what_is_wrong_and_what_its_columns_are(tmp_path, known):
    bags = many(known, 14)
    text = write(tmp_path / 'report.html', bags)
    assert text.count('class="words"') == sum(bool(b['problems']) or not b['judged'] for b in bags)
    assert text.count(LOST) == 2
    assert text.count('>not whole</span>') == 2
    assert text.count('>no verdict</span>') == 2
    assert 'it is &lt;not&gt; whole' in text
    legend = re.search(r'<dl>(.*?)</dl>', text, re.S)[1]
    columns = {row.column for metric in METRICS for row in metric.rows(known) if row.column}
    assert {'error', 'step 1', 'step 5', 'CI-MSE', 'gripper'} <= columns
    for column in columns:
        assert f'<dt>{column}</dt>' in legend
        assert f'{column}</label>' in text
    assert '<script' not in text


def test_five_hundred_bags_with_long_names_are_one_page_of_less_than_two_megabytes(
    tmp_path, known
):
    bags = many(known, 500)
    text = write(tmp_path / 'report.html', bags)
    assert len(text.encode()) < 2e6
    assert all(len(bag['bag']) == 100 and bag['bag'] in text for bag in bags)


PRESS = """<iframe src="report.html" style="width:1200px;height:4000px"></iframe><pre></pre>
<script>
document.querySelector('iframe').onload = event => {
  const page = event.target.contentDocument, found = {};
  const read = () => [...page.querySelectorAll('tbody tr')]
    .map(row => [row.children[0].getBoundingClientRect().top, row.children[2].innerText])
    .sort((a, b) => a[0] - b[0]).map(pair => parseFloat(pair[1]));
  page.querySelector('#s2').click();
  found.rising = read();
  page.querySelector('#last').click();
  found.falling = read();
  const name = page.querySelector('tbody td a');
  found.wide = page.documentElement.scrollWidth;
  found.sticks_out = name.getBoundingClientRect().right > page.querySelectorAll('tbody td')[1]
    .getBoundingClientRect().right;
  document.querySelector('pre').textContent = JSON.stringify(found);
}</script>"""


def test_a_click_on_a_heading_sorts_the_rows_without_a_script(tmp_path, known):
    write(tmp_path / 'report.html', many(known, 12))
    (tmp_path / 'press.html').write_text(PRESS)
    seen = in_browser(tmp_path / 'press.html', '--allow-file-access-from-files')
    found = json.loads(html.unescape(re.search(r'<pre>(.*?)</pre>', seen)[1]))
    assert found['rising'] == sorted(found['rising'])
    assert found['rising'][0] < found['rising'][-1]
    assert found['falling'] == found['rising'][::-1]
    assert not found['sticks_out']
    assert found['wide'] <= 1200


class Looker(Operator):
    """Knows what the operator will do as long as it sees the pictures, which are noise here."""

    def predict(self, observation):
        sees = observation.images['front'].std() > 30
        return Operator(late=0.0 if sees else 0.2).predict(observation)


def test_without_its_pictures_a_policy_that_looks_is_worse_and_another_one_is_not(tmp_path):
    from ros2_gridsampler.evaluating.evaluation_config import EvaluationConfig

    bag = write_arm(tmp_path / 'arm')
    config = EvaluationConfig(latency_ms=20.0, without_pictures=True)
    reports = []
    for number, policy in enumerate((Looker(), Operator(off=0.01))):
        report = evaluate(bag, policy, config=config).report
        plain = evaluate(bag, policy).report
        assert report['mean_absolute_error'] == plain['mean_absolute_error']
        reports.append(conclude({'arm': 'so101', 'bag': f'{number}', **report}))
    looks, not_so = (report['without_pictures'] for report in reports)
    assert looks['verdict'].startswith('The pictures matter: without them the mean error is 0.')
    assert looks['share_of_gain'] > 0.5
    assert not_so['share_of_gain'] == 0
    assert not_so['verdict'].startswith('The pictures hardly matter here')
    for name, error in looks['mean_absolute_error'].items():
        held = reports[0]['mean_absolute_error'][name]
        if name != 'policy':
            assert error == held, 'the baselines are those of the same frames'
    merged = conclude({'arm': 'so101', **merge(reports)})
    assert merged['without_pictures']['verdict'].startswith('The pictures matter')


def test_the_command_has_a_blind_row_and_its_page_too(tmp_path, capsys):
    from arm_recordings import arm_policy

    save_checkpoint(arm_policy(), tmp_path / 'policy', training={}, results={})
    bag = write_arm(tmp_path / 'arm', 20)
    options = {'bag': False, 'without_pictures': True}
    assert run_command((bag,), tmp_path / 'policy', tmp_path / 'out', **options) == 0
    assert 'without them the mean error is' in capsys.readouterr().out
    text = (tmp_path / 'out/report.html').read_text()
    assert '<th class="n">without pictures</th>' in text
    row = re.search(r'<td class="name">mean absolute error, whole chunk</td>(.*?)</tr>', text)[1]
    assert row.count('<td') == 4, 'policy, without pictures, hold action, hold state'
