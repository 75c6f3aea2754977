# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Distances become the picture that a policy sees, or a sentence says why they cannot."""

import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from ros2_gridsampler.seeing.camera_message import decode_image
from ros2_gridsampler.seeing.depth_image import DepthRange, decode_depth, is_depth, read_picture

RANGE = DepthRange(0.2, 1.47)


def raw(distances, encoding, *, big=False, pad=0):
    """An Image of these distances [m]; `pad` bytes end every row."""
    order = '>' if big else '<'
    if encoding == '32FC1':
        numbers = np.asarray(distances, order + 'f4')
    else:
        numbers = np.rint(1000 * np.nan_to_num(distances)).astype(order + 'u2')
    height, width = numbers.shape
    rows = [row.tobytes() + bytes(pad) for row in numbers]
    return SimpleNamespace(
        encoding=encoding,
        height=height,
        width=width,
        step=len(rows[0]),
        is_bigendian=int(big),
        data=b''.join(rows),
    )


def compressed(distances, encoding):
    """As compressed_depth_image_transport stores them."""
    scale, offset = 10.0, -1.0
    if encoding == '32FC1':
        with np.errstate(divide='ignore', invalid='ignore'):
            stored = np.where(distances > 0, np.rint(scale / distances + offset), 0)
    else:
        stored = np.rint(1000 * np.nan_to_num(distances))
    png = cv2.imencode('.png', np.nan_to_num(stored).astype(np.uint16))[1].tobytes()
    header = struct.pack('<iff', 0, scale, offset)
    return SimpleNamespace(format=f'{encoding}; compressedDepth png', data=header + png)


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
@given(
    some.lists(some.floats(2**-9, 60.0, width=32), min_size=6, max_size=6),
    some.booleans(),
    some.integers(0, 5),
)
def test_distances_are_what_the_driver_measured(encoding, numbers, big, pad):
    distances = np.array(numbers, np.float32).reshape(2, 3)
    message = raw(distances, encoding, big=big, pad=pad)
    assert is_depth(message)
    near = 5.1e-4 if encoding == '16UC1' else 1e-7
    np.testing.assert_allclose(decode_depth(message), distances, rtol=1e-6, atol=near)


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
def test_compressed_distances_are_those_that_were_compressed(encoding):
    distances = np.array([[0.25, 0.5, 1.0], [2.0, np.nan, 4.0]], np.float32)
    message = compressed(distances, encoding)
    assert is_depth(message)
    np.testing.assert_allclose(decode_depth(message), distances, rtol=0.2)
    assert np.isnan(decode_depth(message)[1, 1])


@pytest.mark.parametrize('nothing', [0.0, np.nan, np.inf, -np.inf, -1.0])
def test_what_was_not_measured_is_black_and_nothing_else_is(nothing):
    distances = np.full((2, 2), 0.8, np.float32)
    distances[0, 0] = nothing
    picture = read_picture(raw(distances, '32FC1'), RANGE)
    assert (picture[0, 0] == 0).all()
    assert (picture.reshape(-1, 3)[1:] > 0).all()


def test_a_picture_of_distances_goes_from_white_at_the_nearest_to_dark_at_the_farthest():
    distances = np.array([[0.05, 0.2, 0.835], [1.465, 1.47, 30.0]], np.float32)
    picture = RANGE.picture(decode_depth(raw(distances, '32FC1')))
    assert picture.shape == (2, 3, 3)
    np.testing.assert_array_equal(picture[..., 0], [[255, 255, 128], [2, 1, 1]])
    np.testing.assert_array_equal(picture[..., 0], picture[..., 2])


@pytest.mark.parametrize(
    ('message', 'words'),
    [
        (SimpleNamespace(encoding='rgb8'), 'publishes 16UC1 .mm. or 32FC1 .m., got .rgb8.'),
        (SimpleNamespace(format='jpeg', data=b'1'), 'compressedDepth as PNG, got the format .jp'),
        (SimpleNamespace(format='16UC1; compressedDepth rvl', data=b'1' * 99), 'as PNG, got'),
        (SimpleNamespace(format='16UC1; compressedDepth png', data=b'1' * 99), 'is damaged'),
        (SimpleNamespace(format='16UC1; compressedDepth png', data=b''), 'is damaged'),
    ],
)
def test_what_holds_no_distances_is_refused_with_a_sentence(message, words):
    with pytest.raises(ValueError, match=words):
        read_picture(message, RANGE)


def test_a_depth_image_that_is_cut_short_is_refused():
    message = raw(np.ones((4, 4)), '16UC1')
    message.data = message.data[:-1]
    with pytest.raises(ValueError, match='4x4 pixels of 16UC1 with step 8 has 31 bytes'):
        decode_depth(message)


def test_a_depth_image_of_a_size_that_no_camera_has_is_refused():
    message = compressed(np.ones((4, 4)), '16UC1')
    head = bytearray(message.data[: 12 + 33])
    # Width and height of the first chunk, behind the transport's header and PNG's mark.
    head[12 + 16 : 12 + 24] = struct.pack('>II', 100_000, 100_000)
    head[12 + 29 : 12 + 33] = struct.pack('>I', zlib.crc32(head[12 + 12 : 12 + 29]))
    message.data = bytes(head) + message.data[12 + 33 :]
    with pytest.raises(ValueError, match='is damaged; drop it'):
        decode_depth(message)


def test_a_camera_of_colours_still_refuses_distances():
    with pytest.raises(ValueError, match='16UC1'):
        decode_image(raw(np.ones((4, 4)), '16UC1'))


@pytest.mark.parametrize('bounds', [(0.5, 0.5), (1.0, 0.2), (-0.1, 1.0), (0.0, np.inf)])
def test_a_range_that_shows_nothing_cannot_be_made(bounds):
    with pytest.raises(ValueError, match='farthest|nearest'):
        DepthRange(*bounds)
