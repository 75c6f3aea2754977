# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Where the hand is, by TF: along the tree, with the stamp of what moves, or refused in words."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ros2_gridsampler.calibrating.pose_pairs import pose_matrix
from ros2_gridsampler.seeing.newest_transforms import NewestTransforms

numbers = st.floats(-2, 2)
turns = st.tuples(numbers, numbers, numbers).map(
    lambda vector: Rotation.from_rotvec(vector).as_quat().tolist()
)
links = st.tuples(st.tuples(numbers, numbers, numbers), turns, st.floats(1, 1e6))


def transform(parent, child, place=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0, 1.0), time=1.0):
    """With the fields of a TransformStamped."""
    vector = dict(zip('xyz', place, strict=True))
    quaternion = dict(zip('xyzw', turn, strict=True))
    stamp = SimpleNamespace(sec=int(time), nanosec=round(time % 1 * 1e9))
    return SimpleNamespace(
        header=SimpleNamespace(frame_id=parent, stamp=stamp),
        child_frame_id=child,
        transform=SimpleNamespace(
            translation=SimpleNamespace(**vector), rotation=SimpleNamespace(**quaternion)
        ),
    )


@given(st.lists(links, min_size=1, max_size=6), st.randoms())
def test_a_pose_is_the_product_of_the_matrices_whatever_the_order_of_the_messages(chain, random):
    said = [transform(f'f{i}', f'f{i + 1}', *link) for i, link in enumerate(chain)]
    random.shuffle(said)
    tree = NewestTransforms()
    for each in said:
        tree.add([each], fixed=False)
    time, pose = tree.pose('f0', f'f{len(chain)}')
    expected = np.eye(4)
    for place, turn, _ in chain:
        expected = expected @ pose_matrix(place, turn, 'link')
    np.testing.assert_allclose(pose_matrix(pose[:3], pose[3:], 'pose'), expected, atol=1e-9)
    assert time == pytest.approx(min(link[2] for link in chain))


def test_a_fixed_frame_has_no_age_and_the_newest_of_a_moving_one_counts():
    tree = NewestTransforms()
    tree.add([transform('/base', 'mount', (0, 0, 1), time=0.0)], fixed=True)
    for time in (5.0, 6.0):
        tree.add([transform('mount', 'hand', (time, 0, 0), time=time)], fixed=False)
    time, pose = tree.pose('base', 'hand')
    assert time == 6.0
    assert pose.tolist() == [6.0, 0, 1, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ('said', 'sentence'),
    [
        ([], "TF does not lead from 'base' to 'hand': nobody says where 'hand' is"),
        ([('arm', 'hand')], r"nobody says where 'arm' is; its frames are \['hand'\]"),
        ([('arm', 'hand'), ('hand', 'arm')], "TF has a circle above 'hand'"),
        ([('arm', 'hand'), ('base', 'hand')], "TF gives 'hand' two parents, 'arm' and 'base'"),
        ([('base', 'hand', (float('nan'), 0, 0))], 'TF base -> hand is no transform'),
        ([('base', 'hand', (0, 0, 0), (0, 0, 0, 0))], 'of length 0.0000'),
    ],
)
def test_what_gives_no_pose_is_refused_in_words(said, sentence):
    tree = NewestTransforms()
    with pytest.raises(ValueError, match=sentence):
        tree.add([transform(*each) for each in said], fixed=False)
        tree.pose('base', 'hand')


def test_a_hand_that_is_fixed_to_the_base_is_refused():
    tree = NewestTransforms()
    tree.add([transform('base', 'hand')], fixed=True)
    with pytest.raises(ValueError, match="Nothing moves between 'base' and 'hand'"):
        tree.pose('base', 'hand')


def test_messages_as_a_bag_has_them_are_read():
    typesys = pytest.importorskip('rosbags.typesys')
    store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
    known = {name.rpartition('/')[2]: store.types[name] for name in store.types}
    vector, turn = known['Vector3'](0.1, 0.2, 0.3), known['Quaternion'](0.0, 0.0, 0.0, 1.0)
    stamp = store.types['builtin_interfaces/msg/Time'](7, 500_000_000)
    header = store.types['std_msgs/msg/Header'](stamp, 'base')
    message = store.types['tf2_msgs/msg/TFMessage'](
        [known['TransformStamped'](header, 'hand', known['Transform'](vector, turn))]
    )
    name = 'tf2_msgs/msg/TFMessage'
    back = store.deserialize_cdr(store.serialize_cdr(message, name), name)
    tree = NewestTransforms()
    tree.add(back.transforms, fixed=False)
    time, pose = tree.pose('base', 'hand')
    assert (time, pose.tolist()) == (7.5, [0.1, 0.2, 0.3, 0, 0, 0, 1])


def test_nonsense_on_tf_does_not_fill_the_memory_and_what_is_known_goes_on():
    tree = NewestTransforms()
    tree.add([transform('base', 'hand', time=1.0)], fixed=False)
    with pytest.raises(ValueError, match='TF has more than 10000 frames; .* is left out'):
        tree.add((transform('base', f'frame{i}') for i in range(20_000)), fixed=False)
    tree.add([transform('base', 'hand', time=2.0)], fixed=False)
    assert tree.pose('base', 'hand')[0] == 2.0
