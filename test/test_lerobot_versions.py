# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Datasets of later LeRobot are read, and its own dataset class reads and writes the same."""

import json

import numpy as np
import pyarrow as pa
import pytest
from test_lerobot import FPS, JOINTS, TASKS, frame, of, rows, write_dataset
from test_lerobot_import import TOP, change_info, change_rows, run, shown, with_column

from ros2_gridsampler.datasets.episode_recording import decode_file, read_episode
from ros2_gridsampler.datasets.lerobot_dataset import ACTION, STATE, LeRobotDataset
from ros2_gridsampler.datasets.lerobot_description import IMAGES
from ros2_gridsampler.datasets.lerobot_export import export_dataset
from ros2_gridsampler.datasets.lerobot_import import INSTRUCTION, JOINT_STATES, import_dataset


def test_a_sentence_that_changes_in_an_episode_changes_in_the_bag_and_back(tmp_path):
    root = write_dataset(tmp_path / 'set', 'v3.0')
    change_rows(root, with_column('task_index', lambda tasks: [0, 0, 0, *[1] * 7, 0, 0, 0]))
    bags = import_dataset(LeRobotDataset(root), tmp_path / 'bags').bags
    assert [m.data for m in of(bags[0], INSTRUCTION)] == TASKS
    assert [m.data for m in of(bags[1], INSTRUCTION)] == TASKS[::-1]
    export_dataset(bags, tmp_path / 'exported', 'v3.0')
    again = list(LeRobotDataset(tmp_path / 'exported').episodes())
    assert [each.sentences for each in again] == [
        {0: TASKS[0], 3: TASKS[1]},
        {0: TASKS[1], 2: TASKS[0]},
    ]


@pytest.mark.parametrize('version', ['v3.0', 'v3.1'])
def test_what_later_lerobot_adds_is_named_and_the_rest_is_read(
    tmp_path, monkeypatch, capsys, version
):
    """Language columns with tool calls, depth as video, and who gave the action."""
    root = write_dataset(tmp_path / 'set', 'v3.0')
    info = json.loads((root / 'meta/info.json').read_text())
    info |= {
        'codebase_version': version,
        'data_files_size_in_mb': 100,
        'video_files_size_in_mb': 200,
        'tools': [{'type': 'function', 'function': {'name': 'say'}}],
    }
    language = {'dtype': 'language', 'shape': [1], 'names': None}
    info['features'] |= {
        'language_persistent': language,
        'language_events': language,
        'intervention': {'dtype': 'bool', 'shape': [1], 'names': None},
        f'{IMAGES}depth': {
            'dtype': 'video',
            'shape': [64, 96, 1],
            'names': ['height', 'width', 'channels'],
            'info': {'is_depth_map': True, 'video.pix_fmt': 'gray12le', 'depth_unit': 'm'},
        },
    }
    (root / 'meta/info.json').write_text(json.dumps(info))
    calls = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"name": "say"}'] * 13))
    each = np.arange(14)
    said = pa.StructArray.from_arrays(
        [pa.array(['reach'] * 13), pa.ListArray.from_arrays(each, calls)],
        ['content', 'tool_calls'],
    )
    columns = {
        'language_persistent': pa.ListArray.from_arrays(each, said),
        'language_events': pa.ListArray.from_arrays(0 * each, said[:0]),
        'intervention': pa.array([False] * 13),
    }
    for name, column in columns.items():
        change_rows(root, lambda table, n=name, c=column: table.append_column(n, c))
    assert run(monkeypatch, root, '--out', tmp_path / 'bags') == 0
    text = capsys.readouterr().out
    assert 'such streams: language_persistent, language_events, intervention' in text
    assert 'Not read, as they measure distances: depth' in text
    assert len(of(tmp_path / 'bags/episode_000000', JOINT_STATES)) == 8


@pytest.mark.parametrize('version', ['v1.6', 'v4.0', 'v3', '3.0', None, 7])
def test_a_version_that_nobody_has_described_is_refused_in_a_sentence(tmp_path, version):
    root = write_dataset(tmp_path / 'set', 'v3.0')
    change_info(root, codebase_version=version)
    with pytest.raises(ValueError, match='v2.0, v2.1 and v3 are read. Convert it'):
        LeRobotDataset(root)


