# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The policy node as a process of its own: whatever comes in, only safe commands come out."""

import itertools
import json
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from policies import tiny_policy

from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.policy.manifest import WEIGHTS, golden_observation

NODE = 'ros2_gridsampler.nodes.policy_node'
TWIST, GRIPPER = '/policy_node/twist_command', '/policy_node/gripper_command'
PARAMETERS = {
    'arm': 'panda',
    'camera_topics': '[/front/image, /wrist/image]',
    'gripper_joints': '[finger]',
    'backend': 'eager',
    'camera_silence_timeout': 1.0,
}


@pytest.fixture
def checkpoint(tmp_path):
    """A tiny policy that always wants to go up at about 0.1 m/s."""
    policy = tiny_policy()
    with torch.no_grad():
        policy.action_head.units.mean[2] = 0.1
        policy.action_head.units.scale[:] = 0.01
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    return tmp_path / 'policy'


@pytest.fixture
def node(start_node, checkpoint):
    """A running policy node that waits for its streams."""
    return start_node(NODE, '-r', '~/instruction:=/instruction', policy=checkpoint, **PARAMETERS)


@pytest.fixture
def arm(watcher):
    from ros_watcher import FakeArm

    return FakeArm(watcher)


@pytest.fixture
def twists(watcher):
    """All twists that were commanded, as [six] arrays."""
    from geometry_msgs.msg import TwistStamped
    from ros_watcher import ALL

    from ros2_gridsampler.acting.command_message import read_twist

    seen = []
    watcher.node.create_subscription(
        TwistStamped, TWIST, lambda message: seen.append(read_twist(message, 'panda_link0')), ALL
    )
    return seen


@pytest.fixture
def diagnostics(watcher):
    """Key -> value of the newest diagnostics, and 'message'."""
    from diagnostic_msgs.msg import DiagnosticArray

    from ros2_gridsampler.nodes.topics import STATE

    newest = {}

    def store(message):
        newest.clear()
        newest.update({pair.key: pair.value for pair in message.status[0].values})
        newest['message'] = message.status[0].message
        newest['level'] = message.status[0].level

    watcher.node.create_subscription(DiagnosticArray, '/diagnostics', store, STATE)
    return newest


def moves(twists):
    """Whether the arm is being moved now."""
    return len(twists) > 3 and all(twist[2] > 0.05 for twist in twists[-3:])


def holds(twists):
    """Whether the arm is being held now."""
    return len(twists) > 3 and not any(twist.any() for twist in twists[-3:])


def test_the_arm_is_moved_and_every_stage_is_accounted_for(node, arm, watcher, twists):
    from sensor_msgs.msg import CompressedImage
    from std_msgs.msg import Float64MultiArray, String

    from ros2_gridsampler.nodes.policy_reports import TIMING_COLUMNS

    timings = watcher.collect(Float64MultiArray, '/policy_node/timing')
    grippers = watcher.collect(Float64MultiArray, GRIPPER)
    pictures = watcher.collect(CompressedImage, '/policy_node/sampled_points')
    from ros2_gridsampler.nodes.topics import LATCHED

    about = watcher.collect(String, '/policy_node/policy', LATCHED)
    arm.say('Lift the cup.')
    watcher.until(lambda: moves(twists) and len(timings) > 5 and pictures and about, node)
    for timing in timings:
        columns = timing.layout.dim[0].label.split(',')
        assert tuple(columns) == TIMING_COLUMNS
        row = dict(zip(columns, timing.data, strict=True))
        stages = [row[name] for name in ('wait', 'decode', 'inference', 'schedule')]
        assert min(stages) >= 0
        assert sum(stages) == pytest.approx(row['total'], abs=1e-6)
    assert json.loads(about[0].data)['output'] == 'twist'
    assert all(0 <= message.data[0] <= 0.08 for message in grippers)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_a_stop_within_the_limits(number, node, arm, watcher, twists):
    from ros2_gridsampler.acting.arm_limits import load_arm
    from ros2_gridsampler.files import find

    arm.say('Lift the cup.')
    watcher.until(lambda: moves(twists), node)
    assert node.end(number) == 0, node.text
    watcher.spin(0.3)
    assert not any(twist.any() for twist in twists[-4:]), 'a lost message must not move the arm'
    limits = load_arm(find('calibration', 'panda', '.yaml')).end_effector
    changes = np.linalg.norm(np.diff([twist[:3] for twist in twists[-20:]], axis=0), axis=1)
    assert (changes <= limits.max_acceleration / 50 + 1e-9).all()
    assert 'Traceback' not in node.text


