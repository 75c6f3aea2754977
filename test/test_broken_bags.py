# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings as they come from the field, broken: read what is whole, say what is lost."""

import contextlib
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import zstandard
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from test_bag_reader import CONFIG, TOPICS, buffer, state, write

from ros2_gridsampler.bags.bag_files import DamagedBag, find_files
from ros2_gridsampler.bags.bag_health import BagHealth
from ros2_gridsampler.bags.bag_reader import (
    find_bags,
    read_messages,
    read_serialised,
    read_topics,
    unreadable_topics,
)
from ros2_gridsampler.bags.bag_writer import TYPES, BagWriter, build
from ros2_gridsampler.bags.observation_replay import ObservationReplay, read_observations
from ros2_gridsampler.seeing.observation_buffer import ObservationBuffer
from ros2_gridsampler.seeing.stream_health import StreamBudget
from ros2_gridsampler.simulation.arm_messages import state_messages

STEPS = 20


def storage(bag: Path) -> Path:
    (file,) = bag.glob('*.mcap')
    return file


def read_what_is_whole(bag):
    """Messages, and the words at the end."""
    messages = []
    with pytest.raises(DamagedBag) as damage:
        for message in read_messages(bag):
            messages.append(message)
    return messages, str(damage.value)


def health_of(bag, cameras=TOPICS.cameras):
    health = BagHealth(
        {
            **{f'camera {name}': topic for name, topic in cameras.items()},
            'joints': '/joint_states',
        },
        tuple(cameras.values()),
    )
    for message in read_messages(bag):
        health.add(message)
    return health


def write_states(path, times, *, stamps=None, cameras=lambda index: True):
    """A bag of the arm, logged at `times`, stamped with `stamps`."""
    with BagWriter(path) as writer:
        sentence = build('std_msgs/msg/String', data='pick up the bowl')
        writer.write('/instruction', sentence, times[0], latched=True)
        for index, time in enumerate(times):
            stamp = time if stamps is None else stamps[index]
            for topic, message in state_messages(state(index), stamp, compressed=False):
                if 'image' not in topic or cameras(index):
                    writer.write(topic, message, time)
    return path


def test_bytes_flipped_inside_chunks_cost_these_chunks_only(tmp_path):
    bag = write(tmp_path / 'bag')
    whole = {m.topic: 0 for m in read_messages(bag)}
    data = bytearray(storage(bag).read_bytes())
    # The second chunk's record; opcode 6 after the first chunk and its indexes.
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    storage(bag).write_bytes(data)
    messages = []
    with contextlib.suppress(DamagedBag):
        for message in read_messages(bag):
            messages.append(message)
    # Pictures that were overwritten read as pictures; all the rest must be there still.
    assert len(messages) >= STEPS
    assert {m.topic for m in messages} == set(whole)


def test_a_length_that_no_memory_has_is_damage(tmp_path):
    bag = write(tmp_path / 'bag')
    file = storage(bag)
    whole = [(m.topic, m.time) for m in read_messages(bag)]
    data = bytearray(file.read_bytes())
    # Of the footer: 8 bytes of magic, 20 of content that begin with where the summary is.
    (summary,) = struct.unpack('<Q', data[-28:-20])
    data[summary + 7] = 0x7F
    file.write_bytes(data)
    assert '/joint_states' in read_topics(bag)
    messages, words = read_what_is_whole(bag)
    assert [(m.topic, m.time) for m in messages] == whole
    assert 'is not whole: its end is damaged' in words


