# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Poses of arm and board give the place of the camera; poses that cannot be are refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from board_scene import BOARD, CAMERA, centred, draw_board, pose
from scipy.spatial.transform import Rotation
from test_camera_calibration import run, shared

from ros2_gridsampler.bags.bag_writer import BagWriter, build, build_header
from ros2_gridsampler.calibrating.camera_info_file import from_intrinsics, save_camera_info
from ros2_gridsampler.calibrating.hand_eye import SETUPS, solve_hand_eye
from ros2_gridsampler.calibrating.pose_pairs import PosePairs, load_pose_pairs
from ros2_gridsampler.calibrating.transform_tree import GripperTrack
from ros2_gridsampler.seeing.camera_message import encode_jpeg

PUBLISHED = (0.659, -0.249, 0.830)
# Camera on the hand, 5 cm forward of the flange.
CAMERA_TO_GRIPPER = pose((0.1, -0.05, 1.5), (0.05, 0.01, 0.03))
CAMERA_TO_BASE = pose((-1.9, 0.1, 0.05), (0.6, -0.2, 0.8))


def made_up(setup, count=15, noise=0.0, seed=0, axes=3, board=None):
    """Pairs of a known camera; board positions in front of it, tilted about `axes` axes."""
    random = np.random.default_rng(seed)
    camera = CAMERA_TO_GRIPPER if setup == 'eye-in-hand' else CAMERA_TO_BASE
    other = pose((0.3, 0.2, 0.1), (0.02, 0.03, 0.1))
    grippers, boards = [], []
    for _ in range(count):
        tilt = np.zeros(3)
        tilt[3 - axes :] = random.uniform(-0.5, 0.5, axes)
        centre = (*random.uniform(-0.1, 0.1, 2), random.uniform(0.4, 0.7))
        seen = centred(tilt, centre) if board is None else board(tilt, centre)
        boards.append(seen)
        # A X B = Z: the gripper is where it must be for the board to be seen so.
        if setup == 'eye-in-hand':
            grippers.append(other @ np.linalg.inv(camera @ seen))
        else:
            grippers.append(camera @ seen @ np.linalg.inv(other))
        shake = pose(random.normal(0, noise, 3), random.normal(0, noise, 3))
        boards[-1] = boards[-1] @ shake
    names = tuple(f'pair {i}' for i in range(count))
    return PosePairs(names, np.stack(grippers), np.stack(boards)), camera


def changed(pairs, arm=lambda poses: poses, board=lambda poses: poses):
    return PosePairs(pairs.names, arm(pairs.gripper_to_base), board(pairs.board_to_camera))


def scaled(factor):
    def scale(poses):
        poses = poses.copy()
        poses[:, :3, 3] *= factor
        return poses

    return scale


def mirrored(poses):
    mirror = np.diag([1, -1, 1, 1.0])
    return mirror @ poses @ mirror


def test_fifty_real_poses_give_the_published_camera(tmp_path):
    poses = shared('hand_eye') / 'pose_samples.json'
    result = run('hand-eye', poses, '--json', tmp_path / 'out.json')
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / 'out.json').read_text())
    assert np.linalg.norm(np.subtract(found['translation_m'], PUBLISHED)) < 0.002
    rotation = np.array(found['rotation_matrix'])
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert found['setup'] == 'eye-to-hand'
    assert 0 < found['spread_mm'] < 2
    assert set(found['methods']) == {
        *('tsai', 'park', 'horaud', 'andreff', 'daniilidis'),
        *('shah', 'li'),
    }
    for method in found['methods'].values():
        assert np.linalg.norm(np.subtract(method['translation_m'], PUBLISHED)) < 0.003


@pytest.mark.parametrize('setup', SETUPS)
def test_exact_poses_give_the_exact_camera_and_how_it_is_mounted(setup):
    pairs, camera = made_up(setup)
    found = solve_hand_eye(pairs)
    assert found.setup == setup
    np.testing.assert_allclose(found.camera, camera, atol=1e-5)
    assert found.scale == pytest.approx(1, abs=1e-4)
    assert found.spread < 1e-5


