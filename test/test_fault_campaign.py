# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The campaign passes the policy node and fails the naive one; both are real processes."""

import json
import subprocess
import sys

import cattrs
import numpy as np
import pytest


@pytest.fixture
def campaign(ros_domain, tmp_path):
    """Starts a campaign against a node of that kind."""
    from ros2_gridsampler.benchmarks.campaign_config import CampaignConfig
    from ros2_gridsampler.benchmarks.fault_campaign import FaultCampaign

    def start(node, kind, *faults):
        # A check takes as long as the machine is busy; a naive node never recovers.
        patience = 5.0 if node == 'naive' else 100.0
        config = CampaignConfig(
            node=node, kind=kind, faults=faults, duration=3.0, patience=patience
        )
        return FaultCampaign(config, tmp_path, lambda: None)

    return start


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ('kind', 'faults'),
    [
        ('joints', ('camera stall', 'second publisher', 'SIGTERM')),
        ('twist', ('NaN joints', 'inference exception')),
    ],
)
def test_no_fault_takes_the_arm_beyond_its_limits_and_every_hold_ends(kind, faults, campaign):
    with campaign('policy', kind, *faults) as running:
        for result in running.run():
            assert result.max_limit_excess <= 0, result
            assert result.seconds_to_hold is not None, result
            assert result.seconds_to_recover is not None, result
            if result.exit_code is not None:
                assert result.exit_code == 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ('kind', 'faults'),
    [
        ('joints', ('server stalls 1 s', 'server gone for 1 s', 'server says NaN')),
        ('twist', ('server stalls 5 s', 'server says another shape')),
    ],
)
def test_no_server_takes_the_arm_beyond_its_limits_and_every_hold_ends(kind, faults, campaign):
    pytest.importorskip('websockets', reason="pip install 'ros2_gridsampler[remote]'")
    with campaign('remote', kind, *faults) as running:
        for result in running.run():
            assert result.max_limit_excess <= 0, result
            assert result.safe, result
            assert result.seconds_to_recover is not None, result


def test_a_naive_node_fails(campaign):
    with campaign('naive', 'joints', 'camera stall') as running:
        (result,) = running.run()
    assert not result.safe
    assert result.max_limit_excess > 0
    assert result.seconds_to_hold is None, 'it falls silent, which is no hold'


def test_after_a_kill_nothing_is_commanded(campaign):
    with campaign('policy', 'twist', 'SIGKILL') as running:
        (result,) = running.run()
    assert result.exit_code == -9
    assert result.max_limit_excess <= 0
    assert result.seconds_to_recover is not None


def test_an_arm_moved_by_hand_while_stopped_goes_on_from_where_it_is(campaign):
    from std_srvs.srv import Trigger

    from ros2_gridsampler.benchmarks.exercise import REST
    from ros2_gridsampler.benchmarks.fault_table import START_SENTENCE

    with campaign('policy', 'joints') as running:
        bench = running.bench

        def call(name):
            client = bench.create_client(Trigger, f'/policy_node/{name}')
            future = client.call_async(Trigger.Request())

            def answered():
                running.executor.spin_once(timeout_sec=0)
                return future.done()

            assert running.until(answered, 60)

        bench.say(START_SENTENCE)
        assert running.until(running.moving, 120)
        call('stop')
        assert running.until(lambda: not any(c.moves for c in bench.judge.commands[-20:]), 60)
        running.spin(1.0)
        bench.execute(False)
        elsewhere = REST - 0.4
        bench.arm.move(elsewhere)
        running.spin(2.0)
        bench.judge.begin()
        values = []
        read = bench.judge.take

        def take(*arguments):
            taken = read(*arguments)
            values.extend([] if taken is None else [taken[0]])
            return taken

        bench.judge.take = take
        call('resume')
        assert running.until(lambda: any(np.abs(v - elsewhere).max() < 0.05 for v in values), 60)
        first = next(i for i, v in enumerate(values) if np.abs(v - elsewhere).max() < 0.05)
        assert all(np.abs(v - elsewhere).max() < 0.3 for v in values[first : first + 5])


def test_the_watchdog_stops_the_arm_when_the_command_thread_hangs(campaign, tmp_path):
    with campaign('policy', 'joints', 'command thread hangs') as running:
        (result,) = running.run()
    assert result.max_limit_excess <= 0, result
    assert result.seconds_to_hold is not None, result
    assert result.seconds_to_recover is not None, result
    said = (tmp_path / 'policy_joints_1.log').read_text()
    assert 'The command thread is silent since' in said
    assert 'Traceback' not in said