def test_bad_streams_are_named_and_the_arm_holds_until_they_are_good(
    node, arm, watcher, twists, diagnostics
):
    from sensor_msgs.msg import Image

    from ros2_gridsampler.nodes.topics import STATE

    def says(*parts):
        text = node.text + ' '.join(map(str, diagnostics.values()))
        return all(part in text for part in parts)

    wrist = arm.pictures.pop('wrist')
    watcher.node.destroy_publisher(wrist)
    arm.say('Lift the cup.')
    watcher.until(lambda: says("Camera 'wrist': nobody publishes /wrist/image"), node)
    wrist = watcher.node.create_publisher(Image, '/wrist/image', STATE)
    watcher.until(lambda: says('no picture has come', 'fast_dds_profile.xml'), node)
    # Diagnostics come once a second.
    waits = "The node is inactive, not active; waiting for pictures on ['/wrist/image']"
    watcher.until(lambda: says(waits), node)
    assert not twists, 'a camera has not shown anything yet'
    assert 'sampled_points' not in node.text, 'what the node draws itself is no camera'

    def recovers():
        watcher.until(lambda: moves(twists), node)

    def spoils(*parts):
        watcher.until(lambda: says(*parts) and holds(twists), node)

    arm.pictures['wrist'] = wrist
    recovers()
    arm.joint_positions = [float('nan'), 0.1]
    spoils("not finite for joint 'finger'")
    arm.joint_names, arm.joint_positions = ['other', 'finger'], [0.1, 0.04]
    recovers()
    arm.joint_names, arm.joint_positions = ['other'], [0.1]
    # Some joints may come alone; the one that does not come gets old.
    spoils('joint states', 's old')
    arm.joint_names, arm.joint_positions = ['finger', 'finger'], [0.04, 0.04]
    spoils('names a joint twice')
    arm.joint_names, arm.joint_positions = ['finger', 'other'], [0.04, 0.1]
    recovers()
    arm.encoding = '32FC1'
    spoils("encoding '32FC1' is not supported", "'rgb8'")
    arm.encoding = 'rgb8'
    recovers()
    arm.cut = 100
    spoils('the message was cut short')
    arm.cut = 0
    recovers()
    arm.size = (64, 48)
    spoils('publishes 64x48 pictures', '96x72')
    assert 'Traceback' not in node.text
    assert node.end() == 0


def test_commands_that_nobody_takes_are_named(node, arm, watcher, diagnostics):
    from geometry_msgs.msg import TwistStamped
    from std_msgs.msg import Float64MultiArray

    from ros2_gridsampler.nodes.topics import LATCHED, STATE

    def says(*topics):
        return [f'{topic} has no subscriber' in diagnostics['message'] for topic in topics]

    arm.say('Lift the cup.')
    moving = 'holding because'
    watcher.until(lambda: not diagnostics.get(moving, 'nothing came'), node)
    watcher.until(lambda: says(TWIST) == [True], node)
    # One that wants what was said before it came does not get anything at all.
    watcher.node.create_subscription(TwistStamped, TWIST, print, LATCHED)
    watcher.spin(3.0)
    assert says(TWIST) == [True]
    twists = watcher.collect(TwistStamped, TWIST, STATE)
    watcher.until(lambda: says(TWIST, GRIPPER) == [False, True] and moves_up(twists), node)
    watcher.collect(Float64MultiArray, GRIPPER, STATE)
    watcher.until(lambda: diagnostics['message'] == 'active', node)


def moves_up(messages):
    return bool(messages) and messages[-1].twist.linear.z > 0.05


