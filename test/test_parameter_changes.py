# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters set together are all taken or none is, and a check changes nothing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from policies import tiny_policy
from test_encoder_swap import keep_encoder

pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')

from ros2_gridsampler.nodes.policy_parameters import (
    LiveParameter,
    refusal_of_change,
    take_change,
)
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.policy.encoder import Encoder

NAMES = ('first', 'second', 'third')
VALUES = st.dictionaries(st.sampled_from((*NAMES, 'fixed', 'foreign')), st.integers(0, 9))


def live_parameters(bad, taken):
    """Each refuses the numbers in `bad` and appends what it takes to `taken`."""

    def live(name):
        return LiveParameter(
            lambda values: f'{name} is bad.' if values[name] in bad else '',
            lambda value: taken.append((name, value)),
        )

    return {name: live(name) for name in NAMES}


@given(VALUES, st.sets(st.integers(0, 9)), st.sampled_from(('inactive', 'active')))
def test_one_refused_value_is_the_reason_why_none_is_taken(values, bad, state):
    taken = []
    live = live_parameters(bad, taken)
    reason = refusal_of_change(values, live, {'fixed', *NAMES}, state)
    assert taken == []
    refused = [name for name in NAMES if values.get(name) in bad]
    assert bool(reason) == bool(refused or 'fixed' in values)
    if 'fixed' in values:
        assert "['fixed'] are read by configure; deactivate and clean up" in reason
    else:
        assert all(f'{name} is bad.' in reason for name in refused)


@given(VALUES)
def test_what_is_taken_is_taken_once_and_in_the_order_of_the_table(values):
    taken = []
    take_change(values, live_parameters((), taken))
    assert taken == [(name, values[name]) for name in NAMES if name in values]


@given(VALUES)
def test_an_unconfigured_node_takes_every_value_because_configure_checks_them(values):
    live = live_parameters(range(10), [])
    assert refusal_of_change(values, live, {'fixed'}, 'unconfigured') == ''
    assert refusal_of_change({'use_sim_time': True}, live, {'fixed'}, 'unconfigured') == ''
    assert 'use_sim_time' in refusal_of_change({'use_sim_time': True}, live, (), 'active')


@pytest.fixture
def node(watcher, tmp_path):
    """A configured policy node in this process, which takes measured encoders only."""
    from rclpy.parameter import Parameter

    from ros2_gridsampler.nodes.policy_node import PolicyNode

    policy = tiny_policy(sample_after=3)
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    for name in ('new', 'newer'):
        torch.manual_seed(len(name))
        keep_encoder(Encoder(policy.config.encoder).eval(), tmp_path / name)
    given = {
        'policy': str(tmp_path / 'policy'),
        'arm': 'panda',
        'camera_topics': ['/front/image', '/wrist/image'],
        'gripper_joints': ['finger'],
        'backend': 'eager',
        'autostart': False,
        'instruction': 'Lift the cup.',
        'cameras.info_timeout': 0.0,
        # Nothing is to compare on; the wish itself is what is looked at.
        'swap.shadow_time': 0.1,
    }
    made = PolicyNode(
        context=watcher.context,
        namespace='changes',
        parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
    )
    made.trigger_configure()
    assert made.get_parameter('instruction').value == 'Lift the cup.'
    yield made
    made.stop()
    made.destroy_node()


@pytest.fixture
def set_together(node):
    from rclpy.parameter import Parameter

    def change(**values):
        named = {name.replace('__', '.'): value for name, value in values.items()}
        return node.set_parameters_atomically([Parameter(n, value=v) for n, v in named.items()])

    return change


def test_a_set_of_which_one_is_refused_neither_swaps_nor_tells_anything(
    node, set_together, tmp_path
):
    before = node._swaps.about()
    for bad in ({'instruction': '?!'}, {'command_rate': 30.0}):
        result = set_together(swap__allow_unvalidated=True, encoder=str(tmp_path / 'new'), **bad)
        assert not result.successful
    assert 'command_rate' in result.reason
    # Had the encoder been allowed and asked for, the swap would have begun.
    refused = set_together(encoder=str(tmp_path / 'new'))
    assert 'was never measured with this policy' in refused.reason
    result = set_together(instruction='Lower the cup.', encoder='nowhere')
    assert not result.successful
    assert node._swaps.about() == before
    for name, value in {
        'encoder': '',
        'swap.allow_unvalidated': False,
        'instruction': 'Lift the cup.',
    }.items():
        assert node.get_parameter(name).value == value
    assert node._loop._instruction == 'Lift the cup.'


def test_a_set_that_is_not_refused_takes_effect_as_a_whole(node, set_together, tmp_path, watcher):
    folder = str(tmp_path / 'new')
    result = set_together(
        encoder=folder, swap__allow_unvalidated=True, instruction='Lower the cup.'
    )
    assert (result.successful, result.reason) == (True, '')
    assert node._loop._instruction == 'Lower the cup.'
    watcher.executor.add_node(node)
    try:
        watcher.until(lambda: node._swaps.about()['outcome'], Here)
        about = node._swaps.about()
        assert (about['tried'], about['outcome']) == (folder, 'refused')
        assert '0 observations came within 0.1 s' in about['reason']
        # The parameter says again what is in use, and saying so is no wish.
        watcher.until(lambda: node.get_parameter('encoder').value == '', Here)
        watcher.spin(0.3)
    finally:
        watcher.executor.remove_node(node)
    assert node._swaps.about() == about


def test_a_server_serves_nothing_of_a_set_that_is_refused(watcher, tmp_path):
    from rclpy.parameter import Parameter
    from std_msgs.msg import String

    from ros2_gridsampler.nodes.encoder_server_node import EncoderServerNode
    from ros2_gridsampler.nodes.topics import LATCHED

    keep_encoder(Encoder(tiny_policy().config.encoder).eval(), tmp_path / 'small')
    told = watcher.collect(String, '/changes/encoder_server/manifest', LATCHED)
    server = EncoderServerNode(
        context=watcher.context,
        namespace='changes',
        parameter_overrides=[Parameter('folder', value=str(tmp_path))],
    )
    try:
        watcher.until(lambda: told, Here)
        both = [Parameter('active', value=name) for name in ('small', 'nothing')]
        result = server.set_parameters_atomically(both)
        assert not result.successful
        assert "none of the encoders ['small']" in result.reason
        assert server.get_parameter('active').value == ''
        watcher.spin(0.5)
        assert len(told) == 1
        assert server.set_parameters_atomically(both[:1]).successful
        watcher.until(lambda: len(told) == 2, Here)
        assert told[0].data != told[1].data
    finally:
        server.destroy_node()


class Here:
    """This process, where a check wants one to name."""

    text = ''
