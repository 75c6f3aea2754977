# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Limits are complete or refused; a picture is prepared the same way everywhere."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.seeing.calibration import ImagePreparation, prepare_image
from ros2_gridsampler.seeing.camera_message import CameraIntrinsics

FOLDER = Path(__file__).parents[1] / 'calibration'
BAGS = FOLDER.parents[1] / 'shared' / 'data' / 'bags'
JOINT = {
    'unit': 'rad',
    'min_position': -1.0,
    'max_position': 1.0,
    'max_velocity': 2.0,
    'max_acceleration': 3.0,
    'max_jerk': 4.0,
}
ARM = {
    'name': 'arm',
    'base_frame': 'base',
    'source': 'data sheet',
    'joints': {'first': JOINT, 'second': {**JOINT, 'unit': 'm', 'max_velocity': 5}},
    'end_effector': {
        'workspace': {'min': [0, -1, 0], 'max': [1, 1, 1]},
        'max_speed': 1,
        'max_acceleration': 2,
        'max_jerk': 3,
        'max_rotation_rate': 4,
        'max_rotation_acceleration': 5,
        'max_rotation_jerk': 6,
    },
    'gripper': {'max_opening': 0.08, 'max_speed': 0.1},
}


def load(tmp_path, tree):
    path = tmp_path / 'arm.yaml'
    path.write_text(tree if isinstance(tree, str) else yaml.safe_dump(tree, sort_keys=False))
    return load_arm(path)


def every_key(tree, path=()):
    for key, value in tree.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from every_key(value, (*path, key))


def changed(path, value):
    tree = copy.deepcopy(ARM)
    part = tree
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return tree


@pytest.mark.parametrize('path', sorted(FOLDER.glob('*.yaml')), ids=lambda path: path.stem)
def test_every_arm_in_the_folder_is_complete(path):
    arm = load_arm(path)
    assert arm.name == path.stem
    assert (arm.joints.min_position < arm.joints.max_position).all()


def test_limits_are_read_in_the_order_of_the_file(tmp_path):
    joints = load(tmp_path, ARM).joints
    assert joints.names == ('first', 'second')
    np.testing.assert_array_equal(joints.max_velocity, [2, 5])
    selected = joints.select(['second', 'first'])
    assert (selected.names, selected.units) == (('second', 'first'), ('m', 'rad'))
    assert selected.grips == (False, False)
    np.testing.assert_array_equal(selected.max_velocity, [5, 2])
    np.testing.assert_array_equal(selected.max_jerk, [4, 4])


def test_a_joint_that_holds_things_says_so(tmp_path):
    tree = copy.deepcopy(ARM)
    tree['joints']['second']['grips'] = True
    assert load(tmp_path, tree).joints.select(['second', 'first']).grips == (True, False)
    assert load_arm(FOLDER / 'so101.yaml').joints.grips == (False,) * 5 + (True,)


def test_a_joint_without_limits_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no limits for the joints \['third'\]"):
        load(tmp_path, ARM).joints.select(['first', 'third'])


@pytest.mark.parametrize('path', list(every_key(ARM)), ids='.'.join)
def test_no_key_may_be_missing(tmp_path, path):
    tree = copy.deepcopy(ARM)
    part = tree
    for key in path[:-1]:
        part = part[key]
    del part[path[-1]]
    if path[:1] == ('joints',) and len(path) == 2:
        assert path[1] not in load(tmp_path, tree).joints.names
        return
    with pytest.raises(ValueError, match=rf'arm\.yaml: .*lacks \[{path[-1]!r}\]'):
        load(tmp_path, tree)