def test_any_sentence_is_obeyed_and_one_without_words_holds_the_arm(node, arm, watcher, twists):
    for sentence in (
        '拿起黄色的瓶子',
        'Возьми чашку',
        'ارفع الكوب',
        'e\u0301te\u0301',
        'x' * 5000,
    ):
        arm.say(sentence)
        watcher.until(lambda: moves(twists), node)
        arm.say('🤖!')
        watcher.until(lambda: holds(twists), node)
    assert 'needs at least one word' in node.text
    assert node.end() == 0


def test_a_sentence_is_heard_of_whoever_latches_it_and_of_whoever_does_not(
    node, arm, watcher, twists, diagnostics
):
    from std_msgs.msg import String

    arm.say('Lift the cup.')  # before the node is there
    watcher.until(lambda: moves(twists), node)
    # Like `ros2 topic pub`.
    volatile = watcher.node.create_publisher(String, '/instruction', 10)
    watcher.until(volatile.get_subscription_count, node)
    for sentence in ('Lower the cup.', 'Turn the cup.'):
        volatile.publish(String(data=sentence))
        watcher.until(lambda said=sentence: diagnostics.get('instruction') == said, node)
        watcher.until(lambda: moves(twists), node)
    said = [line for line in node.text.splitlines() if 'Instruction:' in line]
    assert len(said) == 3, 'twice heard, once obeyed'
    assert 'incompatible QoS' not in node.text
    assert node.end() == 0


@pytest.mark.parametrize('joint', [0.0, 0.8])
def test_the_first_hold_keeps_a_gripper_as_it_is_though_its_joint_closes_it(
    joint, start_node, checkpoint, tmp_path, arm, watcher, diagnostics
):
    from std_msgs.msg import Float64MultiArray

    from ros2_gridsampler.files import find

    text = find('calibration', 'panda', '.yaml').read_text()
    mapped = 'max_opening: 0.08\n  scale: -0.1\n  offset: 0.08'
    (tmp_path / 'arm.yaml').write_text(text.replace('max_opening: 0.08', mapped))
    grippers = watcher.collect(Float64MultiArray, GRIPPER)
    arm.joint_positions = [joint, 0.1]
    parameters = {**PARAMETERS, 'policy': checkpoint, 'arm': tmp_path / 'arm.yaml'}
    node = start_node(NODE, **parameters)
    watcher.until(lambda: len(grippers) > 5, node)
    # Commanded as its joint is, in the units of the joint.
    assert [message.data[0] for message in grippers] == pytest.approx(
        [joint] * len(grippers), abs=1e-9
    )
    arm.joint_positions = [-0.8, 0.1]
    watcher.until(lambda: 'an opening of 0.1600 m, expected 0 to' in node.text, node)
    watcher.until(lambda: 'measured state' in diagnostics.get('holding because', ''), node)
    assert node.end() == 0


def test_few_commands_a_second_are_no_silence(start_node, checkpoint, arm, watcher, twists):
    parameters = {**PARAMETERS, 'policy': checkpoint, 'command_rate': 2.0}
    node = start_node(NODE, '-r', '~/instruction:=/instruction', **parameters)
    arm.say('Lift the cup.')
    watcher.until(lambda: moves(twists), node)
    watcher.spin(3.0)
    watcher.until(lambda: moves(twists), node)
    assert 'is silent' not in node.text


def test_stop_and_resume_pause_the_arm(node, arm, watcher, twists):
    from std_srvs.srv import Trigger

    arm.say('Lift the cup.')
    watcher.until(lambda: moves(twists), node)
    assert watcher.call(Trigger, '/policy_node/stop', Trigger.Request(), node).success
    watcher.until(lambda: holds(twists), node)
    assert watcher.call(Trigger, '/policy_node/resume', Trigger.Request(), node).success
    watcher.until(lambda: moves(twists), node)