def test_a_damaged_chunk_in_the_middle_is_left_out_and_what_follows_is_read(tmp_path):
    bag = tmp_path / 'bag'
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/numbers', 'std_msgs/msg/String', typestore=TYPES)
        for index in range(300):
            text = np.random.default_rng(index).bytes(9000).hex()
            message = build('std_msgs/msg/String', data=f'{index} {text}')
            writer.write(
                connection, index * 10**7, TYPES.serialize_cdr(message, message.__msgtype__)
            )
    file = storage(bag)
    data = bytearray(file.read_bytes())
    # A chunk is record 6; break the length of a message inside the third.
    starts = [i for i in range(len(data) - 9) if data[i] == 6 and data[i + 4 : i + 9] == bytes(5)]
    chunk = starts[len(starts) // 2]
    data[chunk + 9 + 48 : chunk + 9 + 48 + 400] = b'\xff' * 400
    file.write_bytes(data)
    messages, words = read_what_is_whole(bag)
    numbers = [int(m.message.data.split()[0]) for m in messages]
    assert 'lost' in words
    assert numbers == sorted(set(numbers)), 'a message came twice'
    assert len(numbers) > 150
    assert numbers[-1] == 299, 'what follows the damage is whole'


def test_metadata_with_another_quality_of_service_than_the_storage_hides_no_message(tmp_path):
    bag = write(tmp_path / 'bag')
    metadata = bag / 'metadata.yaml'
    metadata.write_text(
        metadata.read_text().replace('reliability: reliable', 'reliability: best_effort')
    )
    assert sum(1 for m in read_messages(bag) if m.topic == '/joint_states') == STEPS


def test_metadata_that_promises_more_than_there_is_fails_after_the_last_message(tmp_path):
    bag = write(tmp_path / 'bag')
    metadata = bag / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace('message_count: 20', 'message_count: 25'))
    messages, words = read_what_is_whole(bag)
    assert len(messages) == 1 + 4 * STEPS
    assert 'came 20' in words


def test_a_folder_named_like_a_ros1_bag_is_still_read(tmp_path):
    bag = write(tmp_path / 'run.bag')
    assert len(list(read_observations(bag, TOPICS, buffer()))) == STEPS


def test_a_folder_whose_metadata_was_lost_is_read_from_its_files(tmp_path):
    bag = write(tmp_path / 'run')
    (bag / 'metadata.yaml').unlink()
    assert len(list(read_observations(bag, TOPICS, buffer()))) == STEPS
    assert find_bags([tmp_path]) == [storage(bag)]


def test_a_missing_split_file_costs_its_messages_only(tmp_path):
    first, second = (write(tmp_path / name) for name in ('first', 'second'))
    shutil.copy(storage(second), first / 'first_1.mcap')
    text = (first / 'metadata.yaml').read_text()
    both = text.replace(
        'relative_file_paths:\n  - first.mcap',
        'relative_file_paths:\n  - first.mcap\n  - first_1.mcap\n  - first_2.mcap',
    )
    assert both != text
    (first / 'metadata.yaml').write_text(both)
    messages, words = read_what_is_whole(first)
    assert len(messages) == 2 * (1 + 4 * STEPS)
    assert 'lacks 1 of its 3 files, first_2.mcap' in words


def test_an_empty_bag_has_no_message_and_says_which_stream_is_silent(tmp_path):
    bag = tmp_path / 'empty'
    with BagWriter(bag):
        pass
    assert list(read_messages(bag)) == []
    with pytest.raises(ValueError, match='gave no observation: it holds no message'):
        list(read_observations(bag, TOPICS, buffer()))


@pytest.mark.parametrize('content', [b'', b'not a bag at all', b'\x89MCAP0\r\n'])
def test_a_file_that_is_no_bag_is_damaged_and_not_empty(tmp_path, content):
    file = tmp_path / 'run.mcap'
    file.write_bytes(content)
    with pytest.raises(DamagedBag, match='is not whole'):
        list(read_messages(file))


