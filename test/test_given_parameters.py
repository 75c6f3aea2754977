# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a person gives a node at its start is read, or refused by a sentence with the cure."""

import subprocess
import sys

import pytest
import torch
import yaml
from policies import tiny_policy

pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')

from hypothesis import given
from hypothesis import strategies as st

from ros2_gridsampler.nodes.given_parameters import _applies, _sections
from ros2_gridsampler.policy.checkpoint import save_checkpoint

NODE = 'ros2_gridsampler.nodes.policy_node'


@pytest.fixture
def refusal(ros_domain):
    """What a policy node that was started with some arguments says last; it must end with 1."""

    def start(*arguments, module=NODE):
        done = subprocess.run(
            [sys.executable, '-m', module, '--ros-args', *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        assert 'Traceback' not in done.stderr
        return done.stderr.strip().splitlines()[-1]

    return start


@pytest.mark.parametrize(
    ('name', 'near'),
    [
        ('stream.max_age', 'streams.max_age'),
        ('max_age', 'streams.max_age'),
        ('comand_rate', 'command_rate'),
        ('gripper_joint', 'gripper_joints'),
    ],
)
def test_a_misspelt_parameter_is_refused_with_the_nearest_right_one(refusal, name, near):
    said = refusal('-p', f'{name}:=1.0')
    assert f"has no parameter '{name}' (given: 1.0); did you mean '{near}'?" in said


def test_a_parameter_of_nothing_like_it_is_refused_too(refusal):
    assert "has no parameter 'zzz' (given: True); leave it out." in refusal('-p', 'zzz:=true')
    said = refusal('-p', 'bags:=x', module='ros2_gridsampler.nodes.replay_node')
    assert "replay_node has no parameter 'bags' (given: 'x'); did you mean 'bag'?" in said


def test_words_with_commas_are_no_list_and_the_sentence_shows_one(refusal):
    said = refusal('-p', 'camera_topics:=/front,/wrist')
    assert 'it is a list, so write "[/front,/wrist]", with brackets' in said


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('other_node:\n  ros__parameters: {policy: p}', "['/other_node'], and this node is '/pol"),
        ('left:\n  policy_node:\n    ros__parameters: {policy: p}', "['/left/policy_node']"),
        ('{}', 'holds parameters of []'),
        ('policy_node:\n  policy: p', "Write the node's name, below it ros__parameters"),
        ('policy_node: [', "Write the node's name, below it ros__parameters"),
        (None, 'There is no such file, or it cannot be read; check its path.'),
    ],
)
def test_a_parameter_file_that_holds_nothing_for_the_node_is_refused(
    refusal, tmp_path, text, words
):
    path = tmp_path / 'parameters.yaml'
    if text is not None:
        path.write_text(text)
    said = refusal('--params-file', path)
    assert words in said
    assert str(path) in said


def test_a_parameter_file_for_everybody_is_read(refusal, tmp_path):
    path = tmp_path / 'parameters.yaml'
    # Lists as launch writes them.
    tuple_ = '!!python/tuple [/front, /wrist]'
    path.write_text(
        f'/**:\n  ros__parameters: {{policy: nowhere, arm: panda, camera_topics: {tuple_}}}'
    )
    assert "'nowhere' is neither a path nor" in refusal('--params-file', path)


def test_other_words_that_ros_does_not_take_end_in_a_sentence(refusal):
    assert 'Write debug, info, warn, error or fatal.' in refusal('--log-level', 'loud')
    assert 'Write -p NAME:=VALUE' in refusal('-p', 'policy')


WORD = st.text('ab_', min_size=1, max_size=3)


@given(st.lists(WORD, min_size=1, max_size=3))
def test_a_section_is_for_a_node_by_its_whole_name_or_by_wildcards(words):
    name = '/' + '/'.join(words)
    nested: dict = {'ros__parameters': {}}
    for word in reversed(words):
        nested = {word: nested}
    (section,) = _sections(yaml.compose(yaml.safe_dump(nested)), '')
    assert section == name
    for pattern in (name, '/**', f'/**/{words[-1]}', '/*' * len(words)):
        assert _applies(pattern, name)
    for pattern in (f'{name}x', f'/x{name}', '/*' * (len(words) + 1), f'/**/{words[-1]}x'):
        assert not _applies(pattern, name)


@pytest.fixture
def checkpoint(tmp_path):
    policy = tiny_policy()
    with torch.no_grad():
        policy.action_head.units.mean[2] = 0.1
        policy.action_head.units.scale[:] = 0.01
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    return tmp_path / 'policy'


def test_an_instruction_may_be_a_parameter_and_be_changed_while_the_arm_moves(
    start_node, checkpoint, watcher
):
    from geometry_msgs.msg import TwistStamped
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter
    from ros_watcher import ALL, FakeArm

    node = start_node(
        NODE,
        policy=checkpoint,
        arm='panda',
        camera_topics='[/front/image, /wrist/image]',
        gripper_joints='[finger]',
        backend='eager',
        instruction='Lift the cup.',
    )
    arm = FakeArm(watcher)
    twists = watcher.collect(TwistStamped, '/policy_node/twist_command', ALL)

    def moves():
        return len(twists) > 3 and twists[-1].twist.linear.z > 0.05

    def say(sentence, name='instruction'):
        message = Parameter(name, value=sentence).to_parameter_msg()
        request = SetParameters.Request(parameters=[message])
        return watcher.call(SetParameters, '/policy_node/set_parameters', request, node).results[0]

    watcher.until(moves, node)
    assert arm.frames
    refused = say('?!')
    assert not refused.successful
    assert 'at least one word' in refused.reason
    refused = say('lift ' * 21)
    assert not refused.successful
    assert 'has 21 words, and this policy reads at most 20' in refused.reason
    assert say('').successful
    watcher.until(lambda: twists[-1].twist.linear.z == 0, node)
    assert say('Lower the cup.').successful
    watcher.until(moves, node)
    assert "Instruction: 'Lower the cup.'" in node.text
    # What a refusal of an encoder advises can be done where it is read; nothing else can.
    assert say(True, 'swap.allow_unvalidated').successful
    assert 'read by configure' in say(20.0, 'command_rate').reason
    assert 'incompatible QoS' not in node.text
    assert node.end() == 0