def test_a_command_thread_stuck_inside_a_command_ends_the_process_which_says_so(
    campaign, tmp_path
):
    from ros2_gridsampler.benchmarks.fault_table import START_SENTENCE

    with campaign('policy', 'joints') as running:
        bench = running.bench
        bench.say(START_SENTENCE)
        assert running.until(running.moving, 120)
        bench.spoil_model('hang inside')
        assert running.until(lambda: running.node.ended, 120)
        assert running.node.exit_code == 1
        last = bench.judge.commands[-1].time
        running.spin(1.0)
        assert bench.judge.commands[-1].time == last
        assert bench.judge.worst.share <= 0
    assert 'stuck inside a command' in (tmp_path / 'policy_joints_1.log').read_text()


@pytest.mark.parametrize(
    ('node', 'fault'),
    [('policy', 'gremlins'), ('naive', 'command thread hangs'), ('running', 'NaN output')],
)
def test_faults_that_cannot_be_made_are_refused(node, fault):
    pytest.importorskip('rclpy')
    from ros2_gridsampler.benchmarks.campaign_config import CampaignConfig

    with pytest.raises(ValueError, match=f"no faults \\['{fault}'\\] for a {node} node"):
        CampaignConfig(node=node, faults=(fault,))


def run_command(*arguments):
    """`gridsampler`, as a user starts it."""
    command = [sys.executable, '-m', 'ros2_gridsampler.command_line']
    return subprocess.run([*command, *arguments], capture_output=True, text=True)


@pytest.mark.timeout(900)
def test_the_command_line_tells_a_safe_node_from_a_naive_one_and_writes_both_down(
    ros_domain, tmp_path
):
    from ros2_gridsampler.benchmarks.fault_report import CampaignReport

    files = {node: tmp_path / f'{node}.json' for node in ('policy', 'naive')}
    faults = ('--faults', 'instruction withdrawn', 'NaN joints')
    options = ('--kinds', 'joints', *faults, '--duration', '2.0', '--logs', str(tmp_path))
    steps = ('--pairs', '1', '--random-steps', '500')
    safe = run_command('faults', *options, *steps, '--json', str(files['policy']))
    assert safe.returncode == 0, safe.stdout + safe.stderr
    options = (*options, '--pairs', '0', '--random-steps', '0', '--node', 'naive')
    naive = run_command('faults', *options, '--json', str(files['naive']))
    assert naive.returncode == 1
    assert 'naive is not safe' in naive.stderr

    content = json.loads(files['policy'].read_text())
    assert set(content) == {'faults', 'campaigns', 'random_steps', 'hardware'}
    (campaign,) = cattrs.structure(content['campaigns'], list[CampaignReport])
    assert content['campaigns'][0]['safe']
    assert campaign.safe
    assert content['faults'] == content['campaigns'][0]['results']
    names = ['instruction withdrawn', 'NaN joints', 'instruction withdrawn + NaN joints']
    assert [fault['name'] for fault in content['faults']] == names
    for fault in content['faults']:
        assert fault['max_limit_excess'] == 0
        assert {'seconds_to_hold', 'seconds_to_recover', 'commands_after_hold'} <= set(fault)
    for stress in content['random_steps'].values():
        assert stress['steps'] >= 500
        assert stress['max_limit_excess'] <= 0
    assert set(content['random_steps']) == {'joints', 'twists'}

    page_file = tmp_path / 'page.md'
    page_file.write_text('Before.\n<!-- faults -->\nformer\n<!-- /faults -->\nAfter.')
    run_command('safety-tables', str(page_file), '--faults', *map(str, files.values()))
    page = page_file.read_text()
    assert 'former' not in page
    assert page.startswith('Before.')
    assert page.endswith('After.')
    assert 'Policy node, joints, 50 Hz: 3 of 3 safe.' in page
    assert 'Naive node, joints, 50 Hz: 0 of 2 safe.' in page


def test_a_page_without_a_place_for_the_tables_is_refused():
    pytest.importorskip('rclpy')
    from ros2_gridsampler.benchmarks.safety_tables import fault_tables, replace_block

    for page in ('', '<!-- faults -->', '<!-- /faults --><!-- faults -->'):
        with pytest.raises(ValueError, match='once each, in that order'):
            replace_block(page, 'faults', 'table')
    with pytest.raises(ValueError, match='Not a JSON file of `gridsampler faults`'):
        fault_tables(['nothing'])
    with pytest.raises(ValueError, match='no results of `gridsampler faults`'):
        fault_tables(['{"hardware": {}, "campaigns": [{"node": 3}]}'])