def test_a_database_that_is_cut_short_comes_with_what_may_save_it(tmp_path):
    bag = tmp_path / 'bag'
    with Writer(bag, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection('/said', 'std_msgs/msg/String', typestore=TYPES)
        for index in range(50):
            message = build('std_msgs/msg/String', data=500 * 'x')
            data = TYPES.serialize_cdr(message, message.__msgtype__)
            writer.write(connection, index, data)
    (file,) = bag.glob('*.db3')
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    messages, words = read_what_is_whole(bag)
    assert messages == []
    assert '.recover' in words


def test_the_length_of_a_bag_is_known_before_it_is_read(tmp_path):
    bag = write(tmp_path / 'bag')
    times = [m.time for m in read_messages(bag)]
    assert find_files(bag).duration == pytest.approx(times[-1] - times[0], abs=1e-6)
    assert find_files(storage(bag)).duration is None


def test_a_bag_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        list(read_messages(tmp_path / 'nowhere'))


def test_whole_files_and_single_messages_may_be_compressed_with_zstd(tmp_path):
    bag = write(tmp_path / 'bag')
    file = storage(bag)
    packed = tmp_path / f'{file.name}.zstd'
    packed.write_bytes(zstandard.compress(file.read_bytes()))
    assert len(list(read_messages(packed))) == 1 + 4 * STEPS
    by_message = tmp_path / 'by_message'
    with BagWriter(by_message) as writer:
        for m in read_serialised(bag):
            writer.write_serialised(m.topic, m.type, zstandard.compress(m.message), m.time)
    expected = [m.message for m in read_serialised(bag)]
    assert [m.message for m in read_serialised(by_message)] == expected


def test_a_real_recording_with_message_compression_gives_its_photographs(shared_bag):
    from ros2_gridsampler.seeing.camera_message import decode_image

    bag = shared_bag('soccer_goal_zstd_message')
    messages, words = read_what_is_whole(bag)
    assert 'lacks 12 of its 13 files' in words
    assert {m.type for m in messages} == {'sensor_msgs/msg/Image'}
    assert all(decode_image(m.message).std() > 10 for m in messages)
    assert len(messages) == 2


def test_an_unknown_type_and_service_events_leave_the_other_topics_readable(tmp_path):
    bag = tmp_path / 'bag'
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg('float64 grip\n', 'my_pkg/msg/Grip'))
    (event_fields,) = get_types_from_msg('int64 id\n', 'my_pkg/msg/Do_Event').values()
    store.register({'my_pkg/srv/Do_Event': event_fields})
    with Writer(bag, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        known = writer.add_connection('/said', 'std_msgs/msg/String', typestore=store)
        grip = writer.add_connection('/grip', 'my_pkg/msg/Grip', typestore=store)
        event = writer.add_connection('/do/_service_event', 'my_pkg/srv/Do_Event', typestore=store)
        for index in range(5):
            message = build('std_msgs/msg/String', data=str(index))
            writer.write(known, index, TYPES.serialize_cdr(message, message.__msgtype__))
            for connection, kind, field in (
                (grip, 'my_pkg/msg/Grip', {'grip': 1.0}),
                (event, 'my_pkg/srv/Do_Event', {'id': 7}),
            ):
                content = store.types[kind](**field)
                writer.write(connection, index, store.serialize_cdr(content, kind))
    # As recorders of older distributions leave it: no definitions inside.
    import sqlite3

    (file,) = bag.glob('*.db3')
    with sqlite3.connect(file) as database:
        database.execute('DELETE FROM message_definitions')
    database.close()
    assert set(unreadable_topics(bag)) == {'/grip', '/do/_service_event'}
    assert set(read_topics(bag)) == {'/said', '/grip', '/do/_service_event'}
    said = [m.message.data for m in read_messages(bag, ['/said'])]
    assert said == list('01234')
    # Served byte for byte nevertheless.
    assert sum(1 for m in read_serialised(bag) if m.topic == '/grip') == 5


def test_a_ros1_bag_gives_the_same_observations_as_the_rosbag2_one(tmp_path):
    source = write(tmp_path / 'bag')
    store = get_typestore(Stores.ROS1_NOETIC)
    ros1 = tmp_path / 'run.bag'
    with Ros1Writer(ros1) as writer:
        connections = {}
        for m in read_serialised(source):
            if m.topic not in connections:
                connections[m.topic] = writer.add_connection(m.topic, m.type, typestore=store)
            raw = TYPES.cdr_to_ros1(m.message, m.type)
            writer.write(connections[m.topic], round(m.time * 1e9), raw)
    assert find_bags([tmp_path]) == [source, ros1]
    expected = list(read_observations(source, TOPICS, buffer()))
    found = list(read_observations(ros1, TOPICS, buffer()))
    assert len(found) == len(expected) == STEPS
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.images['wrist'], other.images['wrist'])
        assert one.time == pytest.approx(other.time)


