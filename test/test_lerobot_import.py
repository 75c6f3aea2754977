# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Datasets as they are found become right bags, or a sentence says what is wrong with them."""

import json

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from test_lerobot import (
    FPS,
    JOINTS,
    TASKS,
    frame,
    of,
    rows,
    write_dataset,
    write_lines,
    write_video,
)

from ros2_gridsampler.command_line import main
from ros2_gridsampler.datasets.lerobot_dataset import ACTION, STATE, LeRobotDataset
from ros2_gridsampler.datasets.lerobot_description import IMAGES, entry_names
from ros2_gridsampler.datasets.lerobot_import import (
    INSTRUCTION,
    JOINT_STATES,
    TRAJECTORY,
    ImportChoice,
    camera_topic,
    chosen_episodes,
    import_dataset,
)
from ros2_gridsampler.datasets.lerobot_units import physical_scale
from ros2_gridsampler.seeing.camera_message import decode_image

TOP = f'{IMAGES}top'


def change_info(root, **values):
    path = root / 'meta/info.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change_feature(root, feature, **values):
    info = json.loads((root / 'meta/info.json').read_text())
    info['features'][feature] |= values
    (root / 'meta/info.json').write_text(json.dumps(info))


def change_rows(root, change):
    for path in root.glob('data/**/*.parquet'):
        parquet.write_table(change(parquet.read_table(path)), path)


def with_column(name, change):
    def changed(table):
        values = change(np.array(table.column(name).to_pylist()))
        kind = table.schema.field(name).type
        place = table.column_names.index(name)
        return table.set_column(place, name, pa.array(list(values), kind))

    return changed


