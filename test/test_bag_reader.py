# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings give the observations that were live, and say what they lost."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ros2_gridsampler.bags.bag_files import DamagedBag
from ros2_gridsampler.bags.bag_reader import find_bags, read_messages
from ros2_gridsampler.bags.bag_writer import BagWriter, build
from ros2_gridsampler.bags.observation_replay import StreamTopics, read_observations
from ros2_gridsampler.seeing.calibration import ImagePreparation, prepare_image
from ros2_gridsampler.seeing.camera_message import intrinsics
from ros2_gridsampler.seeing.observation import ObservationConfig
from ros2_gridsampler.seeing.observation_buffer import ObservationBuffer
from ros2_gridsampler.seeing.stream_health import StreamBudget
from ros2_gridsampler.simulation.arm_messages import camera_info, image_topic, state_messages
from ros2_gridsampler.simulation.arm_state import JOINT_NAMES, ArmState

REAL_BAGS = Path(__file__).parents[2] / 'shared' / 'data' / 'bags'
needs_real_bags = pytest.mark.skipif(
    not REAL_BAGS.exists(), reason='the real recordings are not beside this checkout'
)
SIZE = (160, 120)
TOPICS = StreamTopics(
    {camera: image_topic(camera, compressed=False) for camera in ('agentview', 'wrist')},
    pose='/end_effector_pose',
)
CONFIG = ObservationConfig(
    {camera: ImagePreparation(*SIZE) for camera in TOPICS.cameras},
    SIZE,
    ('panda_finger_joint1', 'panda_joint2'),
    True,
)


def state(index: int) -> ArmState:
    """What an arm shows at step `index`."""
    generator = np.random.default_rng(index)
    images = {
        camera: generator.integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)
        for camera in TOPICS.cameras
    }
    pose = np.array([0.4, 0.1, 0.2 + 0.01 * index, 0, 0, 0, 1.0])
    positions = 0.1 * index + np.arange(9.0)
    return ArmState(images, JOINT_NAMES, positions, np.zeros(9), pose, 0.05 * index)


def write(path: Path, steps: int = 20) -> Path:
    """A bag of the arm."""
    with BagWriter(path) as writer:
        sentence = build('std_msgs/msg/String', data='pick up the bowl')
        writer.write('/instruction', sentence, 1.0, latched=True)
        for index in range(steps):
            for topic, message in state_messages(state(index), 1 + 0.05 * index, compressed=False):
                writer.write(topic, message, 1 + 0.05 * index)
    return path


def buffer() -> ObservationBuffer:
    return ObservationBuffer(CONFIG, StreamBudget())


def test_every_recorded_frame_becomes_the_observation_that_was_written(tmp_path):
    observations = list(read_observations(write(tmp_path / 'bag'), TOPICS, buffer()))
    assert len(observations) == 20
    for index, observation in enumerate(observations):
        expected = state(index)
        assert observation.time == pytest.approx(1 + 0.05 * index)
        assert observation.instruction == 'pick up the bowl'
        np.testing.assert_array_equal(observation.images['wrist'], expected.images['wrist'])
        np.testing.assert_allclose(observation.pose, expected.pose)
        np.testing.assert_allclose(observation.joints, expected.joint_positions[[7, 1]])


@pytest.mark.parametrize('share', [0.3, 0.7, 0.98])
def test_a_bag_cut_in_the_middle_gives_what_is_whole_and_then_says_what_is_lost(tmp_path, share):
    bag = write(tmp_path / 'bag')
    (file,) = bag.glob('*.mcap')
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    observations = []
    with pytest.raises(DamagedBag, match='could be read, the rest is lost'):
        for observation in read_observations(bag, TOPICS, buffer()):
            observations.append(observation)
    whole = list(read_observations(write(tmp_path / 'whole'), TOPICS, buffer()))
    # rosbag2 writes chunks of about a mebibyte; the one that was cut is lost whole.
    assert share * 20 - 11 < len(observations) <= share * 20 + 1
    for found, expected in zip(observations, whole, strict=False):
        np.testing.assert_array_equal(found.images['agentview'], expected.images['agentview'])


def test_a_bag_with_fewer_messages_than_its_metadata_says_is_found(tmp_path):
    bag = write(tmp_path / 'bag')
    metadata = bag / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace('message_count: 20', 'message_count: 21'))
    with pytest.raises(DamagedBag, match='by its metadata'):
        list(read_messages(bag))


def test_a_bag_without_the_topics_says_which_stream_is_silent(tmp_path):
    bag = write(tmp_path / 'bag')
    with pytest.raises(ValueError, match="camera 'agentview'"):
        topics = StreamTopics({'agentview': '/nowhere', 'wrist': TOPICS.cameras['wrist']})
        list(read_observations(bag, topics, buffer()))