def test_a_damaged_picture_and_a_joint_that_is_not_finite_cost_themselves_only(tmp_path):
    bag = tmp_path / 'bag'
    with BagWriter(bag) as writer:
        writer.write('/instruction', build('std_msgs/msg/String', data='go'), 1.0, latched=True)
        for index in range(STEPS):
            time = 1 + 0.05 * index
            for topic, message in state_messages(state(index), time, compressed=False):
                if index == 5 and 'image' in topic:
                    message.data = message.data[:100]
                if index == 9 and topic == '/joint_states':
                    message.position[:] = np.nan
                writer.write(topic, message, time)
    observations = []
    with pytest.raises(DamagedBag, match='cut short') as damage:
        for observation in read_observations(bag, TOPICS, buffer()):
            observations.append(observation)
    assert 'not finite' in str(damage.value)
    assert STEPS - 3 <= len(observations) < STEPS


def test_a_recorder_with_another_clock_is_noticed_and_may_be_overruled(tmp_path):
    times = 1000 + 0.05 * np.arange(STEPS)
    bag = write_states(tmp_path / 'bag', times + 7200, stamps=times)
    (text,) = {text.split(': ')[1][:40] for text in health_of(bag).problems()}
    assert text.startswith('log times are 2.00 h after')
    with pytest.raises(ValueError, match='s old'):
        list(read_observations(bag, TOPICS, buffer()))
    replay = ObservationReplay(TOPICS, buffer(), 'header')
    seen = [replay.take(m) for m in read_messages(bag, TOPICS.names)]
    assert sum(observation is not None for observation in seen) == STEPS
    # All streams are off alike, which is one thing to know and not one per stream.
    (text,) = health_of(bag).obstacles()
    assert text.count('--time header') == 1
    assert '/joint_states' in text


def test_stamps_that_are_zero_are_noticed_and_may_be_replaced_by_log_times(tmp_path):
    times = 1000 + 0.05 * np.arange(STEPS)
    bag = write_states(tmp_path / 'bag', times, stamps=np.zeros(STEPS))
    assert any('header stamps are zero' in text for text in health_of(bag).problems())
    with pytest.raises(ValueError, match='s old'):
        list(read_observations(bag, TOPICS, buffer()))
    replay = ObservationReplay(TOPICS, buffer(), 'log')
    seen = [replay.take(m) for m in read_messages(bag, TOPICS.names)]
    assert sum(observation is not None for observation in seen) == STEPS


def test_gaps_and_stamps_out_of_order_and_a_camera_that_ends_early_are_found(tmp_path):
    times = 1000 + 0.05 * np.arange(60)
    times[20:] += 1.0
    stamps = times.copy()
    stamps[[40, 41]] = stamps[[41, 40]]
    bag = write_states(tmp_path / 'bag', times, stamps=stamps, cameras=lambda index: index < 30)
    health = health_of(bag)
    joints = health.summary()['streams']['joints']
    assert joints['gaps'] >= 1
    assert joints['out_of_order'] == 1
    assert joints['rate_hz'] == pytest.approx(20, rel=0.01)
    ended = [text for text in health.problems() if 'before the bag does' in text]
    assert all(f'camera {name}' in ''.join(ended) for name in TOPICS.cameras)
    assert 'joints' not in ''.join(ended)
    kinds = {fault.kind for fault in health.faults()}
    assert {'gap', 'out of order', 'silent'} <= kinds


def test_frozen_and_black_pictures_are_counted(tmp_path):
    bag = tmp_path / 'bag'
    with BagWriter(bag) as writer:
        for index in range(10):
            shown = state(min(index, 6))
            for topic, message in state_messages(shown, 1 + 0.05 * index, compressed=False):
                writer.write(topic, message, 1 + 0.05 * index)
    health = health_of(bag)
    wrist = health.summary()['streams']['camera wrist']
    assert wrist['frozen_frames'] == 3
    assert wrist['black_frames'] == wrist['blank_frames'] == wrist['broken_frames'] == 0
    assert health.summary()['skew_ms']['max'] == 0
    assert health.look_at() == []


def test_the_buffer_of_the_live_node_is_what_reads_a_bag(tmp_path):
    # No second implementation: refusing what is too far apart is the buffer's doing.
    bag = write(tmp_path / 'bag')
    strict = ObservationBuffer(CONFIG, StreamBudget(max_age=1e-9, max_skew=0.0))
    replay = ObservationReplay(TOPICS, strict, 'header')
    seen = [replay.take(m) for m in read_messages(bag, TOPICS.names)]
    assert 0 < sum(observation is not None for observation in seen) <= STEPS
