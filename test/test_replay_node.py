# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A recording of a real robot, played to the live node over DDS, gives what it gives offline."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from policies import tiny_policy

from ros2_gridsampler.acting.action_chunk import ActionSpace
from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.acting.command_message import read_joint_trajectory
from ros2_gridsampler.bags.bag_reader import read_messages
from ros2_gridsampler.bags.bag_writer import BagWriter
from ros2_gridsampler.bags.observation_replay import StreamTopics, read_observations
from ros2_gridsampler.policy.checkpoint import load_checkpoint, save_checkpoint
from ros2_gridsampler.policy.policy import Policy
from ros2_gridsampler.policy.policy_config import Statistics
from ros2_gridsampler.seeing.observation_buffer import ObservationBuffer
from ros2_gridsampler.seeing.stream_health import StreamBudget
from ros2_gridsampler.simulation import arm_messages
from ros2_gridsampler.simulation.arm_state import JOINT_NAMES, ArmState

CAMERA = '/camera/high/image_raw/compressed'
TOPICS = StreamTopics({'high': CAMERA})
ARM = Path(__file__).parents[1] / 'calibration/g1.yaml'
COMMAND_RATE = 50.0


@pytest.fixture
def bag(shared_bag):
    return shared_bag('g1_real_bottle_010')


def g1_policy(bag):
    """Random weights; 26 joints, one camera of 320x240, actions around the first pose."""
    first = next(m.message for m in read_messages(bag, ['/joint_states']))
    names = tuple(first.name)
    mean = tuple(first.position.tolist())
    config = dataclasses.replace(
        tiny_policy().config,
        cameras=('high',),
        resolution=(320, 240),
        joints=names,
        uses_pose=False,
        action_space=ActionSpace('joint_position', names),
        steps=16,
        period=1 / 30,
        proprioception_statistics=Statistics(mean, (0.3,) * len(names)),
        action_statistics=Statistics(mean, (0.3,) * len(names)),
    )
    return Policy(config).eval()


def test_a_real_recording_gives_the_same_chunks_live_and_offline(
    bag, tmp_path, watcher, start_node
):
    from ros_watcher import ALL
    from trajectory_msgs.msg import JointTrajectory

    save_checkpoint(g1_policy(bag), tmp_path / 'policy', training={}, results={})
    policy, _ = load_checkpoint(tmp_path / 'policy')
    names = policy.config.action_space.names
    buffer = ObservationBuffer(policy.config.observation, StreamBudget())
    offline = [policy.predict(o).chunk for o in read_observations(bag, TOPICS, buffer)]
    frames = sum(1 for _ in read_messages(bag, [CAMERA]))
    assert len(offline) == frames

    chunks = watcher.collect(JointTrajectory, '/policy_node/action_chunk')
    commands = []
    watcher.node.create_subscription(
        JointTrajectory,
        '/policy_node/joint_trajectory',
        lambda message, about: commands.append((about['publication_sequence_number'], message)),
        ALL,
    )
    live = start_node(
        'ros2_gridsampler.nodes.policy_node',
        *('-r', '~/instruction:=/instruction'),
        policy=tmp_path / 'policy',
        arm=ARM,
        backend='eager',
        camera_topics=f'[{CAMERA}]',
        command_rate=COMMAND_RATE,
        use_sim_time=True,
        reliable_streams=True,
        check_following=False,
    )
    topics = ('/policy_node/action_chunk', '/policy_node/joint_trajectory')
    watcher.until(lambda: all(watcher.node.count_publishers(topic) for topic in topics), live)
    watcher.until(lambda: 'is ready' in live.text, live)
    player = start_node(
        'ros2_gridsampler.nodes.replay_node', bag=bag, lockstep=True, rate=3.0, chunk_timeout=10.0
    )
    watcher.until(lambda: not player.running, player, 200)
    assert player.wait() == 0, player.text
    assert '0 pictures unanswered' in player.text
    watcher.until(lambda: len(chunks) >= frames, live)
    assert live.end() == 0
    watcher.spin(0.2)

    for message, expected in zip(chunks, offline, strict=True):
        stamp = message.header.stamp
        assert stamp.sec + stamp.nanosec * 1e-9 == pytest.approx(expected.start_time, abs=1e-6)
        targets = read_joint_trajectory(message, names)
        assert list(message.joint_names) == list(names)
        assert targets == pytest.approx(expected.targets, abs=1e-5)

    limits = load_arm(ARM).joints.select(names)
    sent = {number: read_joint_trajectory(m, names)[0] for number, m in commands}
    assert all(list(m.joint_names) == list(names) and len(m.points) == 1 for _, m in commands)
    assert len(sent) > 100
    moved = 0.0
    for number, positions in sent.items():
        assert (positions >= limits.min_position - 1e-9).all()
        assert (positions <= limits.max_position + 1e-9).all()
        if number + 1 in sent:
            speed = np.abs(sent[number + 1] - positions) * COMMAND_RATE
            moved = max(moved, speed.max())
            assert (speed <= limits.max_velocity * (1 + 1e-6)).all()
    assert moved > 0
    last = max(sent)
    assert sent[last] == pytest.approx(sent[last - 1], abs=1e-6), 'the arm was left moving'