def test_the_spread_says_how_far_the_result_is_off():
    errors, spreads = [], []
    for seed in range(4):
        pairs, camera = made_up('eye-in-hand', noise=0.002, seed=seed)
        found = solve_hand_eye(pairs, 'eye-in-hand')
        errors.append(np.linalg.norm(found.camera[:3, 3] - camera[:3, 3]))
        spreads.append(found.spread)
    assert 0.2 < np.mean(errors) / np.mean(spreads) < 5


def test_the_wrong_mounting_is_refused():
    pairs, _ = made_up('eye-to-hand')
    with pytest.raises(ValueError, match='do not fit eye-in-hand .* but eye-to-hand'):
        solve_hand_eye(pairs, 'eye-in-hand')


@pytest.mark.parametrize('axes', [0, 1])
def test_too_little_rotation_is_refused_with_the_motions_to_add(axes):
    pairs, _ = made_up('eye-in-hand', axes=axes)
    with pytest.raises(ValueError, match=r'Add poses tilted by 20 to 40 degrees .* its \w and'):
        solve_hand_eye(pairs)


@pytest.mark.parametrize(
    ('arm', 'board', 'words'),
    [
        (scaled(1000), None, 'pair 0: gripper_to_base .* millimetres; give metres'),
        (None, scaled(1000), 'pair 0: board_to_camera .* millimetres'),
        (None, scaled(0.001), 'arm seem to be in millimetres'),
        (scaled(0.001), None, 'board seem to be in millimetres'),
        (None, mirrored, 'left-handed frame'),
        (lambda p: p @ np.diag([1, 1, -1, 1.0]), None, r'left-handed \(determinant -1\)'),
        (lambda p: np.roll(p, 1, axis=0), None, 'different moments'),
        (lambda p: 2 * p, None, 'last row'),
        (lambda p: p * np.nan, None, 'finite numbers'),
        (lambda p: np.swapaxes(p, 1, 2), None, 'transpose it'),
    ],
)
def test_poses_that_cannot_be_are_refused(arm, board, words):
    pairs, _ = made_up('eye-to-hand')
    with pytest.raises(ValueError, match=words):
        solve_hand_eye(changed(pairs, arm or np.copy, board or np.copy))


def test_fewer_than_three_pairs_are_refused():
    pairs, _ = made_up('eye-to-hand', 2)
    with pytest.raises(ValueError, match='2 pairs of poses'):
        solve_hand_eye(pairs)


def test_a_wrong_square_size_shows_in_the_motions_of_the_arm():
    pairs, _ = made_up('eye-in-hand', noise=1e-4)
    found = solve_hand_eye(changed(pairs, board=scaled(0.8)), 'eye-in-hand')
    assert found.scale == pytest.approx(1.25, abs=0.01)
    assert 'measure its squares again' in found.warnings[0]


def test_quaternions_that_begin_with_w_are_not_taken_for_too_few_poses():
    pairs, _ = made_up('eye-in-hand')

    def misread(poses):
        poses = poses.copy()
        turns = np.roll(Rotation.from_matrix(poses[:, :3, :3]).as_quat(), 1, axis=1)
        poses[:, :3, :3] = Rotation.from_quat(turns).as_matrix()
        return poses

    with pytest.raises(ValueError, match='written as w x y z'):
        solve_hand_eye(changed(pairs, misread, misread))


def test_a_pair_taken_in_motion_is_named():
    pairs, _ = made_up('eye-in-hand', noise=2e-4)
    moved = pairs.gripper_to_base.copy()
    moved[6, :3, 3] += 0.02
    found = solve_hand_eye(dataclasses.replace(pairs, gripper_to_base=moved), 'eye-in-hand')
    assert any(warning.startswith('pair 6 is') for warning in found.warnings)


