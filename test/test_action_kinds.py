# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What is recorded is taken for what it is: velocities, depth, a topic that cannot be used."""

import json

import numpy as np
import pytest
from arm_recordings import CAMERA, JOINTS, arm_policy, run_command, wanted, write_arm

from ros2_gridsampler.bags.bag_reader import read_messages
from ros2_gridsampler.bags.bag_writer import BagWriter, build, build_header, build_numbers
from ros2_gridsampler.datasets.frames import FrameConfig, camera_topics, read_frames
from ros2_gridsampler.evaluating.topic_choice import TopicChoice
from ros2_gridsampler.evaluating.topic_map import map_topics
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.seeing.calibration import ImagePreparation

NUMBERS, TRAJECTORY = 'std_msgs/msg/Float64MultiArray', '/arm/joint_trajectory'
VELOCITIES = '/forward_velocity_controller/commands'


@pytest.fixture(scope='module')
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp('policy') / 'policy'
    save_checkpoint(arm_policy(), folder, training={}, results={})
    return folder


def rewritten(bag, out, also):
    """The same bag with further messages: called with each, `also` gives topics and messages."""
    with BagWriter(out) as writer:
        for m in read_messages(bag):
            kept = True
            for topic, message in also(m):
                kept = kept and topic != m.topic
                writer.write(topic, message, m.time)
            if kept:
                writer.write_serialised(m.topic, m.type, m.serialised, m.time)
    return out


def as_velocities(m):
    """Instead of the positions of a trajectory, velocities."""
    if m.topic != TRAJECTORY:
        return
    time = m.message.header.stamp.sec + 1e-9 * m.message.header.stamp.nanosec
    speed = (wanted(time + 0.05) - wanted(time)) / 0.05
    point = build(
        'trajectory_msgs/msg/JointTrajectoryPoint',
        positions=np.empty(0),
        velocities=speed,
        accelerations=np.empty(0),
        effort=np.empty(0),
        time_from_start=build('builtin_interfaces/msg/Duration', sec=0, nanosec=0),
    )
    yield (
        TRAJECTORY,
        build(
            'trajectory_msgs/msg/JointTrajectory',
            header=build_header(time, ''),
            joint_names=list(JOINTS),
            points=[point],
        ),
    )


def test_velocities_in_a_trajectory_give_no_verdict_and_where_named_the_reason(
    tmp_path, policy, capsys
):
    bag = rewritten(write_arm(tmp_path / 'arm', 20), tmp_path / 'fast', as_velocities)
    assert run_command((bag,), policy, tmp_path / 'guessed', bag=False) == 1
    report = json.loads((tmp_path / 'guessed/report.json').read_text())
    assert report['frames_compared'] == 0
    assert 'has velocities and no positions' in report['verdict']
    capsys.readouterr()
    assert run_command((bag,), policy, tmp_path / 'named', bag=False, action=TRAJECTORY) == 1
    said = capsys.readouterr().err
    assert f'{TRAJECTORY} was named as the recorded action and cannot be used' in said
    assert 'has velocities and no positions' in said
    # Where the arm went still serves.
    options = {'bag': False, 'action': '/joint_states'}
    assert run_command((bag,), policy, tmp_path / 'states', **options) == 0


@pytest.mark.parametrize(
    ('topic', 'what'),
    [
        (VELOCITIES, 'velocities'),
        ('/joint_group_vel_controller/command', 'velocities'),
        ('/effort_controller/commands', 'efforts'),
        ('/arm/torque', 'torques'),
    ],
)
def test_the_only_numbers_are_refused_by_what_their_topic_says(topic, what):
    recorded = {
        CAMERA: 'sensor_msgs/msg/CompressedImage',
        '/joint_states': 'sensor_msgs/msg/JointState',
        topic: NUMBERS,
    }
    choice = TopicChoice(fixed_instruction='do it')
    with pytest.raises(ValueError, match=f'{topic}, which by its name carries {what}'):
        map_topics(recorded, arm_policy().config, choice)


def test_numbers_on_a_topic_of_velocities_are_no_positions():
    config = arm_policy().config
    recorded = {
        CAMERA: 'sensor_msgs/msg/CompressedImage',
        '/joint_states': 'sensor_msgs/msg/JointState',
        '/instruction': 'std_msgs/msg/String',
        VELOCITIES: NUMBERS,
    }
    with pytest.raises(ValueError, match='--action-topic /joint_states'):
        map_topics(recorded, config, TopicChoice())
    with pytest.raises(ValueError, match='by its name carries velocities'):
        map_topics(recorded, config, TopicChoice(action=VELOCITIES))
    both = {**recorded, '/forward_position_controller/commands': NUMBERS}
    chosen = map_topics(both, config, TopicChoice()).labels.action
    assert chosen == '/forward_position_controller/commands'


def test_a_named_action_topic_that_holds_nothing_or_the_wrong_joints_ends_with_the_reason(
    tmp_path, policy, capsys
):
    def numbers(m):
        if m.topic == TRAJECTORY:
            yield '/short/commands', build_numbers([0.1, 0.2])

    bag = rewritten(write_arm(tmp_path / 'arm', 20), tmp_path / 'short', numbers)
    assert run_command((bag,), policy, tmp_path / 'out', bag=False, action='/short/commands') == 1
    said = capsys.readouterr().err
    assert 'cannot be used: /short/commands: Float64MultiArray data must have the shape' in said


def with_depth(m):
    """A depth image of another name and the same size beside every picture."""
    if m.topic != CAMERA:
        return
    yield (
        '/aligned/image_raw',
        build(
            'sensor_msgs/msg/Image',
            header=m.message.header,
            height=72,
            width=96,
            encoding='16UC1',
            is_bigendian=0,
            step=192,
            data=np.full(72 * 192, 3, np.uint8),
        ),
    )


def test_depth_beside_colour_is_neither_guessed_nor_read_for_pretraining(tmp_path, policy, capsys):
    plain = write_arm(tmp_path / 'arm', 20)
    bag = rewritten(plain, tmp_path / 'deep', with_depth)
    for name, each in (('plain', plain), ('deep', bag)):
        assert run_command((each,), policy, tmp_path / 'out' / name, bag=False) == 0
    reports = [
        json.loads((tmp_path / 'out' / n / 'report.json').read_text()) for n in ('plain', 'deep')
    ]
    assert reports[0]['mean_absolute_error'] == reports[1]['mean_absolute_error']
    frames = FrameConfig(ImagePreparation(72, 96))
    assert len(list(read_frames(bag, frames))) == 20
    with pytest.raises(ValueError, match="'/aligned/image_raw'] are depth images"):
        camera_topics(bag, ('/aligned/image_raw',))
    named = {'bag': False, 'camera': ('front=/aligned/image_raw',)}
    assert run_command((bag,), policy, tmp_path / 'out' / 'named', **named) == 1
    assert 'holds depth images; name the topic of the colour camera' in capsys.readouterr().err
