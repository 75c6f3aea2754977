# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Datasets of LeRobot become bags and bags datasets; frames, states and actions stay."""

import itertools
import json
import re

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from ros2_gridsampler.bags.bag_files import DamagedBag
from ros2_gridsampler.bags.bag_reader import read_messages, read_topics
from ros2_gridsampler.bags.bag_writer import BagWriter, build, build_header
from ros2_gridsampler.command_line import main
from ros2_gridsampler.command_line.lerobot_commands import export_lerobot
from ros2_gridsampler.datasets.episode_recording import read_episode
from ros2_gridsampler.datasets.lerobot_dataset import ACTION, STATE, LeRobotDataset
from ros2_gridsampler.datasets.lerobot_description import IMAGES
from ros2_gridsampler.datasets.lerobot_export import export_dataset
from ros2_gridsampler.datasets.lerobot_import import (
    INSTRUCTION,
    JOINT_STATES,
    TRAJECTORY,
    camera_topic,
    import_dataset,
)
from ros2_gridsampler.seeing.camera_message import decode_image, encode_jpeg

VERSIONS = ('v2.1', 'v3.0')
JOINTS = ['shoulder', 'elbow', 'gripper']
TASKS = ['pick the cup', 'open the drawer']
FPS = 10
SIZE = (96, 64)


def frame(episode, index):
    """A smooth picture that any codec keeps apart from the next one."""
    x = np.linspace(0, 255, SIZE[0])[None].repeat(SIZE[1], 0)
    level = 12.0 * index + 60 * episode
    return np.stack([x, np.full_like(x, level), 255 - x], -1).astype(np.uint8)


def rows(episode, frames):
    generator = np.random.default_rng(episode)
    return generator.normal(size=(frames, 3)), generator.normal(size=(frames, 3))


def write_video(path, pictures):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=FPS, options={'crf': '4'})
        stream.width, stream.height = SIZE
        stream.pix_fmt = 'yuv420p'
        for rgb in pictures:
            for packet in stream.encode(av.VideoFrame.from_ndarray(rgb, 'rgb24')):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def write_dataset(root, version, lengths=(8, 5)):
    """As LeRobot lays it out, with video: a file per episode, or all in one."""
    key = f'{IMAGES}top'
    tables, pictures, episodes = [], [], []
    begin = 0
    for episode, length in enumerate(lengths):
        state, action = rows(episode, length)
        tables.append(
            pa.table(
                {
                    STATE: pa.array(list(state), pa.list_(pa.float32())),
                    ACTION: pa.array(list(action), pa.list_(pa.float32())),
                    'timestamp': pa.array((np.arange(length) / FPS).astype(np.float32)),
                    'frame_index': np.arange(length),
                    'episode_index': np.full(length, episode),
                    'index': np.arange(begin, begin + length),
                    'task_index': np.full(length, episode),
                }
            )
        )
        pictures.append([frame(episode, index) for index in range(length)])
        episodes.append(
            {
                'episode_index': episode,
                'tasks': [TASKS[episode]],
                'length': length,
                'data/chunk_index': 0,
                'data/file_index': 0,
                f'videos/{key}/chunk_index': 0,
                f'videos/{key}/file_index': 0,
                f'videos/{key}/from_timestamp': begin / FPS,
                f'videos/{key}/to_timestamp': (begin + length) / FPS,
            }
        )
        begin += length
    meta = root / 'meta'
    meta.mkdir(parents=True)
    info = {
        'codebase_version': version,
        'fps': FPS,
        'total_episodes': len(lengths),
        'chunks_size': 1000,
        'features': {
            STATE: {'dtype': 'float32', 'shape': [3], 'names': {'motors': JOINTS}},
            ACTION: {'dtype': 'float32', 'shape': [3], 'names': JOINTS},
            key: {'dtype': 'video', 'shape': [SIZE[1], SIZE[0], 3], 'names': None},
        },
    }
    if version == 'v2.1':
        episodes = [{k: row[k] for k in ('episode_index', 'tasks', 'length')} for row in episodes]
        info['data_path'] = 'data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet'
        info['video_path'] = (
            'videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4'
        )
        (root / 'data/chunk-000').mkdir(parents=True)
        for episode, (table, shown) in enumerate(zip(tables, pictures, strict=True)):
            parquet.write_table(table, root / f'data/chunk-000/episode_{episode:06d}.parquet')
            write_video(root / f'videos/chunk-000/{key}/episode_{episode:06d}.mp4', shown)
        write_lines(
            meta / 'tasks.jsonl', [{'task_index': i, 'task': t} for i, t in enumerate(TASKS)]
        )
        write_lines(meta / 'episodes.jsonl', episodes)
    else:
        info['data_path'] = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
        info['video_path'] = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
        (root / 'data/chunk-000').mkdir(parents=True)
        parquet.write_table(pa.concat_tables(tables), root / 'data/chunk-000/file-000.parquet')
        write_video(
            root / f'videos/{key}/chunk-000/file-000.mp4',
            [*itertools.chain(*pictures)],
        )
        # As pandas writes an index: the sentence has a column without a name of its own.
        parquet.write_table(
            pa.table({'task_index': [0, 1], '__index_level_0__': TASKS}), meta / 'tasks.parquet'
        )
        (meta / 'episodes/chunk-000').mkdir(parents=True)
        parquet.write_table(
            pa.Table.from_pylist(episodes), meta / 'episodes/chunk-000/file-000.parquet'
        )
    (meta / 'info.json').write_text(json.dumps(info))
    return root