@pytest.mark.parametrize(
    ('feature', 'camera'),
    [
        ('observation.image', 'image'),
        ('observation.images.cam.left-rgb', 'cam_left_rgb'),
        ('observation.images.0', 'camera_0'),
    ],
)
def test_a_camera_s_topic_is_one_that_ros_allows(tmp_path, feature, camera):
    root = write_dataset(tmp_path / 'set', 'v2.1')
    info = (root / 'meta/info.json').read_text().replace(f'{IMAGES}top', feature)
    (root / 'meta/info.json').write_text(info)
    (root / f'videos/chunk-000/{IMAGES}top').rename(root / f'videos/chunk-000/{feature}')
    bags = import_dataset(LeRobotDataset(root), tmp_path / 'bags').bags
    assert len(of(bags[0], f'/camera/{camera}/image_raw/compressed')) == 8


def switched(tasks):
    return [*tasks[:-2], 1 - tasks[0], tasks[0]]


@pytest.mark.parametrize('cells', ['video', 'pictures'])
def test_what_was_imported_and_exported_is_read_by_lerobot_itself(tmp_path, cells):
    library = pytest.importorskip('lerobot.datasets.lerobot_dataset')
    root = write_dataset(tmp_path / 'set', 'v2.1' if cells == 'video' else 'v3.0')
    change_rows(
        root, with_column('task_index', lambda tasks: [*tasks[:-2], 1 - tasks[0], tasks[0]])
    )
    bags = import_dataset(LeRobotDataset(root), tmp_path / 'bags').bags
    export_dataset(bags, tmp_path / 'exported', 'v3.0')
    theirs = library.LeRobotDataset('local/exported', root=tmp_path / 'exported')
    assert len(theirs) == 13
    for number, bag in enumerate(bags):
        episode = read_episode(bag)
        begin = int(theirs.meta.episodes[number]['dataset_from_index'])
        for row, (state, action) in enumerate(zip(episode.state, episode.action, strict=True)):
            its = theirs[begin + row]
            np.testing.assert_array_equal(its[STATE].numpy(), state)
            np.testing.assert_array_equal(its[ACTION].numpy(), action)
            assert (its['task'], int(its['episode_index'])) == (episode.tasks[row], number)
            assert float(its['timestamp']) == pytest.approx(row / FPS, abs=1e-4)
            picture = decode_file(episode.pictures['top'][row]).transpose(2, 0, 1) / 255
            # Two decoders of JPEG may round differently.
            np.testing.assert_allclose(its[TOP].numpy(), picture, atol=4 / 255)
    assert theirs.meta.names[STATE] == theirs.meta.names[ACTION] == JOINTS
    # As a policy of theirs draws its chunks, beyond the end of an episode too.
    chunks = library.LeRobotDataset(
        'local/exported', root=tmp_path / 'exported', delta_timestamps={ACTION: [0, 1 / FPS]}
    )
    np.testing.assert_array_equal(chunks[0][ACTION][1].numpy(), theirs[1][ACTION].numpy())
    np.testing.assert_array_equal(chunks[7][ACTION][1].numpy(), theirs[7][ACTION].numpy())
    np.testing.assert_allclose(
        theirs.meta.stats[STATE]['mean'], np.mean([f[STATE].numpy() for f in theirs], 0), atol=1e-5
    )


@pytest.mark.parametrize('videos', [True, False])
def test_what_lerobot_itself_writes_is_imported_row_by_row(tmp_path, videos):
    library = pytest.importorskip('lerobot.datasets.lerobot_dataset')
    features = {
        name: {'dtype': 'float32', 'shape': (3,), 'names': JOINTS} for name in (STATE, ACTION)
    }
    kind = 'video' if videos else 'image'
    features[TOP] = {'dtype': kind, 'shape': (64, 96, 3), 'names': ['height', 'width', 'channels']}
    theirs = library.LeRobotDataset.create(
        'local/written', FPS, features, root=tmp_path / 'set', use_videos=videos
    )
    for episode, length in enumerate((8, 5)):
        state, action = (values.astype(np.float32) for values in rows(episode, length))
        for row in range(length):
            theirs.add_frame(
                {
                    STATE: state[row],
                    ACTION: action[row],
                    TOP: frame(episode, row),
                    'task': TASKS[episode],
                }
            )
        theirs.save_episode()
    theirs.finalize()
    dataset = LeRobotDataset(tmp_path / 'set')
    imported = import_dataset(dataset, tmp_path / 'bags')
    assert (imported.failed, dataset.unlisted) == ({}, '')
    for episode, bag in enumerate(imported.bags):
        state, _ = rows(episode, (8, 5)[episode])
        found = np.array([m.position for m in of(bag, JOINT_STATES)])
        np.testing.assert_array_equal(found, state.astype(np.float32))
        assert [m.data for m in of(bag, INSTRUCTION)] == [TASKS[episode]]
        assert shown(bag) == list(range(len(state)))