def test_chunks_of_a_policy_that_can_go_on_from_what_is_commanded(
    start_node, tmp_path, arm, watcher, twists
):
    from ros_watcher import ALL
    from trajectory_msgs.msg import JointTrajectory

    from ros2_gridsampler.acting.action_chunk import ActionChunk
    from ros2_gridsampler.acting.command_message import read_joint_trajectory
    from ros2_gridsampler.seeing.camera_message import stamp_seconds

    policy = tiny_policy(head='continuing', steps=40)
    with torch.no_grad():
        policy.action_head.units.scale[:] = 0.02
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    config = policy.config
    names, period = config.action_space.names, config.period
    chunks = []

    def take(message):
        targets = read_joint_trajectory(message, names)
        chunks.append(ActionChunk(stamp_seconds(message.header.stamp), period, targets))

    watcher.node.create_subscription(JointTrajectory, '/policy_node/action_chunk', take, ALL)
    parameters = {**PARAMETERS, 'policy': tmp_path / 'policy', 'schedule__blend_time': 0.0}
    node = start_node(NODE, '-r', '~/instruction:=/instruction', **parameters)
    arm.say('Lift the cup.')
    watcher.until(lambda: len(chunks) > 60, node)
    assert node.end() == 0, node.text
    free = policy.predict(golden_observation(config)).chunk.targets
    assert np.abs(free[1:] - free[0]).max() > 1e-3, 'it would jump by itself'
    # While the node holds there is nothing to go on from; the first chunks are such.
    jumps = [
        np.abs(new.targets[0] - old.at(new.start_time)).max()
        for old, new in itertools.pairwise(chunks[-40:])
        if new.start_time <= old.end_time
    ]
    assert np.median(jumps) < 1e-6
    assert 'Traceback' not in node.text


@pytest.mark.timeout(600)
def test_a_clock_that_jumps_stands_still_or_starts_anew_holds_the_arm_inside_its_limits(
    start_node, checkpoint, arm, watcher, twists
):
    from ros_watcher import SimulatedClock

    from ros2_gridsampler.acting.arm_limits import load_arm
    from ros2_gridsampler.files import find

    clock = SimulatedClock(watcher, start=100.0)
    arm.now = clock.now
    parameters = {**PARAMETERS, 'policy': checkpoint, 'use_sim_time': True}
    node = start_node(NODE, '-r', '~/instruction:=/instruction', **parameters)
    arm.say('Lift the cup.')
    watcher.until(lambda: moves(twists), node)

    def upset(act):
        # Which stream or clock is noticed first is chance; each leads to a hold.
        before = node.text.count('-> HOLD')
        act()
        watcher.until(lambda: node.text.count('-> HOLD') > before and holds(twists), node)

    upset(lambda: clock.set(clock.seconds() + 10))
    watcher.until(lambda: moves(twists), node)
    upset(lambda: clock.set(clock.seconds() - 10))
    watcher.until(lambda: moves(twists), node)
    upset(clock.stop)
    clock.go_on()
    watcher.until(lambda: moves(twists), node)
    # The simulation was started again.
    upset(lambda: clock.set(0.5))
    watcher.until(lambda: moves(twists), node)
    limits = load_arm(find('calibration', 'panda', '.yaml')).end_effector
    changes = np.linalg.norm(np.diff([twist[:3] for twist in twists], axis=0), axis=1)
    assert (changes <= limits.max_acceleration / 50 + 1e-9).all()
    assert node.end() == 0, node.text
    assert 'Traceback' not in node.text


