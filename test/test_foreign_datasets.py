# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Datasets that were cached, renamed or recorded otherwise; bags whose streams end apart."""

import shutil

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from test_lerobot import TASKS, frame, write_dataset, write_video
from test_lerobot_import import TOP, change_rows, run, shown, with_column, write_pictures

from ros2_gridsampler.bags.bag_reader import read_messages
from ros2_gridsampler.bags.bag_writer import BagWriter, build, build_header
from ros2_gridsampler.datasets.episode_recording import decode_file, read_episode
from ros2_gridsampler.datasets.lerobot_dataset import ACTION, STATE, LeRobotDataset
from ros2_gridsampler.datasets.lerobot_export import export_dataset
from ros2_gridsampler.datasets.lerobot_import import JOINT_STATES, camera_topic, import_dataset
from ros2_gridsampler.seeing.camera_message import decode_image, encode_jpeg

NOISE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
SMOOTH = frame(0, 6)


@pytest.mark.parametrize('version', ['v2.1', 'v3.0'])
def test_a_dataset_whose_files_are_links_into_a_cache_is_read(tmp_path, version):
    source, cached = write_dataset(tmp_path / 'source', version), tmp_path / 'snapshot'
    for number, file in enumerate(sorted(path for path in source.rglob('*') if path.is_file())):
        link, blob = cached / file.relative_to(source), tmp_path / f'blobs/{number}'
        for path in (link, blob):
            path.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(shutil.move(file, blob))
    found = import_dataset(LeRobotDataset(cached), tmp_path / 'bags')
    assert (len(found.bags), found.failed) == (2, {})
    assert [shown(bag) for bag in found.bags] == [[*range(8)], [*range(5)]]


def change_episodes(root, change):
    (path,) = (root / 'meta/episodes').rglob('*.parquet')
    parquet.write_table(change(parquet.read_table(path)), path)


def without_values(column):
    def changed(table):
        place = table.column_names.index(column)
        return table.set_column(place, column, pa.nulls(len(table), pa.float64()))

    return changed


@pytest.mark.parametrize('column', ['file_index', 'from_timestamp'])
@pytest.mark.parametrize('gone', ['renamed', 'empty'])
def test_an_episode_whose_place_in_a_video_is_not_said_gets_no_other_ones_pictures(
    tmp_path, column, gone
):
    root = write_dataset(tmp_path / 'set', 'v3.0')
    name = f'videos/{TOP}/{column}'

    def rename(table):
        return table.rename_columns([n.replace(TOP, 'old') for n in table.column_names])

    change_episodes(root, rename if gone == 'renamed' else without_values(name))
    found = import_dataset(LeRobotDataset(root), tmp_path / 'bags')
    assert not found.bags
    assert all('does not say its videos/' in reason for reason in found.failed.values())


def test_an_episode_with_more_rows_than_its_part_of_the_video_is_refused(tmp_path):
    root = write_dataset(tmp_path / 'set', 'v3.0')
    change_episodes(root, with_column(f'videos/{TOP}/to_timestamp', lambda ends: ends - 0.3))
    found = import_dataset(LeRobotDataset(root), tmp_path / 'bags')
    assert not found.bags
    assert 'its part of file-000.mp4 lasts 0.500 s' in found.failed[0]


@pytest.mark.parametrize('feature', [STATE, ACTION])
def test_numbers_that_are_no_radians_are_refused_until_their_unit_is_said(
    tmp_path, monkeypatch, capsys, feature
):
    root = write_dataset(tmp_path / 'set', 'v2.1')
    change_rows(root, with_column(feature, lambda rows: 90 * rows))
    assert run(monkeypatch, root, '--out', tmp_path / 'bags') == 1
    said = capsys.readouterr().err
    assert f'{feature} goes up to' in said
    assert '--unit deg or --unit percent' in said
    assert not list((tmp_path / 'bags').glob('episode_*'))
    for unit in ('deg', 'same'):
        assert run(monkeypatch, root, '--out', tmp_path / unit, '--unit', unit) == 0


def test_a_task_without_a_sentence_is_not_the_sentence_none(tmp_path):
    root = write_dataset(tmp_path / 'set', 'v2.1')
    path = root / 'meta/tasks.jsonl'
    path.write_text(path.read_text().replace(f'"{TASKS[1]}"', 'null'))
    dataset = LeRobotDataset(root)
    # The description of the episode still says it.
    assert dataset.episode(1).sentences == {0: TASKS[1]}


def test_distances_among_the_pictures_are_named(tmp_path):
    depth = cv2.imencode('.png', np.full((48, 64), 4000, np.uint16))[1].tobytes()
    dataset = write_pictures(tmp_path / 'set', lambda name: {'bytes': depth, 'path': None})
    with pytest.raises(ValueError, match='one channel of 16 bits, as distances have'):
        dataset.episode(0)
    image = build(
        'sensor_msgs/msg/CompressedImage',
        header=build_header(1.0, 'front'),
        format='png',
        data=np.frombuffer(depth, np.uint8),
    )
    with pytest.raises(ValueError, match='one channel of 16 bits, as distances have'):
        decode_image(image)