@pytest.mark.parametrize(
    ('path', 'value', 'words'),
    [
        (('joints', 'first', 'max_effort'), 3, r"joint 'first' .*unknown \['max_effort'\]"),
        (('extra',), 3, r"unknown \['extra'\]"),
        (('joints', 'first', 'max_velocity'), float('nan'), "joint 'first': max_velocity must be"),
        (('joints', 'first', 'max_velocity'), '2 rad/s', 'without a unit'),
        (('joints', 'first', 'max_velocity'), True, 'without a unit'),
        (('joints', 'first', 'max_jerk'), 0, "joint 'first': max_jerk must be greater than 0"),
        (
            ('joints', 'first', 'min_position'),
            1.0,
            "joint 'first': min_position 1.0 must be below",
        ),
        (('joints', 'first', 'unit'), 'deg', "joint 'first': unit must be one of .* got 'deg'"),
        (('joints', 'first', 'grips'), 'yes', "joint 'first': grips must be true or false"),
        (('joints', 'first'), 7, "joint 'first' must have the keys"),
        (('joints',), {}, 'at least one joint'),
        (('end_effector', 'workspace', 'max'), [1, 1], r'max must be \[x, y, z\]'),
        (('end_effector', 'workspace', 'max'), [1, -2, 1], 'must be below max'),
        (('end_effector', 'workspace', 'min'), [0, float('inf'), 0], 'must be a finite number'),
        (('gripper', 'scale'), 0, 'gripper: scale must not be 0'),
        (('gripper', 'offset'), '0,1', 'gripper: offset must be a finite number'),
        (('gripper', 'max_speed'), -1, 'gripper: max_speed must be greater than 0'),
        (('name',), '', 'name must be a text'),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, path, value, words):
    with pytest.raises(ValueError, match=rf'arm\.yaml: .*{words}'):
        load(tmp_path, changed(path, value))


def test_a_limit_written_twice_does_not_vanish(tmp_path):
    text = yaml.safe_dump(ARM).replace('max_jerk: 4.0', 'max_jerk: 4.0\n    max_jerk: 400.0', 1)
    with pytest.raises(ValueError, match=r"\['max_jerk'\] written twice"):
        load(tmp_path, text)


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    with pytest.raises(ValueError, match=r'arm\.yaml'):
        load(tmp_path, 'joints: [')


def test_a_part_that_the_arm_lacks_is_none_only_if_the_file_says_so(tmp_path):
    arm = load(tmp_path, {**ARM, 'gripper': None, 'end_effector': None})
    assert arm.gripper is None
    assert arm.end_effector is None


def test_a_gripper_whose_joint_closes_it_is_read_by_scale_and_offset():
    robotiq = load_arm(FOLDER / 'ur5e_robotiq_2f85.yaml').gripper
    assert robotiq.opening(np.array([0.0])) == pytest.approx(0.085)
    assert robotiq.opening(np.array([0.8])) == pytest.approx(0.0)
    assert robotiq.opening(np.array([0.81])) == pytest.approx(0.0, abs=0.002), 'pads give way'
    with pytest.raises(ValueError, match='is an opening of 0.1913 m, expected 0 to 0.085 m'):
        robotiq.opening(np.array([-1.0]))


def test_an_arm_that_extends_another_has_its_limits_and_its_own(tmp_path):
    (tmp_path / 'plain.yaml').write_text(yaml.safe_dump(ARM))
    slow = {**ARM['joints']['first'], 'max_velocity': 0.1}
    jaw = {**ARM['joints']['first'], 'grips': True}
    own = {'extends': 'plain', 'name': 'more', 'joints': {'first': slow, 'jaw': jaw}}
    (tmp_path / 'more.yaml').write_text(yaml.safe_dump(own))
    plain, more = (load_arm(tmp_path / f'{name}.yaml') for name in ('plain', 'more'))
    assert (more.name, more.base_frame) == ('more', plain.base_frame)
    assert more.joints.names == ('first', 'second', 'jaw')
    assert more.joints.max_velocity[0] == 0.1
    assert more.joints.grips == (False, False, True)
    np.testing.assert_array_equal(
        more.joints.select(['second']).max_jerk, plain.joints.select(['second']).max_jerk
    )


@pytest.mark.parametrize(
    ('extends', 'sentence'),
    [
        ('nobody', "extends is 'nobody', but there is no .*nobody.yaml"),
        ('own', r"extends goes round: \['own', 'own'\]"),
        ('empty', 'empty.yaml has no keys'),
    ],
)
def test_an_arm_cannot_extend_what_is_no_other_arm(tmp_path, extends, sentence):
    (tmp_path / 'empty.yaml').write_text('')
    (tmp_path / 'own.yaml').write_text(f'extends: {extends}\n')
    with pytest.raises(ValueError, match=sentence):
        load_arm(tmp_path / 'own.yaml')


def test_without_scale_and_offset_the_joints_of_a_gripper_add_up_to_its_opening(tmp_path):
    gripper = load(tmp_path, ARM).gripper
    assert gripper.opening(np.array([0.03, 0.04])) == pytest.approx(0.07)
    with pytest.raises(ValueError, match='scale .1.0. and offset'):
        gripper.opening(np.array([0.8]))


def test_the_limits_of_the_g1_fit_its_real_joints_and_commands():
    bag = BAGS / 'g1_real_bottle_010'
    if not bag.exists():
        pytest.skip('needs ../shared/data')
    highlevel = pytest.importorskip('rosbags.highlevel')
    joints = load_arm(FOLDER / 'g1.yaml').joints
    with highlevel.AnyReader([bag]) as reader:
        commands = []
        for connection, _, raw in reader.messages():
            if connection.topic.endswith('joint_trajectory'):
                message = reader.deserialize(raw, connection.msgtype)
                assert tuple(message.joint_names) == joints.names
                commands.append(message.points[0].positions)
    positions = np.array(commands)
    assert (positions >= joints.min_position).all()
    assert (positions <= joints.max_position).all()
    assert (np.abs(np.diff(positions, axis=0)) * 30 <= joints.max_velocity).all()


@st.composite
def preparations(draw):
    x, y = draw(st.floats(0, 0.9)), draw(st.floats(0, 0.9))
    crop = (x, y, draw(st.floats(0.01, 1)) * (1 - x), draw(st.floats(0.01, 1)) * (1 - y))
    size = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    return ImagePreparation(*size, draw(st.none() | st.just(crop)))


def noise(height=30, width=40):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@given(preparations(), st.integers(1, 50), st.integers(1, 50))
def test_the_result_has_the_size_that_was_asked_for(preparation, height, width):
    result = prepare_image(noise(height, width), preparation)
    assert result.shape == (preparation.height, preparation.width, 3)
    assert result.dtype == np.uint8


def test_a_picture_that_fits_already_is_not_touched():
    rgb = noise()
    assert prepare_image(rgb, ImagePreparation(40, 30)) is rgb


def test_a_crop_takes_its_part_of_the_picture():
    result = prepare_image(noise(), ImagePreparation(20, 15, (0.5, 0.5, 0.5, 0.5)))
    np.testing.assert_array_equal(result, noise()[15:, 20:])


def test_shrinking_averages_instead_of_leaving_out():
    stripes = np.zeros((30, 40, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (prepare_image(stripes, ImagePreparation(10, 30)) == 100).all()


@pytest.mark.parametrize('crop', [(0.5, 0, 0.6, 1), (-0.1, 0, 0.5, 1), (0, 0, 0, 1)])
def test_a_crop_outside_the_picture_is_refused(crop):
    with pytest.raises(ValueError, match='fractions inside the picture'):
        ImagePreparation(4, 4, crop)


def camera(model='plumb_bob', distortion=(-0.3, 0.1, 0.001, -0.001, 0.0)):
    matrix = np.array([[35.0, 0, 20], [0, 35, 15], [0, 0, 1]])
    return CameraIntrinsics(40, 30, matrix, model, np.array(distortion))


def test_rectifying_is_what_opencv_calls_undistorting():
    lens = camera()
    result = prepare_image(noise(), ImagePreparation(40, 30, rectify=True), lens)
    expected = cv2.undistort(noise(), lens.matrix, lens.distortion)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize('lens', [camera('', (0.0,) * 5), camera('equidistant', (0.0,) * 4)])
def test_the_principal_point_stays_where_it_is(lens):
    result = prepare_image(noise(), ImagePreparation(40, 30, rectify=True), lens)
    np.testing.assert_array_equal(result[15, 20], noise()[15, 20])


@pytest.mark.parametrize(
    ('lens', 'size', 'words'),
    [
        (None, (30, 40), 'needs the camera intrinsics'),
        (camera(), (60, 80), 'calibrated at 40x30'),
        (camera('ideal', (0.1,) * 5), (30, 40), "model 'ideal' is not supported"),
    ],
)
def test_what_cannot_be_rectified_is_refused(lens, size, words):
    with pytest.raises(ValueError, match=words):
        prepare_image(noise(*size), ImagePreparation(40, 30, rectify=True), lens)