def test_what_does_not_fit_is_refused_at_configure_and_nothing_is_commanded(
    start_node, checkpoint, tmp_path, watcher, arm
):
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState, GetState
    from rcl_interfaces.srv import SetParameters, SetParametersAtomically
    from rclpy.parameter import Parameter

    flipped = tmp_path / 'flipped'
    save_checkpoint(tiny_policy(), flipped, training={}, results={})
    data = bytearray((flipped / WEIGHTS).read_bytes())
    data[len(data) // 2] ^= 1
    (flipped / WEIGHTS).write_bytes(data)
    parameters = {**PARAMETERS, 'policy': checkpoint, 'autostart': False}
    node = start_node(NODE, **parameters)

    def change(name):
        request = ChangeState.Request()
        request.transition.id = getattr(Transition, f'TRANSITION_{name}')
        return watcher.call(ChangeState, '/policy_node/change_state', request, node).success

    def set_parameter(name, value):
        message = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[message])
        return watcher.call(SetParameters, '/policy_node/set_parameters', request, node).results[0]

    def state():
        request = GetState.Request()
        return watcher.call(GetState, '/policy_node/get_state', request, node).current_state.label

    cameras = ['/front/image', '/wrist/image']
    for name, bad, good, reason in (
        ('policy', str(flipped), str(checkpoint), 'the file was changed or cut'),
        (
            'camera_topics',
            ['/front/image'],
            cameras,
            "looks through the cameras ['front', 'wrist']",
        ),
        ('arm', 'ur5e', 'panda', 'has no limits for both'),
        ('arm', 'nothing', 'panda', "is neither a path nor one of ['fr3', 'g1', 'panda'"),
        ('output', 'joint_trajectory', '', 'cannot be sent as'),
        ('backend', 'telepathy', 'eager', "Parameter 'backend' is 'telepathy'; choose one of"),
        ('camera_topics', ['/front/image', '[/wrist]'], cameras, 'Invalid topic name'),
        ('cameras.info_topics', ['/info'], ['/a', '/b'], 'names 1 topics for 2 cameras'),
        ('cameras.calibrations', ['nowhere'] * 2, [''] * 2, "'nowhere' is neither a path nor"),
        ('check_following', False, True, 'an arm whose time is the real one has to be watched'),
    ):
        assert set_parameter(name, bad).successful
        assert not change('CONFIGURE')
        assert reason in node.text
        assert state() == 'unconfigured'
        watcher.until(lambda: watcher.node.count_publishers(TWIST) == 0, node)
        for topic in ('/policy_node/instruction', cameras[0]):
            watcher.until(lambda: watcher.node.count_subscribers(topic) == 0, node)  # noqa: B023
        assert set_parameter(name, good).successful
    assert not change('ACTIVATE'), 'an unconfigured node cannot be activated'
    assert change('CONFIGURE')
    refused = set_parameter('arm', 'g1')
    assert not refused.successful
    assert 'read by configure' in refused.reason
    # What is refused by the one time could go on by the other.
    refused = set_parameter('use_sim_time', True)
    assert not refused.successful
    assert 'read by configure' in refused.reason
    refused = set_parameter('encoder', '~nobody_of_that_name/encoder')
    assert not refused.successful
    message = Parameter('policy', value='other').to_parameter_msg()
    message.value.type = 77
    for kind in (SetParameters, SetParametersAtomically):
        name = '/policy_node/set_parameters' + '_atomically' * (kind is SetParametersAtomically)
        answer = watcher.call(kind, name, kind.Request(parameters=[message]), node)
        (refused,) = getattr(answer, 'results', None) or [answer.result]
        assert not refused.successful
        assert 'a type that does not exist' in refused.reason
    assert change('ACTIVATE')
    assert not change('CONFIGURE')
    assert change('DEACTIVATE')
    assert change('CLEANUP')
    assert state() == 'unconfigured'
    assert node.end() == 0
    assert 'Traceback' not in node.text


STUCK = """
from ros2_gridsampler.nodes.node_setup import run
from ros2_gridsampler.nodes.policy_node import PolicyNode

class Loop:
    gives_up = ''
    commanding = True
    def destroy(self):
        raise RuntimeError('the command thread is stuck')

class Stuck(PolicyNode):
    finished = True
    def __init__(self):
        super().__init__()
        self._loop = Loop()

raise SystemExit(run(Stuck))
"""


