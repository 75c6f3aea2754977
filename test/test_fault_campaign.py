# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The campaign passes the policy node and fails the naive one; both are real processes."""

import numpy as np
import pytest


@pytest.fixture
def campaign(ros_domain, tmp_path):
    """Starts a campaign against a node of that kind."""
    from ros2_gridsampler.nodes.fault_campaign import CampaignConfig, FaultCampaign

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

    from ros2_gridsampler.nodes.exercise import REST
    from ros2_gridsampler.nodes.fault_table import START_SENTENCE

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
        assert running.until(lambda: not any(c.moves for c in bench.commands[-20:]), 60)
        running.spin(1.0)
        bench.arm.command = lambda kind, values, time: None
        elsewhere = REST - 0.4
        bench.arm.move(elsewhere)
        running.spin(2.0)
        bench.begin()
        values = []
        bench.arm.command = lambda kind, sent, time: values.append(sent)
        call('resume')
        assert running.until(lambda: any(np.abs(v - elsewhere).max() < 0.05 for v in values), 60)
        first = next(i for i, v in enumerate(values) if np.abs(v - elsewhere).max() < 0.05)
        assert all(np.abs(v - elsewhere).max() < 0.3 for v in values[first : first + 5])


def test_faults_that_do_not_exist_are_refused():
    pytest.importorskip('rclpy')
    from ros2_gridsampler.nodes.fault_campaign import CampaignConfig

    with pytest.raises(ValueError, match="no faults \\['gremlins'\\]"):
        CampaignConfig(faults=('gremlins',))