def test_the_clock_waits_for_a_late_answer_but_not_for_ever(tmp_path, watcher, start_node):
    """What a picture needs comes in time on a busy machine, whose node hears the clock first."""
    from arm_recordings import CAMERA as FRONT
    from arm_recordings import PERIOD, write_arm
    from ros_watcher import ALL
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import CompressedImage, JointState
    from trajectory_msgs.msg import JointTrajectory

    pictures = watcher.collect(CompressedImage, FRONT)
    joints = watcher.collect(JointState, '/joint_states')
    clocks = watcher.collect(Clock, '/clock')
    answers = watcher.node.create_publisher(JointTrajectory, '/policy_node/action_chunk', ALL)
    player = start_node(
        'ros2_gridsampler.nodes.replay_node',
        bag=write_arm(tmp_path / 'arm', 3),
        lockstep=True,
        chunk_timeout=30.0,
    )

    def ahead():
        """How far the clock is ahead of the newest picture [s]."""
        stamp, clock = pictures[-1].header.stamp, clocks[-1].clock
        return clock.sec - stamp.sec + 1e-9 * (clock.nanosec - stamp.nanosec)

    for count in (1, 2):
        watcher.until(lambda: len(pictures) == count == len(joints), player)  # noqa: B023
        watcher.spin(0.5)
        assert len(pictures) == count == len(joints)
        assert ahead() < 0.6 * PERIOD
        if count == 2:
            # A picture may become ready by the passing of time alone.
            watcher.until(lambda: ahead() >= 0.99 * PERIOD, player)
            assert len(pictures) == count
        answer = JointTrajectory()
        answer.header.stamp = pictures[-1].header.stamp
        answers.publish(answer)
    watcher.until(lambda: len(pictures) == 3, player)
    answer.header.stamp = pictures[-1].header.stamp
    answers.publish(answer)
    assert player.wait() == 0
    assert '0 pictures unanswered' in player.text


def test_recorded_commands_are_not_played_unless_named(bag, watcher, start_node):
    from sensor_msgs.msg import CompressedImage

    pictures = watcher.collect(CompressedImage, CAMERA)
    player = start_node('ros2_gridsampler.nodes.replay_node', bag=bag, rate=10.0)
    watcher.until(lambda: len(pictures) > 5, player)
    topics = {name for name, _ in watcher.node.get_topic_names_and_types()}
    assert '/joint_states' in topics
    assert '/joint_trajectory_controller/joint_trajectory' not in topics
    assert player.end() == 0