def write_lines(path, content):
    path.write_text(''.join(json.dumps(row) + '\n' for row in content))


def of(bag, topic):
    return [m.message for m in read_messages(bag, [topic])]


@pytest.mark.parametrize('version', VERSIONS)
def test_every_frame_state_and_action_of_a_video_dataset_is_in_the_bags(tmp_path, version):
    dataset = LeRobotDataset(write_dataset(tmp_path / 'set', version))
    bags = import_dataset(dataset, tmp_path / 'bags').bags
    assert [len(of(bag, JOINT_STATES)) for bag in bags] == [8, 5]
    for episode, bag in enumerate(bags):
        state, action = rows(episode, len(of(bag, JOINT_STATES)))
        assert [m.data for m in of(bag, INSTRUCTION)] == [TASKS[episode]]
        assert all(list(m.name) == JOINTS for m in of(bag, JOINT_STATES))
        found = np.array([m.position for m in of(bag, JOINT_STATES)])
        np.testing.assert_array_equal(found, state.astype(np.float32))
        given = np.array([m.points[0].positions for m in of(bag, TRAJECTORY)])
        np.testing.assert_array_equal(given, action.astype(np.float32))
        for index, message in enumerate(of(bag, camera_topic('top'))):
            error = np.abs(decode_image(message).astype(int) - frame(episode, index))
            # The next frame is 12 away in green: it is this one.
            assert error[..., 1].mean() < 4
            assert error.mean() < 6


@pytest.mark.parametrize('version', VERSIONS)
def test_bags_survive_the_way_to_a_dataset_and_back_bit_for_bit(tmp_path, version):
    source = import_dataset(
        LeRobotDataset(write_dataset(tmp_path / 'set', 'v2.1')), tmp_path / 'bags'
    ).bags
    export_dataset(source, tmp_path / 'exported', version)
    dataset = LeRobotDataset(tmp_path / 'exported')
    assert dataset.version == version
    assert dataset.info['total_frames'] == 13
    assert dataset.info['fps'] == FPS
    again = import_dataset(dataset, tmp_path / 'again').bags
    for before, after in zip(source, again, strict=True):
        assert read_topics(before) == read_topics(after)
        for topic in (JOINT_STATES, TRAJECTORY, camera_topic('top')):
            ours, theirs = of(before, topic), of(after, topic)
            assert len(ours) == len(theirs)
            for one, other in zip(ours, theirs, strict=True):
                assert one.header.stamp.sec == other.header.stamp.sec
                assert one.header.stamp.nanosec == pytest.approx(
                    other.header.stamp.nanosec, abs=100
                )
                for name in ('data', 'position'):
                    if hasattr(one, name):
                        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
                if hasattr(one, 'points'):
                    np.testing.assert_array_equal(
                        one.points[0].positions, other.points[0].positions
                    )