def test_a_damaged_video_gives_no_pictures_that_nobody_filmed(tmp_path):
    root = write_dataset(tmp_path / 'set', 'v2.1')
    video = root / f'videos/chunk-000/{TOP}/episode_000000.mp4'
    write_video(video, [frame(0, index) for index in range(8)])
    data = bytearray(video.read_bytes())
    place = data.index(b'mdat')
    begin = place + int.from_bytes(data[place - 4 : place], 'big') // 2
    data[begin : begin + 60] = bytes(255 - byte for byte in data[begin : begin + 60])
    video.write_bytes(data)
    with pytest.raises(ValueError, match='is damaged at|cannot be decoded'):
        LeRobotDataset(root).episode(0)


def test_a_damaged_note_of_an_import_is_named(tmp_path):
    dataset = LeRobotDataset(write_dataset(tmp_path / 'set', 'v2.1'))
    import_dataset(dataset, tmp_path / 'bags')
    (tmp_path / 'bags/import.json').write_text('{"dat')
    with pytest.raises(ValueError, match=r'import\.json, which says how .* is damaged'):
        import_dataset(dataset, tmp_path / 'bags')


@pytest.fixture
def bag(tmp_path):
    dataset = LeRobotDataset(write_dataset(tmp_path / 'set', 'v2.1', (40,)))
    return import_dataset(dataset, tmp_path / 'bags').bags[0]


def changed(bag, out, change):
    """The same bag; `change` gives (topic, message) for each message."""
    with BagWriter(out) as writer:
        for m in read_messages(bag):
            for topic, message in change(m):
                writer.write(topic, message, m.time)
    return out


def picture(rgb, time, label='rgb8; jpeg compressed bgr8', *, swapped=False):
    return build(
        'sensor_msgs/msg/CompressedImage',
        header=build_header(time, 'front'),
        format=label,
        data=np.frombuffer(encode_jpeg(rgb[..., ::-1] if swapped else rgb), np.uint8),
    )


@pytest.mark.parametrize('stream', ['camera', 'joints'])
def test_a_stream_that_stops_before_the_first_camera_is_not_repeated_into_a_dataset(
    tmp_path, bag, stream
):
    def change(m):
        if m.topic != JOINT_STATES or stream != 'joints' or m.time < 2.5:
            yield m.topic, m.message
        if m.topic == camera_topic('top') and (stream != 'camera' or m.time < 2.5):
            yield camera_topic('wrist'), m.message

    with pytest.raises(ValueError, match='is silent for 2.5. s at frame 39 of 40'):
        export_dataset([changed(bag, tmp_path / 'odd', change)], tmp_path / 'out')


def test_frames_before_a_stream_has_begun_are_left_out(tmp_path, bag):
    def change(m):
        if m.topic != JOINT_STATES or m.time > 1.95:
            yield m.topic, m.message

    late = read_episode(changed(bag, tmp_path / 'late', change))
    whole = read_episode(bag)
    assert len(late.times) == 30
    np.testing.assert_array_equal(late.state, whole.state[10:])
    assert late.pictures['top'] == whole.pictures['top'][10:]


def test_no_camera_is_lost_because_its_topic_is_called_like_another_one(tmp_path, bag):
    topics = ('/camera/image_raw', '/camera/color/image_raw', '/camera/color/image_raw/compressed')

    def change(m):
        yield m.topic, m.message
        if m.topic == camera_topic('top'):
            yield from ((topic, m.message) for topic in topics)

    pictures = read_episode(changed(bag, tmp_path / 'odd', change)).pictures
    assert sorted(pictures) == ['camera_color_image_raw', 'camera_image_raw', 'top']


def test_colours_that_a_label_says_are_exchanged_are_put_right(tmp_path, bag):
    def exchanged(m):
        if m.topic != camera_topic('top'):
            yield m.topic, m.message
        else:
            label = 'rgb8; jpeg compressed rgb8'
            yield m.topic, picture(SMOOTH, m.time, label, swapped=True)

    shown = decode_file(read_episode(changed(bag, tmp_path / 'odd', exchanged)).pictures['top'][0])
    assert np.abs(shown.astype(int) - SMOOTH).mean() < 3
    assert np.abs(shown[..., ::-1].astype(int) - SMOOTH).mean() > 50


@pytest.mark.parametrize('odd', ['size', 'cut'])
def test_a_picture_that_no_dataset_can_hold_is_refused_with_its_place(tmp_path, bag, odd):
    def change(m):
        message = m.message
        if m.topic == camera_topic('top') and m.time > 2:
            message = picture(NOISE[:24], m.time)
            if odd == 'cut':
                message = picture(NOISE, m.time)
                message.data = message.data[:-50]
        yield m.topic, message

    words = 'a camera of a dataset has one size' if odd == 'size' else 'cut short'
    with pytest.raises(ValueError, match=f'/top/.* at [23]\\.[01]00 s: .*{words}'):
        export_dataset([changed(bag, tmp_path / 'odd', change)], tmp_path / 'out')