def test_of_several_topics_that_an_arm_may_obey_none_is_played_unless_named(tmp_path, start_node):
    state = ArmState({}, JOINT_NAMES, np.zeros(9), np.zeros(9), np.eye(7)[6], 1.0)
    with BagWriter(tmp_path / 'bag') as writer:
        for topic in ('/end_effector_pose', '/controller/target_frame'):
            for name, pose in arm_messages.state_messages(state, 1.0, compressed=True):
                if name == arm_messages.POSE:
                    writer.write(topic, pose, 1.0)
    player = start_node('ros2_gridsampler.nodes.replay_node', bag=tmp_path / 'bag')
    assert player.wait() == 1
    assert "several topics of type PoseStamped, ['/controller/target_frame'" in player.text
    assert 'Traceback' not in player.text


def test_a_bag_cut_in_the_middle_is_played_as_far_as_it_is_whole(
    bag, tmp_path, watcher, start_node
):
    from sensor_msgs.msg import CompressedImage

    cut = tmp_path / 'cut.mcap'
    whole = next(bag.glob('*.mcap')).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    pictures = watcher.collect(CompressedImage, CAMERA)
    player = start_node('ros2_gridsampler.nodes.replay_node', bag=cut, rate=20.0)
    watcher.until(lambda: not player.running, player)
    assert player.wait() == 1
    assert 'is not whole' in player.text
    assert 'Traceback' not in player.text
    assert len(pictures) > 20


def test_a_bag_that_is_not_there_is_refused_with_a_sentence(tmp_path, start_node):
    player = start_node('ros2_gridsampler.nodes.replay_node', bag=tmp_path / 'nothing')
    assert player.wait() == 1
    assert 'cannot be read' in player.text
    assert 'Traceback' not in player.text


def test_in_a_loop_time_goes_on_with_every_round(tmp_path, watcher, start_node):
    from arm_recordings import CAMERA as FRONT
    from arm_recordings import FRAMES, START, write_arm
    from ros_watcher import ALL
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import CompressedImage, JointState

    from ros2_gridsampler.seeing.camera_message import stamp_seconds

    pictures = watcher.collect(CompressedImage, FRONT, ALL)
    joints = watcher.collect(JointState, '/joint_states', ALL)
    clocks = watcher.collect(Clock, '/clock', ALL)
    player = start_node(
        'ros2_gridsampler.nodes.replay_node', bag=write_arm(tmp_path / 'bag'), rate=10.0, loop=True
    )
    watcher.until(lambda: len(joints) > 3 * FRAMES, player)
    assert player.end() == 0
    for messages in (pictures, joints):
        stamps = [stamp_seconds(message.header.stamp) for message in messages]
        assert stamps[0] == pytest.approx(START, abs=1.0)
        assert min(np.diff(stamps)) > 0, 'no round begins before the one before'
        assert max(np.diff(stamps)) < 1.0
    assert min(np.diff([stamp_seconds(message.clock) for message in clocks])) >= 0
    # Nothing but the stamp is another.
    first, again = joints[3], joints[3 + FRAMES]
    assert list(first.position) == list(again.position)
    assert bytes(pictures[3].data) == bytes(pictures[3 + FRAMES].data)


def test_a_replay_of_which_nothing_was_observed_is_no_success(tmp_path, watcher, start_node):
    from arm_recordings import write_arm
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

    from ros2_gridsampler.nodes.topics import STATE

    said = watcher.node.create_publisher(DiagnosticArray, '/diagnostics', STATE)
    status = DiagnosticStatus(name='/policy_node', message="Camera 'front' publishes 96x72.")
    watcher.node.create_timer(0.1, lambda: said.publish(DiagnosticArray(status=[status])))
    player = start_node(
        'ros2_gridsampler.nodes.replay_node',
        bag=write_arm(tmp_path / 'bag'),
        rate=2.0,
        patience=0.0,
        expect_answers=True,
    )
    watcher.until(lambda: not player.running, player)
    assert player.wait() == 1
    assert '/policy_node answered none of its pictures' in player.text
    assert "It says: Camera 'front' publishes 96x72." in player.text
    assert 'Traceback' not in player.text