def test_a_real_robot_s_bag_becomes_a_dataset_with_its_states_and_pictures(tmp_path, shared_bag):
    bag = shared_bag('g1_real_bottle_small') / '056'
    export_dataset([bag], tmp_path / 'set')
    (episode,) = LeRobotDataset(tmp_path / 'set').episodes()
    states = of(bag, '/joint_states')
    pictures = of(bag, '/camera/high/image_raw/compressed')
    np.testing.assert_array_equal(
        episode.state, np.array([m.position for m in states], np.float32)
    )
    assert list(episode.pictures['high']) == [bytes(m.data) for m in pictures]
    assert episode.sentences == {0: 'Pick up the yellow bottle on the table.'}
    stats = json.loads((tmp_path / 'set/meta/stats.json').read_text())
    np.testing.assert_allclose(stats[STATE]['mean'], episode.state.mean(0), atol=1e-5)


def test_the_commands_as_the_docs_write_them_go_there_and_back(tmp_path, monkeypatch, capsys):
    dataset, bags = write_dataset(tmp_path / 'set', 'v2.1'), tmp_path / 'bags'
    for arguments in (
        f'import {dataset} --out {bags}',
        f'export-lerobot {bags} --out {tmp_path / "again"} --version v3.0',
    ):
        monkeypatch.setattr('sys.argv', ['gridsampler', *arguments.split()])
        main()
    assert '2 bags in' in capsys.readouterr().out
    assert LeRobotDataset(tmp_path / 'again').info['total_frames'] == 13


def test_a_folder_that_is_no_dataset_is_refused_with_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match=r'no meta/info\.json'):
        LeRobotDataset(tmp_path)
    root = write_dataset(tmp_path / 'old', 'v2.1')
    info = json.loads((root / 'meta/info.json').read_text())
    (root / 'meta/info.json').write_text(json.dumps({**info, 'codebase_version': 'v1.6'}))
    with pytest.raises(ValueError, match=r'v2\.1 and v3 are read'):
        LeRobotDataset(root)
    info['features'].pop(STATE)
    (root / 'meta/info.json').write_text(json.dumps(info))
    with pytest.raises(ValueError, match='lacks the features'):
        LeRobotDataset(root)


def test_a_dataset_cannot_name_files_outside_of_its_folder(tmp_path):
    root = write_dataset(tmp_path / 'set', 'v2.1')
    info = json.loads((root / 'meta/info.json').read_text())
    info['data_path'] = '../../etc/episode_{episode_index:06d}.parquet'
    (root / 'meta/info.json').write_text(json.dumps(info))
    with pytest.raises(ValueError, match='outside of its folder'):
        next(LeRobotDataset(root).episodes())


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ('[]', 'expected keys and values'),
        ('{"codebase', 'is not JSON'),
        ({'features': None}, 'needs a data_path, and features'),
        ({'features': [STATE, ACTION]}, 'needs a data_path, and features'),
        ({'features': {STATE: {}, ACTION: {}}}, 'needs a data_path, and features'),
        ({'data_path': None}, 'needs a data_path, and features'),
        ({'data_path': 'data/{nobody}.parquet'}, '{nobody} can be none of'),
        ({'data_path': '{episode_index:9999999999d}'}, 'can be none of'),
        ({'data_path': '{episode_index.__class__}'}, 'can be none of'),
        ({'data_path': '{episode_index!r:>99}'}, 'can be none of'),
    ],
)
def test_a_dataset_whose_description_is_broken_is_refused_in_a_sentence(tmp_path, change, words):
    root = write_dataset(tmp_path / 'set', 'v2.1')
    path = root / 'meta/info.json'
    whole = json.loads(path.read_text())
    path.write_text(change if isinstance(change, str) else json.dumps(whole | change))
    with pytest.raises(ValueError, match=re.escape(words)):
        next(LeRobotDataset(root).episodes())


@pytest.mark.parametrize('file', ['meta/tasks.jsonl', 'meta/episodes.jsonl'])
def test_lines_without_their_keys_are_refused_in_a_sentence(tmp_path, file):
    root = write_dataset(tmp_path / 'set', 'v2.1')
    (root / file).write_text('{"index": 0}\n')
    with pytest.raises(ValueError, match='meta cannot be read: KeyError'):
        LeRobotDataset(root)


