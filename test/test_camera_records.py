# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings give a checkpoint the views and lenses that live cameras are compared with."""

import numpy as np
import pytest
from policies import tiny_policy
from test_camera_calibration import run
from test_mount_drift import view

from ros2_gridsampler.bags.bag_writer import BagWriter
from ros2_gridsampler.calibrating.camera_records import record_cameras, take_reference_views
from ros2_gridsampler.calibrating.reference_views import load_reference_views
from ros2_gridsampler.policy.checkpoint import load_checkpoint, save_checkpoint
from ros2_gridsampler.policy.manifest import load_manifest
from ros2_gridsampler.simulation.arm_messages import camera_info, state_messages
from ros2_gridsampler.simulation.arm_state import JOINT_NAMES, ArmState

TOPICS = {name: f'/{name}/image_raw' for name in ('front', 'wrist')}
MATRIX = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Two recordings: 'front' stands still, 'wrist' rides on the arm."""
    folder = tmp_path_factory.mktemp('bags')
    for number in range(2):
        with BagWriter(folder / f'{number}') as writer:
            for step in range(3):
                time = 1.0 + 2 * step
                images = {'front': view(), 'wrist': view(7 * step, 0)}
                zeros = np.zeros(9)
                state = ArmState(images, JOINT_NAMES, zeros, zeros, np.array([0.0] * 7), time)
                for topic, message in state_messages(state, time, compressed=False):
                    writer.write(topic, message, time)
            writer.write('/front/camera_info', camera_info('front', MATRIX, 320, 240, 5.0), 5.0)
    return sorted(folder.iterdir())


def test_the_camera_that_stands_still_gets_its_first_picture_as_reference_view(bags, tmp_path):
    records = record_cameras(bags, TOPICS, tmp_path)
    views = load_reference_views(tmp_path, records)
    assert list(views) == ['front']
    np.testing.assert_array_equal(views['front'], view())
    assert 'rides on the arm' in records['wrist'].no_view_because
    assert records['wrist'].lens is None
    np.testing.assert_array_equal(records['front'].lens.intrinsics.matrix, MATRIX)


def test_a_lens_that_cannot_be_read_is_said_and_costs_no_checkpoint(tmp_path, capsys):
    odd = camera_info('front', MATRIX, 320, 240, 1.0)
    odd.distortion_model, odd.d = 'kannala_brandt', np.zeros(6)
    with BagWriter(tmp_path / 'bag') as writer:
        images = {'front': view(), 'wrist': view()}
        state = ArmState(images, JOINT_NAMES, np.zeros(9), np.zeros(9), np.zeros(7), 1.0)
        for topic, message in state_messages(state, 1.0, compressed=False):
            writer.write(topic, message, 1.0)
        writer.write('/front/camera_info', odd, 1.0)
    records = record_cameras([tmp_path / 'bag'], TOPICS, tmp_path / 'checkpoint')
    assert records['front'].lens is None
    said = capsys.readouterr().out
    assert 'lens of front is not kept' in said
    assert 'kannala_brandt' in said


def test_a_checkpoint_takes_new_views_and_nothing_else_of_it_changes(bags, tmp_path):
    save_checkpoint(tiny_policy(), tmp_path, training={'seed': 3}, results={})
    before = load_manifest(tmp_path)
    records = take_reference_views(tmp_path, bags, TOPICS)
    _, after = load_checkpoint(tmp_path)
    assert after.cameras == records
    assert (after.training, after.weights_sha256) == (before.training, before.weights_sha256)
    with pytest.raises(ValueError, match=r"has no cameras \['roof'\]"):
        take_reference_views(tmp_path, bags, {'roof': '/roof/image_raw'})


def test_the_command_finds_the_topics_and_says_what_it_kept(bags, tmp_path):
    save_checkpoint(tiny_policy(), tmp_path, training={}, results={})
    done = run('reference', tmp_path, *bags)
    assert done.returncode == 0, done.stderr
    assert f'front: {tmp_path}/reference_views/front.png; lens kept' in done.stdout
    assert 'wrist: its own view moves in the recordings' in done.stdout
    assert load_manifest(tmp_path).cameras['front'].reference_view_sha256