def run(monkeypatch, *arguments):
    """Exit status of the command."""
    monkeypatch.setattr('sys.argv', ['gridsampler', 'import', *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return end.code or 0
    return 0


def shown(bag):
    """Which frame each picture shows, by how green it is."""
    pictures = [decode_image(m) for m in of(bag, camera_topic('top'))]
    number = int(bag.name.rpartition('_')[2])
    return [round((float(p[..., 1].mean()) - 60 * number) / 12) for p in pictures]


@pytest.mark.parametrize('version', ['v2.0', 'v2.1', 'v3.0'])
def test_rows_whose_times_do_not_fit_the_frames_are_refused_with_both_numbers(tmp_path, version):
    layout = 'v3.0' if version == 'v3.0' else 'v2.1'
    root = write_dataset(tmp_path / 'set', layout)
    change_info(root, codebase_version=version)
    change_rows(root, with_column('timestamp', lambda times: 0.72 * times))
    dataset = LeRobotDataset(root)
    refused = import_dataset(dataset, tmp_path / 'refused')
    assert not refused.bags
    assert set(refused.failed) == {0, 1}
    assert 'row 1 says 0.0720 s, but frame 1 of' in refused.failed[0]
    assert 'is at 0.1000 s' in refused.failed[0]
    by_index = import_dataset(dataset, tmp_path / 'index', ImportChoice('index'))
    assert [shown(bag) for bag in by_index.bags] == [list(range(8)), list(range(5))]
    by_time = import_dataset(dataset, tmp_path / 'time', ImportChoice('time'))
    assert shown(by_time.bags[0]) == [0, 1, 1, 2, 3, 4, 4, 5]


def test_a_video_of_another_rate_is_refused_and_read_by_index(tmp_path, monkeypatch):
    root = write_dataset(tmp_path / 'set', 'v2.1')
    monkeypatch.setattr('test_lerobot.FPS', 2 * FPS)
    for episode, length in ((0, 8), (1, 5)):
        video = root / f'videos/chunk-000/{TOP}/episode_{episode:06d}.mp4'
        video.unlink()
        write_video(video, [frame(episode, index) for index in range(length)])
    dataset = LeRobotDataset(root)
    assert 'row 1 says 0.1000 s' in import_dataset(dataset, tmp_path / 'both').failed[0]
    found = import_dataset(dataset, tmp_path / 'index', ImportChoice('index'))
    assert [shown(bag) for bag in found.bags] == [list(range(8)), list(range(5))]


def test_a_stamp_that_float32_rounds_is_no_disagreement(tmp_path):
    root = write_dataset(tmp_path / 'set', 'v3.0')
    change_rows(root, with_column('timestamp', lambda t: t + 5e-5 * np.sin(np.arange(len(t)))))
    assert not import_dataset(LeRobotDataset(root), tmp_path / 'bags').failed


NESTINGS = {
    'list': ['a', 'b', 'c'],
    'list in a list': [['a', 'b', 'c']],
    'lists in a list': [['a'], ['b', 'c']],
    'group': {'motors': ['a', 'b', 'c']},
    'groups': {'left': {'arm': ['a', 'b']}, 'right': [['c']]},
    'places': {'c': 2, 'a': 0, 'b': 1},
}


@pytest.mark.parametrize('nesting', NESTINGS)
def test_names_arrive_however_they_are_nested(tmp_path, nesting):
    root = write_dataset(tmp_path / 'set', 'v3.0')
    for feature in (STATE, ACTION):
        change_feature(root, feature, names=NESTINGS[nesting])
    (bag, _) = import_dataset(LeRobotDataset(root), tmp_path / 'bags').bags
    assert list(of(bag, JOINT_STATES)[0].name) == ['a', 'b', 'c']
    assert list(of(bag, TRAJECTORY)[0].joint_names) == ['a', 'b', 'c']


@given(
    st.recursive(
        st.lists(st.text(min_size=1), max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_no_name_is_lost_in_any_nesting(names):
    def leaves(part):
        inner = part.values() if isinstance(part, dict) else part
        return [part] if isinstance(part, str) else [leaf for p in inner for leaf in leaves(p)]

    found = entry_names(names)
    assert len(found) == len(leaves(names))
    assert all(name.endswith(leaf) for name, leaf in zip(found, leaves(names), strict=True))


def test_a_name_that_two_arms_have_gets_the_arm_before_it():
    both = {'left': ['elbow', 'wrist'], 'right': ['elbow', 'wrist']}
    assert entry_names(both) == ['left_elbow', 'left_wrist', 'right_elbow', 'right_wrist']


def test_names_that_do_not_fit_are_refused_and_given_by_a_file(tmp_path, monkeypatch, capsys):
    root = write_dataset(tmp_path / 'set', 'v2.1')
    change_feature(root, STATE, names=['motors'])
    assert run(monkeypatch, root, '--out', tmp_path / 'refused') != 0
    assert 'has 3 entries, but the dataset names 1' in capsys.readouterr().err
    given_names = tmp_path / 'names.yaml'
    given_names.write_text(yaml.safe_dump({'state': ['x', 'y', 'z'], 'action': JOINTS}))
    out = tmp_path / 'bags'
    assert run(monkeypatch, root, '--out', out, '--names', given_names) == 0
    assert list(of(out / 'episode_000001', JOINT_STATES)[0].name) == ['x', 'y', 'z']
    assert list(of(out / 'episode_000001', TRAJECTORY)[0].joint_names) == JOINTS
    given_names.write_text('[x, y]')
    assert run(monkeypatch, root, '--out', tmp_path / 'two', '--names', given_names) != 0
    assert 'names 2 entries of observation.state, which has 3' in capsys.readouterr().err


def test_degrees_become_radians(tmp_path):
    dataset = LeRobotDataset(write_dataset(tmp_path / 'set', 'v2.1'))
    (bag, _) = import_dataset(dataset, tmp_path / 'bags', ImportChoice(unit='deg')).bags
    state, action = rows(0, 8)
    found = np.array([m.position for m in of(bag, JOINT_STATES)])
    np.testing.assert_allclose(found, np.deg2rad(state.astype(np.float32)), rtol=1e-6)
    found = np.array([m.points[0].positions for m in of(bag, TRAJECTORY)])
    np.testing.assert_allclose(found, np.deg2rad(action.astype(np.float32)), rtol=1e-6)


def test_percent_of_the_range_become_radians_by_the_arm_s_calibration(tmp_path):
    motors = {
        'shoulder': {'drive_mode': 0, 'range_min': 1000, 'range_max': 3000},
        'elbow': {'drive_mode': 1, 'range_min': 500, 'range_max': 2500},
        'gripper': {'drive_mode': 0, 'range_min': 2000, 'range_max': 3500},
    }
    path = tmp_path / 'arm.json'
    path.write_text(json.dumps(motors))
    names = ['shoulder.pos', 'elbow.pos', 'gripper.pos']
    scale, offset = physical_scale('percent', names, str(path))
    turn = 2 * np.pi / 4095
    np.testing.assert_allclose(
        scale * [100, 100, 100] + offset, turn * np.array([1000, -1000, 1500])
    )
    np.testing.assert_allclose(scale * [-100, 0, 0] + offset, turn * np.array([-1000, 0, 0]))
    so101 = ['shoulder_pan', 'gripper']
    scale, offset = physical_scale('percent', so101, 'so101')
    np.testing.assert_allclose(scale * [100, 100] + offset, [1.91986, 1.74533], rtol=1e-5)
    np.testing.assert_allclose(scale * [-100, 0] + offset, [-1.91986, -0.174533], rtol=1e-5)
    with pytest.raises(ValueError, match='need the range'):
        physical_scale('percent', names, '')
    with pytest.raises(ValueError, match="has no 'wrist'"):
        physical_scale('percent', ['wrist'], str(path))
    path.write_text('{"shoulder": {"range_min": 1}}')
    with pytest.raises(ValueError, match='no calibration of lerobot'):
        physical_scale('percent', names, str(path))


@pytest.mark.parametrize('version', ['v2.1', 'v3.0'])
def test_a_bad_episode_is_left_out_and_said_and_the_others_are_there(
    tmp_path, monkeypatch, capsys, version
):
    root = write_dataset(tmp_path / 'set', version)

    def spoil(table):
        episodes = table.column('episode_index').to_numpy()
        state = np.array(table.column(STATE).to_pylist())
        state[np.flatnonzero(episodes == 0)[2:3], 1] = np.nan
        return with_column(STATE, lambda _: state)(table)

    change_rows(root, spoil)
    assert run(monkeypatch, root, '--out', tmp_path / 'bags') == 1
    words = capsys.readouterr()
    assert 'episode 0: observation.state is nan in row 2, entry 1 (elbow)' in words.err
    assert 'Left out: 1 episodes (0)' in words.err
    assert '1 bags in' in words.out
    assert shown(tmp_path / 'bags/episode_000001') == list(range(5))
    assert not (tmp_path / 'bags/episode_000000').exists()
    assert run(monkeypatch, root, '--out', tmp_path / 'one', '--episodes', '1') == 0
    assert [path.name for path in (tmp_path / 'one').glob('episode*')] == ['episode_000001']


def test_episodes_that_are_not_listed_are_said(tmp_path, monkeypatch, capsys):
    root = write_dataset(tmp_path / 'set', 'v2.1')
    change_info(root, total_episodes=3)
    assert run(monkeypatch, root, '--out', tmp_path / 'bags') == 1
    assert 'should have 3 episodes by meta/info.json, 2 are listed' in capsys.readouterr().err
    assert run(monkeypatch, root, '--out', tmp_path / 'bags', '--episodes', '0-1') == 0


def test_episodes_are_chosen_by_ranges():
    there = range(100)
    assert chosen_episodes('80-83,7, 90', there) == [7, 80, 81, 82, 83, 90]
    assert chosen_episodes('', there) == list(there)
    for text, words in (
        ('98-101', r'no episodes \[100, 101\]'),
        ('9-3', 'like 80-99'),
        ('a', 'a'),
    ):
        with pytest.raises(ValueError, match=words):
            chosen_episodes(text, there)


def write_pictures(root, cell):
    """A v2.1 dataset with a PNG file for each row; `cell` says what the table holds of it."""
    write_dataset(root, 'v2.1', (3, 4))
    change_feature(root, TOP, dtype='image')
    for episode, path in enumerate(sorted(root.glob('data/**/*.parquet'))):
        cells = []
        table = parquet.read_table(path)
        for index in range(len(table)):
            name = f'images/{TOP}/episode_{episode:06d}/frame_{index:06d}.png'
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / name), cv2.cvtColor(frame(episode, index), cv2.COLOR_RGB2BGR))
            cells.append(cell(name))
        parquet.write_table(table.append_column(TOP, pa.array(cells)), path)
    return LeRobotDataset(root)


@pytest.mark.parametrize(
    'cell',
    [
        lambda name: {'bytes': None, 'path': name},
        lambda name: {'bytes': None, 'path': name.rpartition('/')[2]},
        str,
    ],
)
def test_a_picture_that_is_a_path_is_read_from_it(tmp_path, cell):
    dataset = write_pictures(tmp_path / 'set', cell)
    bags = import_dataset(dataset, tmp_path / 'bags').bags
    for episode, bag in enumerate(bags):
        for index, message in enumerate(of(bag, camera_topic('top'))):
            np.testing.assert_array_equal(decode_image(message), frame(episode, index))


@pytest.mark.parametrize('name', ['nowhere.png', '../../outside.png', '/etc/hostname'])
def test_a_picture_that_is_not_in_the_dataset_is_named(tmp_path, name):
    dataset = write_pictures(tmp_path / 'set', lambda _: {'bytes': None, 'path': name})
    failed = import_dataset(dataset, tmp_path / 'bags').failed
    assert f"the picture of top in row 0 is '{name}', which is not in the folder" in failed[0]


def test_a_cell_without_a_picture_is_named(tmp_path):
    dataset = write_pictures(tmp_path / 'set', lambda _: {'bytes': b'GIF89a', 'path': None})
    failed = import_dataset(dataset, tmp_path / 'bags').failed
    assert 'in row 0 is' in failed[1]
    assert 'expected PNG or JPEG' in failed[1]


@pytest.mark.parametrize('version', ['v2.1', 'v3.0'])
def test_rows_without_a_task_have_that_of_their_episode(tmp_path, version):
    root = write_dataset(tmp_path / 'set', version)
    change_rows(root, lambda table: table.drop_columns(['task_index']))
    bags = import_dataset(LeRobotDataset(root), tmp_path / 'bags').bags
    assert [of(bag, INSTRUCTION)[0].data for bag in bags] == TASKS


def test_an_episode_without_any_task_is_left_out_with_what_to_do(tmp_path):
    root = write_dataset(tmp_path / 'set', 'v2.1')
    change_rows(root, with_column('task_index', lambda tasks: tasks + 7))
    write_lines(
        root / 'meta/episodes.jsonl',
        [{'episode_index': i, 'length': n} for i, n in ((0, 8), (1, 5))],
    )
    failed = import_dataset(LeRobotDataset(root), tmp_path / 'bags').failed
    assert 'row 0 has the task_index 7, which meta/ does not explain' in failed[0]


@pytest.mark.parametrize(
    ('spoil', 'words'),
    [
        (
            lambda root: next(root.glob('data/**/*000000.parquet')).unlink(),
            'its rows should be in',
        ),
        (lambda root: next(root.glob('videos/**/*000000.mp4')).unlink(), 'its video should be'),
        (
            lambda root: next(root.glob('videos/**/*000000.mp4')).write_bytes(b'no video'),
            'episode_000000.mp4 cannot be decoded',
        ),
        (
            lambda root: change_rows(root, lambda t: t.slice(0, len(t) - 1)),
            'should have 8 rows, 7 are in',
        ),
        (
            lambda root: change_rows(root, with_column('timestamp', lambda t: t[::-1])),
            'its timestamps do not rise: row 1 says 0.6000 s after 0.7000 s',
        ),
        (
            lambda root: change_rows(root, with_column('timestamp', lambda t: t + np.nan)),
            'timestamp is nan in row 0',
        ),
        (
            lambda root: change_rows(root, with_column(ACTION, lambda a: a[:, :2])),
            'action has 2 entries in row 0, the dataset says 3',
        ),
        (
            lambda root: change_rows(root, lambda t: t.drop_columns([ACTION])),
            "its rows lack ['action']",
        ),
    ],
)
def test_what_is_wrong_with_an_episode_is_one_sentence(tmp_path, spoil, words):
    root = write_dataset(tmp_path / 'set', 'v2.1')
    spoil(root)
    assert words in import_dataset(LeRobotDataset(root), tmp_path / 'bags').failed[0]


def test_bags_that_were_imported_otherwise_are_not_mixed(tmp_path):
    dataset = LeRobotDataset(write_dataset(tmp_path / 'set', 'v2.1'))
    import_dataset(dataset, tmp_path / 'bags', ImportChoice(episodes='0'))
    assert len(import_dataset(dataset, tmp_path / 'bags').bags) == 2
    with pytest.raises(ValueError, match='imported otherwise'):
        import_dataset(dataset, tmp_path / 'bags', ImportChoice(unit='deg'))


def test_a_depth_camera_is_no_colour_camera(tmp_path):
    root = write_dataset(tmp_path / 'set', 'v2.1')
    info = json.loads((root / 'meta/info.json').read_text())
    info['features'][f'{IMAGES}depth'] = {
        'dtype': 'video',
        'shape': [64, 96, 1],
        'info': {'video.is_depth_map': True},
    }
    (root / 'meta/info.json').write_text(json.dumps(info))
    dataset = LeRobotDataset(root)
    assert (dataset.cameras, dataset.depths) == (['top'], ['depth'])


def test_the_odd_datasets_come_out_right(tmp_path, shared_data):
    dataset = LeRobotDataset(shared_data('odd_datasets/rows_and_video_disagree'))
    assert set(import_dataset(dataset, tmp_path / 'refused').failed) == {0, 1, 2}
    for number in dataset.numbers:
        by_index = dataset.episode(number, 'index')
        assert len(by_index.pictures['cam_high']) == len(by_index.timestamps)
    dataset = LeRobotDataset(shared_data('odd_datasets/names_in_nested_list'))
    assert dataset.names(STATE)[:2] == ['kLeftShoulderPitch', 'kLeftShoulderRoll']
    dataset = LeRobotDataset(shared_data('odd_datasets/picture_is_a_path'))
    assert len(dataset.episode(0).pictures['cam']) == 40