def test_joints_and_targets_are_told_by_their_names(tmp_path):
    def state(names, values, time):
        header = build_header(time, '')
        none, values = np.empty(0), np.array(values, float)
        numbers = {'position': values, 'velocity': none, 'effort': none}
        return build('sensor_msgs/msg/JointState', header=header, name=names, **numbers)

    def target(names, values, time):
        none = np.empty(0)
        numbers = {'velocities': none, 'accelerations': none, 'effort': none}
        now = build('builtin_interfaces/msg/Duration', sec=0, nanosec=0)
        kind = 'trajectory_msgs/msg/JointTrajectoryPoint'
        point = build(kind, positions=np.array(values), time_from_start=now, **numbers)
        header = build_header(time, '')
        kind = 'trajectory_msgs/msg/JointTrajectory'
        return build(kind, header=header, joint_names=names, points=[point])

    with BagWriter(tmp_path / 'bag') as writer:
        for step in range(6):
            time = 1 + 0.1 * step
            data = np.frombuffer(encode_jpeg(frame(0, step)), np.uint8)
            kind = 'sensor_msgs/msg/CompressedImage'
            header = build_header(time, 'top')
            picture = build(kind, header=header, format='jpeg', data=data)
            writer.write(camera_topic('top'), picture, time)
            writer.write(JOINT_STATES, state(['a', 'b'], [1 + step, 2], time), time)
            writer.write(JOINT_STATES, state(['grip'], [9], time), time + 0.001)
            names, values = (['a', 'b'], [1.0, 2.0]) if step % 2 else (['b', 'a'], [2.0, 1.0])
            writer.write(TRAJECTORY, target(names, values, time), time)
    recording = read_episode(tmp_path / 'bag')
    assert recording.state_names == ('a', 'b', 'grip')
    np.testing.assert_array_equal(recording.state[:, 0], np.arange(1, 7))
    np.testing.assert_array_equal(recording.state[:, 1:], [[2, 9]] * 6)
    np.testing.assert_array_equal(recording.action, [[2, 1]] * 6)
    assert recording.action_names == ('b', 'a')


def test_a_video_that_ends_early_is_said(tmp_path):
    root = write_dataset(tmp_path / 'set', 'v2.1')
    video = root / f'videos/chunk-000/{IMAGES}top/episode_000000.mp4'
    video.unlink()
    write_video(video, [frame(0, index) for index in range(4)])
    with pytest.raises(ValueError, match='ends at 0.300 s'):
        next(LeRobotDataset(root).episodes())


def test_a_camera_that_was_silent_is_said_when_its_bag_becomes_a_dataset(tmp_path, capsys):
    whole, _ = import_dataset(
        LeRobotDataset(write_dataset(tmp_path / 'set', 'v2.1')), tmp_path / 'bags'
    ).bags
    with BagWriter(tmp_path / 'silent') as writer:
        for m in read_messages(whole):
            if not (m.topic == camera_topic('top') and 1.25 < m.time < 1.55):
                writer.write_serialised(m.topic, m.type, m.serialised, m.time)
    export_lerobot([whole], tmp_path / 'one')
    assert 'silent' not in capsys.readouterr().err
    with pytest.raises(SystemExit, match='1'):
        export_lerobot([tmp_path / 'silent'], tmp_path / 'two')
    said = 'between frames 2 and 3 the camera is silent for 0.40 s'
    assert said in capsys.readouterr().err


def test_a_bag_whose_clock_was_set_becomes_no_dataset(tmp_path):
    whole, _ = import_dataset(
        LeRobotDataset(write_dataset(tmp_path / 'set', 'v2.1')), tmp_path / 'bags'
    ).bags
    with BagWriter(tmp_path / 'set_back') as writer:
        for m in read_messages(whole):
            time = m.time - 0.5 * (m.time > 1.45)
            writer.write_serialised(m.topic, m.type, m.serialised, time)
    with pytest.raises(DamagedBag, match='the clock was set back by 0.50 s'):
        export_dataset([tmp_path / 'set_back'], tmp_path / 'out')


def test_bags_of_different_arms_do_not_become_one_dataset(tmp_path, shared_bag):
    ours = import_dataset(
        LeRobotDataset(write_dataset(tmp_path / 'set', 'v3.0')), tmp_path / 'b'
    ).bags
    with pytest.raises(ValueError, match='a dataset is of one arm'):
        export_dataset([ours[0], shared_bag('g1_real_bottle_small') / '056'], tmp_path / 'mixed')
    assert not (tmp_path / 'mixed').exists()