def test_an_arm_that_could_not_be_stopped_is_a_failure(ros_domain):
    done = subprocess.run(
        [sys.executable, '-c', STUCK], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    assert 'the command thread is stuck' in done.stderr


def test_what_nobody_foresaw_in_a_transition_stays_in_the_diagnostics(watcher, diagnostics):
    from diagnostic_msgs.msg import DiagnosticStatus

    from ros2_gridsampler.nodes.policy_node import PolicyNode

    class Broken(PolicyNode):
        def _configure(self):
            raise KeyError('unforeseen')

    # rclpy lets a lifecycle node of this process stay in the graph: not under the tests' name.
    node = Broken(context=watcher.context, namespace='broken')
    watcher.executor.add_node(node)
    try:
        watcher.until(lambda: diagnostics, SimpleNamespace(text=''), 10)
    finally:
        watcher.executor.remove_node(node)
        node.destroy_node()
    assert diagnostics['state'] == 'unconfigured'
    assert diagnostics['level'] == DiagnosticStatus.ERROR
    assert "KeyError: 'unforeseen'" in diagnostics['message']


def test_a_node_that_shall_run_and_does_not_is_a_warning_until_it_is_asked_to_leave(
    node, watcher, diagnostics
):
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    watcher.until(
        lambda: 'waiting for pictures' in diagnostics.get('not active because', ''), node
    )
    assert diagnostics['level'] == b'\x01'
    request = ChangeState.Request()
    request.transition.id = Transition.TRANSITION_CLEANUP
    assert watcher.call(ChangeState, '/policy_node/change_state', request, node).success
    watcher.until(lambda: diagnostics.get('message') == 'unconfigured', node)
    assert diagnostics['level'] == b'\x00'


def test_two_nodes_of_one_name_are_named_in_the_diagnostics(node, watcher, diagnostics):
    import rclpy

    def told():
        return 'other node(s) are called /policy_node too' in diagnostics.get('message', '')

    # Nodes that other tests have killed are seen for a while.
    watcher.until(lambda: diagnostics and not told(), node)
    elsewhere = rclpy.create_node('policy_node', namespace='left', context=watcher.context)
    watcher.spin(2.0)
    assert not told()
    elsewhere.destroy_node()
    twin = rclpy.create_node('policy_node', context=watcher.context)
    watcher.until(told, node)
    assert diagnostics['level'] == b'\x01'
    twin.destroy_node()
    watcher.until(lambda: not told(), node)
    assert node.end() == 0


def test_a_commanded_pose_waits_for_the_arm_and_stays_in_the_workspace(
    start_node, checkpoint, watcher, arm
):
    from geometry_msgs.msg import PoseStamped

    from ros2_gridsampler.acting.arm_limits import load_arm
    from ros2_gridsampler.files import find

    top = load_arm(find('calibration', 'panda', '.yaml')).end_effector.workspace_max[2]
    arm.position[2] = begin = top - 0.15
    heights = []
    follows = False

    def take(message):
        heights.append(message.pose.position.z)
        if follows:
            arm.position[2] = heights[-1]

    watcher.node.create_subscription(PoseStamped, '/policy_node/pose_command', take, 1000)
    parameters = {**PARAMETERS, 'policy': checkpoint, 'output': 'pose', 'max_tracking_error': 0.02}
    node = start_node(NODE, '-r', '~/instruction:=/instruction', **parameters)
    arm.say('Lift the cup.')
    watcher.until(lambda: 'behind the commanded pose' in node.text, node)
    assert heights[0] == pytest.approx(begin, abs=0.01)
    assert max(heights) < begin + 0.08, 'the arm stood still, the pose went on'
    falls = 1 + np.flatnonzero(np.diff(heights) < 0)
    assert all(heights[i] == pytest.approx(begin) for i in falls), 'it begins anew where it is'
    # 0.1 m/s at 50 Hz; a few messages may be missing in between.
    assert max(np.diff(heights)) < 0.02
    follows = True
    watcher.until(lambda: heights[-1] > top - 0.02, node)
    watcher.spin(2.0)
    assert max(heights) <= top + 1e-6
    assert node.end() == 0


def test_the_monitor_shows_what_the_node_says_of_itself(node, arm, watcher, twists):
    import io

    from rich.console import Console

    from ros2_gridsampler.nodes.monitor import run_monitor

    watcher.until(lambda: twists, node)
    console = Console(file=io.StringIO(), width=160)
    run_monitor('/policy_node', once=True, console=console)
    text = console.file.getvalue()
    for part in ('streams', 'timing', 'safety', 'deadlines missed', 'rung', "camera 'front'"):
        assert part in text
    with pytest.raises(TimeoutError, match='is it running'):
        run_monitor('/nobody', once=True, console=console)