def test_an_interrupted_recording_leaves_no_bag(tmp_path):
    with pytest.raises(KeyboardInterrupt), BagWriter(tmp_path / 'bag') as writer:
        writer.write('/instruction', build('std_msgs/msg/String', data='x'), 1.0)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_bag_is_not_overwritten_and_found_by_its_folder(tmp_path):
    bag = write(tmp_path / 'deep' / 'bag', 1)
    assert find_bags([tmp_path]) == [bag]
    with pytest.raises(FileExistsError, match='name a new folder'):
        BagWriter(bag)
    with pytest.raises(FileNotFoundError, match='No rosbag2 recording'):
        find_bags([tmp_path / 'deep' / 'nothing'])
    with pytest.raises(FileNotFoundError, match='Name at least one bag'):
        find_bags([])


def test_every_path_named_gives_a_bag_and_no_bag_is_found_twice(tmp_path):
    bags = [write(tmp_path / 'all' / name, 1) for name in ('a', 'b')]
    (tmp_path / 'pictures').mkdir()
    for wrong in ('typo', 'pictures'):
        with pytest.raises(FileNotFoundError, match=f'No rosbag2 recording in .*/{wrong}'):
            find_bags([bags[0], tmp_path / wrong, bags[1]])
    (tmp_path / 'link').symlink_to(bags[1])
    named = [bags[1], tmp_path / 'all', tmp_path / 'all' / '..' / 'all' / 'a', tmp_path / 'link']
    assert find_bags(named) == [bags[1], bags[0]]
    (file,) = bags[0].glob('*.mcap')
    assert find_bags([file, *bags]) == bags
    assert find_bags([file]) == [file]


def test_a_recording_is_rectified_from_its_first_picture_on(tmp_path):
    bag = write(tmp_path / 'bag', 3)
    matrix = np.array([[150.0, 0, 80], [0, 150, 60], [0, 0, 1]])
    info = camera_info('wrist', matrix, *SIZE, 1.0)
    info.d[:] = (-0.3, 0.1, 0, 0, 0)
    with BagWriter(tmp_path / 'with_info') as writer:
        for recorded in read_messages(bag):
            writer.write(recorded.topic, recorded.message, recorded.time)
        # As a driver that publishes it seldom; a camera has one lens nevertheless.
        writer.write('/wrist/camera_info', info, 1.2)
    rectified = ImagePreparation(*SIZE, rectify=True)
    config = dataclasses.replace(CONFIG, cameras={**CONFIG.cameras, 'wrist': rectified})

    def read(path):
        return list(read_observations(path, TOPICS, ObservationBuffer(config, StreamBudget())))

    observations = read(tmp_path / 'with_info')
    assert len(observations) == 3
    for index, observation in enumerate(observations):
        raw = state(index).images
        np.testing.assert_array_equal(observation.images['agentview'], raw['agentview'])
        expected = prepare_image(raw['wrist'], rectified, intrinsics(info))
        np.testing.assert_array_equal(observation.images['wrist'], expected)
    with pytest.raises(ValueError, match="CameraInfo of camera 'wrist'"):
        read(bag)


@needs_real_bags
def test_every_frame_of_a_real_robot_becomes_an_observation():
    bag = REAL_BAGS / 'g1_real_bottle_010'
    counts = {m.topic: 0 for m in read_messages(bag)}
    for message in read_messages(bag):
        counts[message.topic] += 1
    topic = '/camera/high/image_raw/compressed'
    names = next(m.message.name for m in read_messages(bag, ['/joint_states']))
    config = ObservationConfig(
        {'high': ImagePreparation(128, 96)}, (320, 240), tuple(names), False
    )
    observations = list(
        read_observations(
            bag, StreamTopics({'high': topic}), ObservationBuffer(config, StreamBudget())
        )
    )
    assert len(observations) == counts[topic] > 270
    assert {o.instruction for o in observations} == {'Pick up the yellow bottle on the table.'}
    assert all(o.joints.shape == (26,) for o in observations)


@needs_real_bags
@pytest.mark.parametrize('name', ['test_bag_mcap', 'test_bag_sqlite3'])
def test_both_storages_of_one_recording_give_the_same_messages(name):
    messages = list(read_messages(REAL_BAGS / 'all_message_types' / name))
    assert len(messages) == 188
    assert len({message.type for message in messages}) == 94


@needs_real_bags
def test_a_bag_with_missing_split_files_is_refused_and_says_so():
    with pytest.raises(DamagedBag, match='lacks 12 of its 13 files'):
        list(read_messages(REAL_BAGS / 'soccer_goal_zstd_message'))
