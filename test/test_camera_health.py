# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A camera that shows nothing is named before anything is judged by it or learned from it."""

import json
from pathlib import Path

import numpy as np
import pytest
from arm_recordings import CAMERA, arm_policy, run_command, write_arm
from hypothesis import given
from hypothesis import strategies as st

from ros2_gridsampler.bags.bag_reader import read_messages
from ros2_gridsampler.bags.bag_writer import BagWriter, build, build_header
from ros2_gridsampler.bags.camera_health import CameraHealth
from ros2_gridsampler.evaluating.bag_survey import survey_bags
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.seeing.camera_message import encode_jpeg

ODD = Path(__file__).parents[2] / 'shared/data/odd_bags'
PICTURES = {
    'black': np.zeros((96, 128, 3), np.uint8),
    'blank': np.full((96, 128, 3), 128, np.uint8),
    '': np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8),
}


def compressed(rgb, time=0.0, cut=0):
    data = np.frombuffer(encode_jpeg(rgb), np.uint8)
    return build(
        'sensor_msgs/msg/CompressedImage',
        header=build_header(time, 'front'),
        format='rgb8; jpeg compressed bgr8',
        data=data[: len(data) - cut],
    )


def raw(rgb):
    return build(
        'sensor_msgs/msg/Image',
        header=build_header(0.0, 'front'),
        height=rgb.shape[0],
        width=rgb.shape[1],
        encoding='rgb8',
        is_bigendian=0,
        step=3 * rgb.shape[1],
        data=rgb.reshape(-1),
    )


@given(
    st.lists(st.sampled_from(['black', 'blank', '', 'broken']), min_size=1, max_size=30),
    st.booleans(),
)
def test_every_picture_is_counted_as_what_it_shows(kinds, as_jpeg):
    health = CameraHealth()
    for number, kind in enumerate(kinds):
        if kind == 'broken':
            message = compressed(PICTURES[''], cut=40 + number % 7)
        else:
            picture = PICTURES[kind].copy()
            picture[0, 0] += np.uint8(number % 3)  # or one would repeat the one before
            message = compressed(picture) if as_jpeg else raw(picture)
        assert health.add(message) == kind
    counts = [health.black, health.blank, health.broken]
    assert counts == [kinds.count(kind) for kind in ('black', 'blank', 'broken')]
    assert health.pictures == len(kinds)
    assert bool(health.dark) >= (len(kinds) > 1 and '' not in kinds)


def darkened(bag, out, share, picture=PICTURES['black']):
    """The same bag, but that share of its pictures, from the begin, is another one."""
    messages = list(read_messages(bag))
    pictures = sum(m.topic == CAMERA for m in messages)
    seen = 0
    with BagWriter(out) as writer:
        for m in messages:
            if m.topic == CAMERA:
                seen += 1
                if seen <= share * pictures:
                    small = np.ascontiguousarray(picture[:72, :96]).copy()
                    small[0, :6] = np.unpackbits(np.array([seen], np.uint8))[2:, None]
                    stamp = m.message.header.stamp
                    message = compressed(small, stamp.sec + 1e-9 * stamp.nanosec)
                    writer.write(CAMERA, message, m.time)
                    continue
            writer.write_serialised(m.topic, m.type, m.serialised, m.time)
    return out


@pytest.fixture(scope='module')
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp('policy') / 'policy'
    save_checkpoint(arm_policy(), folder, training={}, results={})
    return folder


def test_no_verdict_rests_on_pictures_that_show_nothing_and_the_camera_comes_first(
    tmp_path, policy, capsys
):
    bag = darkened(write_arm(tmp_path / 'arm', 30), tmp_path / 'dark', 0.6)
    assert run_command((bag,), policy, tmp_path / 'out', bag=False) == 1
    report = json.loads((tmp_path / 'out/report.json').read_text())
    assert report['verdict'].startswith('No verdict: it would rest on 12 of 30 frames')
    assert report['findings'] == [f'Look at camera front ({CAMERA}): 18 of 30 frames are black.']
    assert report['streams']['camera front']['black_frames'] == 18
    assert not report['judged']
    capsys.readouterr()
    # Who accepts less gets a verdict, and is still told.
    out = tmp_path / 'less'
    assert run_command((bag,), policy, out, bag=False, least_share=0.3) == 0
    assert 'Look at camera front' in capsys.readouterr().out


def test_a_bag_without_a_verdict_is_left_out_of_the_sums_and_named(tmp_path, policy):
    good = write_arm(tmp_path / 'good', 30)
    second = write_arm(tmp_path / 'second', 20)
    dark = darkened(good, tmp_path / 'dark', 1.0)
    assert run_command((good, second), policy, tmp_path / 'two', bag=False) == 0
    assert run_command((good, dark, second), policy, tmp_path / 'three', bag=False) == 1
    two, three = (
        json.loads((tmp_path / name / 'report.json').read_text()) for name in ('two', 'three')
    )
    assert three['left_out'] == ['dark']
    assert 'left out: dark' in three['verdict']
    for key in ('frames', 'mean_absolute_error', 'critical_interval_mse', 'gripper_events'):
        assert three[key] == two[key]


def test_episodes_with_a_dark_camera_are_refused_left_out_or_kept_as_one_says(tmp_path):
    good = write_arm(tmp_path / 'good', 20)
    dark = darkened(good, tmp_path / 'dark', 1.0)
    bags, streams = [good, dark], [{'camera front': CAMERA, 'joints': '/joint_states'}] * 2

    def survey(choice):
        return survey_bags(bags, streams, [(CAMERA,)] * 2, choice, tmp_path / 'cache')

    with pytest.raises(ValueError, match=r'In 1 of 2 episodes .* dark .*--dark-cameras leave-out'):
        survey('refuse').used(bags)
    assert survey('leave-out').used(bags) == [good]
    assert survey('keep').used(bags) == bags
    left_out = survey('leave-out')
    assert 'the whole episode' in left_out.table()
    assert '20 of 20 frames are black' in left_out.table()
    assert left_out.card()['left_out'] == ['dark']
    assert left_out.card()['black'] == 20
    with pytest.raises(ValueError, match='none is left'):
        survey_bags([dark], streams[:1], [(CAMERA,)], 'leave-out', tmp_path / 'cache').used([dark])


def test_the_shared_recording_of_a_black_camera_gives_no_verdict(tmp_path, capsys):
    bag = ODD / 'camera_black.mcap'
    if not bag.exists():
        pytest.skip('../shared/data is not here')
    arm = str(Path(__file__).parents[1] / 'calibration/g1.yaml')
    out = tmp_path / 'out'
    assert run_command((bag,), 'g1_bottle', out, arm=arm, bag=False) == 1
    report = json.loads((out / 'report.json').read_text())
    assert report['pictures'] == 301
    assert report['streams']['camera high']['black_frames'] == 301
    assert 'it would rest on 0 of 301 frames' in report['verdict']
    assert report['findings'][0].startswith('Look at camera high')