def as_quaternion(matrix, factor=1.0):
    turn = factor * Rotation.from_matrix(matrix[:3, :3]).as_quat()
    return {'translation': matrix[:3, 3].tolist(), 'quaternion': turn.tolist()}


@pytest.mark.parametrize('suffix', ['.json', '.yaml'])
def test_both_formats_read_the_same(tmp_path, suffix):
    pairs, _ = made_up('eye-in-hand', 4)
    both = np.stack([pairs.gripper_to_base, pairs.board_to_camera], axis=1)
    (tmp_path / f'moveit{suffix}').write_text(json.dumps(both.tolist()))
    ours = [
        {'gripper_to_base': as_quaternion(a), 'board_to_camera': as_quaternion(b)}
        for a, b in zip(pairs.gripper_to_base, pairs.board_to_camera, strict=True)
    ]
    (tmp_path / f'ours{suffix}').write_text(json.dumps(ours))
    for name in ('moveit', 'ours'):
        again = load_pose_pairs(tmp_path / f'{name}{suffix}')
        np.testing.assert_allclose(again.gripper_to_base, pairs.gripper_to_base, atol=1e-12)
        np.testing.assert_allclose(again.board_to_camera, pairs.board_to_camera, atol=1e-12)


GOOD = as_quaternion(np.eye(4))


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        ('[', 'poses.json'),
        ('{}', 'list of pairs'),
        (json.dumps([[1]]), 'pair 0 must be two poses'),
        (json.dumps([{'gripper_to_base': GOOD}]), r"pair 0 lacks \['board_to_camera'\]"),
        (
            json.dumps([[GOOD, as_quaternion(np.eye(4), 2.0)]]),
            'pair 0: board_to_camera: the quaternion .* must have length 1',
        ),
        (json.dumps([[GOOD, {'position': 1}]]), 'must have translation'),
        (json.dumps([[GOOD, 'x']]), '4x4 matrix of numbers'),
        (json.dumps([[GOOD, GOOD | {'translation': [0, 1]}]]), 'pair 0: board.*three numbers'),
        (json.dumps([[GOOD | {'quaternion': [0, 0, {}, 1]}, GOOD]]), 'pair 0: gripper.*of four'),
    ],
)
def test_a_file_that_holds_no_poses_is_refused(tmp_path, content, words):
    path = tmp_path / 'poses.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=words):
        load_pose_pairs(path)


def build_pose(kind, point, matrix):
    turn = Rotation.from_matrix(matrix[:3, :3]).as_quat()
    x, y, z = matrix[:3, 3]
    place = build(f'geometry_msgs/msg/{point}', x=x, y=y, z=z)
    spin = build('geometry_msgs/msg/Quaternion', **dict(zip('xyzw', turn.tolist(), strict=True)))
    names = ('position', 'orientation') if kind == 'Pose' else ('translation', 'rotation')
    return build(f'geometry_msgs/msg/{kind}', **dict(zip(names, (place, spin), strict=True)))


def write_bag(path: Path, pairs, *, with_tf):
    """Three still frames per pose, as an arm that stops; poses as PoseStamped or TF."""
    time = 100.0
    with BagWriter(path) as bag:
        for gripper, board in zip(pairs.gripper_to_base, pairs.board_to_camera, strict=True):
            jpeg = np.frombuffer(encode_jpeg(draw_board(board)), np.uint8)
            for _ in range(3):
                time += 0.1
                header = build_header(time, 'base')
                if with_tf:
                    transform = build(
                        'geometry_msgs/msg/TransformStamped',
                        header=header,
                        child_frame_id='flange',
                        transform=build_pose('Transform', 'Vector3', gripper),
                    )
                    message = build('tf2_msgs/msg/TFMessage', transforms=[transform])
                    bag.write('/tf', message, time)
                else:
                    message = build(
                        'geometry_msgs/msg/PoseStamped',
                        header=header,
                        pose=build_pose('Pose', 'Point', gripper),
                    )
                    bag.write('/pose', message, time)
                picture = build(
                    'sensor_msgs/msg/CompressedImage',
                    header=build_header(time, 'camera'),
                    format='jpeg',
                    data=jpeg,
                )
                bag.write('/camera/image_raw/compressed', picture, time)


