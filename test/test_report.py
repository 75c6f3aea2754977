# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The page of an evaluation stands alone, opens in a browser and says what was measured."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from test_evaluation import ARM, CONFIG, arm_policy, write_arm

from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.bags.bag_reader import read_topics
from ros2_gridsampler.evaluating.evaluation import evaluate_bag
from ros2_gridsampler.evaluating.evaluation_config import EvaluationConfig
from ros2_gridsampler.evaluating.evaluation_report import conclude
from ros2_gridsampler.evaluating.overlay import OverlayFilm
from ros2_gridsampler.evaluating.policy_scores import Contestant
from ros2_gridsampler.evaluating.report_page import write_index, write_page
from ros2_gridsampler.evaluating.svg_plot import histogram, lines, timeline
from ros2_gridsampler.evaluating.topic_choice import TopicChoice
from ros2_gridsampler.evaluating.topic_map import map_topics

NAMES = ('first', '<b>second</b>')


@pytest.fixture(scope='module')
def page(tmp_path_factory):
    """Folder with the page of two policies on one bag, and the report behind it."""
    pytest.importorskip('imageio_ffmpeg', reason='ffmpeg is not installed; pip install .[sim]')
    folder = tmp_path_factory.mktemp('page')
    bag = write_arm(folder / 'arm', 40)
    contestants = []
    for seed, name in enumerate(NAMES):
        policy = arm_policy(seed)
        contestants.append(
            Contestant(name, policy, policy.config, {'name': name, 'backend': 'eager'})
        )
    film = OverlayFilm(folder / 'film.mp4', contestants)
    evaluation = evaluate_bag(
        bag,
        contestants,
        map_topics(read_topics(bag), CONFIG, TopicChoice()),
        load_arm(ARM),
        EvaluationConfig(),
        clock=lambda: 0.0,
        listeners=[film],
    )
    film.close()
    report = {
        'bag': 'arm',
        'policy': contestants[0].identity,
        'arm': 'so101',
        **evaluation.report,
        'problems': ['camera front: <script>alert(1)</script>'],
    }
    report['compare']['policy'] = contestants[1].identity
    report = conclude(report)
    write_page(folder / 'report.html', report, evaluation, film.embedded())
    assert film.frames == pytest.approx(20, abs=2), 'two seconds at ten pictures a second'
    return folder, report


def in_browser(path, *options):
    """The document as a browser sees it, after its own scripts, if it had any."""
    browser = shutil.which('chromium') or shutil.which('chromium-browser')
    if browser is None:
        pytest.skip('Chromium is not installed: sudo apt-get install chromium')
    result = subprocess.run(
        [
            browser,
            *('--headless', '--no-sandbox', '--disable-gpu', '--window-size=390,800'),
            *options,
            *(f'--user-data-dir={path.parent / "profile"}', '--dump-dom', path.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    return result.stdout


def test_the_page_opens_in_a_browser_with_the_verdict_first(page):
    folder, report = page
    seen = in_browser(folder / 'report.html')
    body = seen[seen.index('<body') :]
    heading = re.search(r'<h1[^>]*>(.*?)</h1>', body, re.S)
    assert html.unescape(heading[1]) == report['verdict']
    assert not re.sub('<[^>]*>', '', body[: heading.start()]).strip()
    assert body.count('<svg') >= 3 + len(CONFIG.action_space.names)
    assert 'If inference took' in body


MEASURE = """<iframe src="report.html" style="width:390px;height:800px"></iframe><pre></pre>
<script>
document.querySelector('iframe').onload = event => {
  const page = event.target.contentDocument;
  const sizes = [...page.querySelectorAll('svg text')].map(
    text => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a);
  document.querySelector('pre').textContent = JSON.stringify(
    {wide: page.documentElement.scrollWidth, smallest: Math.min(...sizes)});
}</script>"""


def test_on_a_phone_nothing_sticks_out_and_every_text_of_a_plot_can_be_read(page):
    folder, _ = page
    (folder / 'phone.html').write_text(MEASURE)
    seen = in_browser(folder / 'phone.html', '--allow-file-access-from-files')
    measured = json.loads(html.unescape(re.search(r'<pre>(.*?)</pre>', seen)[1]))
    assert measured['wide'] <= 390
    assert measured['smallest'] >= 9.5


def test_every_plot_of_curves_has_a_legend_of_its_own(page):
    text = (page[0] / 'report.html').read_text()
    for figure in re.findall(r'<figure>.*?</figure>', text, re.S):
        assert figure.count('class="legend"') == 1
        assert '>recorded</span>' in figure


def test_the_page_loads_nothing_and_runs_nothing(page):
    folder, _ = page
    text = (folder / 'report.html').read_text()
    assert 'data:video/mp4;base64,' in text
    linked = re.findall(r'(?:src|href)="([^"]{0,40})', text)
    assert all(link.startswith('data:') for link in linked)
    assert '<script' not in text
    assert '<b>second</b>' not in text, 'a name of a checkpoint is text'
    assert 'name="viewport"' in text


def test_the_film_plays_and_shows_both_policies_side_by_side(page):
    import imageio_ffmpeg

    folder, _ = page
    frames = imageio_ffmpeg.read_frames(str(folder / 'film.mp4'))
    about = next(frames)
    width, height = about['size']
    assert about['codec'] == 'h264'
    assert width == 2 * 128 + 8
    assert height == 128
    first = np.frombuffer(next(frames), np.uint8).reshape(height, width, 3)
    assert first[:, :128].std() > 10
    assert first[:, 136:].std() > 10


def test_the_index_of_many_bags_names_those_that_failed(tmp_path, page):
    _, report = page
    bags = [{'folder': 'arm', **report}]
    write_index(tmp_path / 'report.html', report, bags, {'gone': 'it is <not> whole'})
    text = (tmp_path / 'report.html').read_text()
    assert 'href="arm/report.html"' in text
    assert 'it is &lt;not&gt; whole' in text
    write_index(tmp_path / 'none.html', {}, [], {'gone': 'x'})
    assert 'No recording could be evaluated' in (tmp_path / 'none.html').read_text()


def test_plots_leave_gaps_stay_inside_and_say_nothing_of_nothing():
    x = np.arange(10.0)
    y = np.where(x == 5, np.nan, x)
    drawing = str(lines({'a & b': (x, y)}, size=(400, 200)))
    assert drawing.count('<polyline') == 2
    assert 'a &amp; b' in drawing
    points = re.findall(r'points="([^"]*)"', drawing)
    pairs = np.array([p.split(',') for line in points for p in line.split()], float)
    assert (pairs >= 0).all()
    assert (pairs <= [400, 200]).all()
    assert str(lines({'nothing': (x, np.full(10, np.nan))})) == ''
    assert str(histogram([], label='ms')) == ''
    assert '<rect' in str(histogram([1.0, 2.0, 2.5], label='ms'))
    assert str(lines({'constant': (x, np.zeros(10))})).count('<polyline') == 1
    assert str(timeline({'gap': [(1.0, 1.0)]}, 3.0)).count('<rect') == 1