def upright(tilt, centre):
    """A chessboard looks the same from both ends; the finder's end is the upper left one."""
    return centred(0.8 * np.array(tilt), (0.5 * centre[0], 0.5 * centre[1], centre[2]))


@pytest.mark.parametrize('with_tf', [False, True], ids=['PoseStamped', 'TF'])
def test_a_bag_of_board_pictures_and_poses_gives_the_camera(tmp_path, with_tf):
    pairs, camera = made_up('eye-in-hand', 8, board=upright)
    write_bag(tmp_path / 'bag', pairs, with_tf=with_tf)
    save_camera_info(tmp_path / 'camera.yaml', from_intrinsics('camera', CAMERA))
    where = ('--base', 'base', '--gripper', 'flange') if with_tf else ('--pose-topic', '/pose')
    board = ('--columns', BOARD.columns, '--rows', BOARD.rows, '--square', BOARD.square)
    arguments = (*board, '--camera', tmp_path / 'camera.yaml', *where)
    out = tmp_path / 'out.json'
    result = run('hand-eye', tmp_path / 'bag', *arguments, '--setup', 'eye-in-hand', '--json', out)
    assert result.returncode == 0, result.stderr
    found = json.loads(out.read_text())
    assert found['pairs'] == 8
    assert np.linalg.norm(np.subtract(found['translation_m'], camera[:3, 3])) < 0.002


@pytest.mark.parametrize(
    ('links', 'words'),
    [
        ([('base', 'a'), ('a', 'tool'), ('tool', 'b'), ('b', 'a')], "two parents of 'a'"),
        ([('tool', 'a'), ('a', 'tool')], "a circle in its TF above 'tool'"),
        ([('base', 'a'), ('a', 'tool'), ('other', 'tool')], "two parents of 'tool'"),
    ],
)
def test_frames_without_one_way_to_the_base_are_refused(tmp_path, links, words):
    with BagWriter(tmp_path / 'bag') as bag:
        for number, (parent, child) in enumerate(links):
            transform = build(
                'geometry_msgs/msg/TransformStamped',
                header=build_header(1.0 + number, parent),
                child_frame_id=child,
                transform=build_pose('Transform', 'Vector3', np.eye(4)),
            )
            message = build('tf2_msgs/msg/TFMessage', transforms=[transform])
            bag.write('/tf', message, 1.0 + number)
    with pytest.raises(ValueError, match=words):
        GripperTrack(tmp_path / 'bag', '', 'base', 'tool')


def test_frames_that_the_recording_lacks_are_named(tmp_path):
    pairs, _ = made_up('eye-in-hand', 3, board=upright)
    write_bag(tmp_path / 'bag', pairs, with_tf=True)
    save_camera_info(tmp_path / 'camera.yaml', from_intrinsics('camera', CAMERA))
    board = ('--columns', BOARD.columns, '--rows', BOARD.rows, '--square', BOARD.square)
    result = run('hand-eye', tmp_path / 'bag', *board, '--camera', tmp_path / 'camera.yaml')
    assert result.returncode == 1
    assert "no TF from 'base_link' to 'tool0'" in result.stderr
    result = run('hand-eye', tmp_path / 'bag', *board)
    assert "no CameraInfo on '/camera/camera_info', which is not there" in result.stderr
    result = run('hand-eye', tmp_path / 'bag', *board, '--camera', '/tf')
    assert "no CameraInfo on '/tf', which is a tf2_msgs" in result.stderr
