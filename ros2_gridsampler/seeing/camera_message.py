# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Fields of Image, CompressedImage and CameraInfo -> RGB array, camera intrinsics, seconds."""

import importlib
import importlib.util
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from .opencv import opencv

# Encoding -> bytes per pixel and OpenCV's name of what makes RGB of it ('': nothing to do).
_CONVERSIONS: dict[str, tuple[int, str]] = {
    'rgb8': (3, ''),
    'bgr8': (3, 'COLOR_BGR2RGB'),
    'rgba8': (4, 'COLOR_RGBA2RGB'),
    'bgra8': (4, 'COLOR_BGRA2RGB'),
    'mono8': (1, 'COLOR_GRAY2RGB'),
    'mono16': (2, 'COLOR_GRAY2RGB'),
    # What OpenCV calls them; its colours are in the order blue, green, red.
    '8UC1': (1, 'COLOR_GRAY2RGB'),
    '8UC3': (3, 'COLOR_BGR2RGB'),
    '8UC4': (4, 'COLOR_BGRA2RGB'),
    'uyvy': (2, 'COLOR_YUV2RGB_UYVY'),
    'yuv422': (2, 'COLOR_YUV2RGB_UYVY'),
    'yuyv': (2, 'COLOR_YUV2RGB_YUYV'),
    'yuv422_yuy2': (2, 'COLOR_YUV2RGB_YUYV'),
    # A plane of Y, below it one of half the height with the colours of 2x2 pixels.
    'nv12': (1, 'COLOR_YUV2RGB_NV12'),
    'nv21': (1, 'COLOR_YUV2RGB_NV21'),
    # ROS names the first two rows from the left, OpenCV the second and third pixel of the second
    # and of the third row: RGGB is BG.
    'bayer_rggb8': (1, 'COLOR_BayerBG2RGB'),
    'bayer_bggr8': (1, 'COLOR_BayerRG2RGB'),
    'bayer_gbrg8': (1, 'COLOR_BayerGR2RGB'),
    'bayer_grbg8': (1, 'COLOR_BayerGB2RGB'),
}
TRANSPORTS = ('compressed', 'compressedDepth', 'ffmpeg', 'h264', 'h265')
"""Last part of a picture's topic that only says how it is carried."""
_JPEG_START, _JPEG_END = b'\xff\xd8', b'\xff\xd9'
_PNG_START = b'\x89PNG\r\n\x1a\n'
# Numbers by OpenCV's names of types: depth, masks, heights; only those of 8 bits are pictures.
_NUMBERS = re.compile(r'\b(?!8U)\d+[USF]C\d\b')


class UncalibratedCamera(ValueError):
    """CameraInfo of a camera that nobody has calibrated: its K is all zero."""


@dataclass(frozen=True, eq=False)
class CameraIntrinsics:
    """How a camera projects.

    Attributes:
        width: The width of the pictures it was calibrated with [px].
        height: Likewise [px].
        matrix: K, from the optical frame (x right, y down, z forward) to pixels.
        distortion_model: 'plumb_bob', 'rational_polynomial', 'equidistant', or empty.
        distortion: Coefficients in the order of OpenCV.
    """

    width: int
    height: int
    matrix: Float[np.ndarray, '3 3']
    distortion_model: str
    distortion: Float[np.ndarray, ' coefficients']

    def same_as(self, other: 'CameraIntrinsics') -> bool:
        """Whether every number is the same."""
        return (
            (self.width, self.height, self.distortion_model)
            == (other.width, other.height, other.distortion_model)
            and np.array_equal(self.matrix, other.matrix)
            and np.array_equal(self.distortion, other.distortion)
        )


def camera_info_topic(picture_topic: str) -> str:
    """Where the CameraInfo of a camera is, by the convention of image_transport.

    Beside the pictures: '/front/image_raw/compressed' has '/front/camera_info'.
    """
    base, _, last = picture_topic.rpartition('/')
    return (base if last in TRANSPORTS else picture_topic).rpartition('/')[0] + '/camera_info'


def stamp_seconds(stamp: Any) -> float:
    """Seconds of a `builtin_interfaces/Time` [s]."""
    return float(stamp.sec) + float(stamp.nanosec) * 1e-9


def decode_image(message: Any) -> UInt8[np.ndarray, 'height width 3']:
    """Returns the picture of a message.

    Args:
        message: Anything with the fields of `sensor_msgs/Image` or `CompressedImage`.

    Returns:
        RGB. For rgb8 a view of the message's own data, read-only where that is.

    Raises:
        ValueError: Unknown encoding, empty, too short, or not a whole JPEG or PNG file.
    """
    if refused := getattr(message, 'refused', ''):
        raise ValueError(refused)  # a packet of a video, see `video_packets`
    if hasattr(message, 'encoding'):
        return _decode_raw(message)
    return _decode_compressed(message)


def encode_jpeg(rgb: UInt8[np.ndarray, 'height width 3'], quality: int = 95) -> bytes:
    """Encode an RGB picture as JPEG; `quality` is 0 to 100.

    Raises:
        ValueError: Not an RGB picture of bytes.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        raise ValueError(
            f'A JPEG is made of uint8 [height, width, 3], got {rgb.dtype} {rgb.shape}.'
        )
    cv2 = opencv()
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return bytes(encoded.tobytes())


def holds_numbers(data: bytes) -> bool:
    """Whether a file is a PNG of one channel of 16 bits, as depth cameras write them."""
    return data.startswith(_PNG_START) and data[24:26] == b'\x10\x00'


def intrinsics(message: Any) -> CameraIntrinsics:
    """Returns the intrinsics of a camera.

    Args:
        message: Anything with the fields of `sensor_msgs/CameraInfo`.

    Raises:
        UncalibratedCamera: K is all zero, which by REP 104 says "not calibrated".
        ValueError: K or the coefficients cannot belong to a camera.
    """
    matrix = np.array(message.k, np.float64)
    distortion = np.array(message.d, np.float64)
    if not matrix.any():
        raise UncalibratedCamera(
            'CameraInfo has K = 0, so the camera is not calibrated; calibrate it, or use a '
            'checkpoint whose cameras are not rectified.'
        )
    if matrix.size != 9 or not np.isfinite(matrix).all() or matrix[0] <= 0 or matrix[4] <= 0:
        raise ValueError(
            'CameraInfo needs nine finite numbers in K with positive focal lengths, '
            f'got {matrix.tolist()}.'
        )
    if not np.isfinite(distortion).all():
        raise ValueError(f'CameraInfo has distortion that is not finite: {distortion.tolist()}.')
    counts = (4,) if message.distortion_model == 'equidistant' else (0, 4, 5, 8, 12, 14)
    if len(distortion) not in counts:
        raise ValueError(
            f'CameraInfo says {str(message.distortion_model)!r} and has {len(distortion)} '
            f'coefficients, expected {" or ".join(map(str, counts))}; calibrate the camera again.'
        )
    return CameraIntrinsics(
        int(message.width),
        int(message.height),
        matrix.reshape(3, 3),
        str(message.distortion_model),
        distortion,
    )


def _decode_raw(message: Any) -> UInt8[np.ndarray, 'height width 3']:
    encoding = str(message.encoding)
    if encoding not in _CONVERSIONS:
        return _decode_with_cv_bridge(message)
    pixel_bytes, conversion = _CONVERSIONS[encoding]
    height, width, step = int(message.height), int(message.width), int(message.step)
    flat = np.frombuffer(message.data, np.uint8)
    if not (height and width and flat.size):
        raise ValueError(
            f'Camera image is empty: {width}x{height} pixels, {flat.size} bytes; check the driver.'
        )
    rows_sent = height
    if encoding.startswith('nv'):
        if height % 2:
            raise ValueError(
                f'Camera image {encoding!r} has {height} rows, expected an even number.'
            )
        rows_sent = height * 3 // 2
    if step < width * pixel_bytes:
        raise ValueError(
            f'Camera image has step {step}, but {width} pixels of {encoding!r} take '
            f'{width * pixel_bytes} bytes; the driver must set step to the bytes per row.'
        )
    if flat.size < step * rows_sent:
        raise ValueError(
            f'Camera image has {flat.size} bytes, but {rows_sent} rows of step {step} are '
            f'{step * rows_sent}; the message was cut short.'
        )
    rows = flat[: step * rows_sent].reshape(rows_sent, step)[:, : width * pixel_bytes]
    if encoding == 'mono16':
        order = '>u2' if message.is_bigendian else '<u2'
        deep = np.ascontiguousarray(rows).view(order).astype(np.uint32)
        # 65535 / 255 = 257: full scale stays full scale, as in cv_bridge.
        rows = ((deep + 128) // 257).astype(np.uint8)
        pixel_bytes = 1
    # The row padding, where there is one, becomes a stride: nothing is copied.
    pixels = rows.reshape(rows_sent, width, pixel_bytes)
    if not conversion:
        return pixels
    cv2 = opencv()
    try:
        return np.asarray(cv2.cvtColor(pixels, getattr(cv2, conversion)), np.uint8)
    except cv2.error as error:  # of an odd width, or too small for a mosaic
        raise ValueError(
            f'Camera image of {width}x{height} pixels cannot be {encoding!r}; check the driver.'
        ) from error


def _decode_compressed(message: Any) -> UInt8[np.ndarray, 'height width 3']:
    # compressed_image_transport writes '<encoding>; jpeg compressed <stored encoding>'.
    label = str(message.format)
    data = bytes(message.data)
    if not data:
        raise ValueError(f'Compressed camera image ({label!r}) is empty; check the driver.')
    if 'depth' in label.lower() or _NUMBERS.search(label):
        raise ValueError(
            f'Compressed camera image of format {label!r} holds depth or other numbers, not a '
            'picture; name the topic of the colour camera.'
        )
    if not data.startswith((_JPEG_START, _PNG_START)):
        raise ValueError(
            f'Compressed camera image of format {label!r} is neither JPEG nor PNG '
            f'(it starts with {data[:4].hex()}); publish one of these.'
        )
    if label.startswith('bayer_') and data.startswith(_PNG_START):
        raise ValueError(
            f'Compressed camera image ({label!r}) holds the raw mosaic of the sensor, not a '
            'picture; publish the debayered topic, or the raw one.'
        )
    if holds_numbers(data) and 'mono16' not in label:
        raise ValueError(
            f'Compressed camera image of format {label!r} has one channel of 16 bits, as '
            'distances have; name the topic of the colour camera, or label it mono16 if it is a '
            'picture.'
        )
    cv2 = opencv()
    # Decoders fill the missing part of a cut file with grey and do not complain.
    size = _jpeg_size(data) if data.startswith(_JPEG_START) else _png_size(data)
    whole, picture = size > 0, None
    try:
        if whole:
            picture = cv2.imdecode(np.frombuffer(data, np.uint8, size), cv2.IMREAD_COLOR)
    except cv2.error:  # of a size that no camera has
        picture = None
    if picture is None:
        raise ValueError(
            f'Compressed camera image ({label!r}, {len(data)} bytes) is '
            f'{"damaged" if whole else "cut short"}; drop it and check the transport.'
        )
    if 'compressed rgb8' in label:
        # Stored without the customary swap, so what OpenCV takes for blue is red.
        return np.asarray(picture, np.uint8)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _jpeg_size(data: bytes) -> int:
    """Bytes up to and with the end of a JPEG file; 0 where it is cut short.

    Drivers send buffers with zeros or the rest of an older picture behind the end.
    """
    place = 2
    while 0 <= place < len(data) - 1:
        if data[place] != 0xFF:  # bytes that belong to nothing
            place = _scan_end(data, place)
            continue
        marker = data[place + 1]
        if marker == _JPEG_END[1]:
            return place + 2
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker != 0x01 and not 0xD0 <= marker <= 0xD7:  # all others have a length
            place += 2 + int.from_bytes(data[place + 2 : place + 4], 'big')
        else:
            place += 2
        if marker == 0xDA:
            place = _scan_end(data, place)
    return 0


def _scan_end(data: bytes, place: int) -> int:
    """Where in a JPEG file the marker after the numbers of a scan is; -1 for nowhere."""
    while (place := data.find(b'\xff', place)) >= 0 and place + 1 < len(data):
        following = data[place + 1]
        if following and not 0xD0 <= following <= 0xD7:  # neither an escaped 0xff nor a restart
            return place
        place += 2
    return -1


def _png_size(data: bytes) -> int:
    """Bytes up to and with the end of a PNG file; 0 where it is cut short."""
    place = len(_PNG_START)
    while place + 12 <= len(data):
        chunk = data[place + 4 : place + 8]
        place += 12 + int.from_bytes(data[place : place + 4], 'big')
        if chunk == b'IEND':
            return place if place <= len(data) else 0
    return 0


def _decode_with_cv_bridge(message: Any) -> UInt8[np.ndarray, 'height width 3']:
    """What OpenCV alone does not convert, where a ROS 2 installation brings cv_bridge."""
    supported = (
        f'Camera encoding {message.encoding!r} is not supported; publish one of '
        f'{sorted(_CONVERSIONS)}'
    )
    if not _has_ros2_cv_bridge():
        raise ValueError(f'{supported}, or install cv_bridge of your ROS 2 distribution.')
    bridge, reason = _cv_bridge()
    if bridge is None:
        raise ValueError(f'{supported}: cv_bridge cannot be imported ({reason}).')
    try:
        return np.asarray(bridge.imgmsg_to_cv2(message, 'rgb8'), np.uint8)
    except Exception as error:  # cv_bridge raises its own, OpenCV's and KeyError
        raise ValueError(f'{supported}: cv_bridge cannot convert it either ({error}).') from error


@lru_cache(maxsize=1)
def _cv_bridge() -> tuple[Any, str]:
    """A CvBridge, or None and why not; tried once, for a failure takes long and prints much."""
    try:
        return importlib.import_module('cv_bridge').CvBridge(), ''
    except Exception as error:  # built for another NumPy: AttributeError, ImportError, SystemError
        return None, f'{type(error).__name__}: {error}'


def _has_ros2_cv_bridge() -> bool:
    """Whether `import cv_bridge` finds a ROS 2 package; PyPI's is ROS 1 code that fails later."""
    spec = importlib.util.find_spec('cv_bridge')
    if spec is None or not spec.origin:
        return False
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    marker = Path('share/ament_index/resource_index/packages/cv_bridge')
    return any(
        (prefix / marker).exists() and prefix in Path(spec.origin).parents for prefix in prefixes
    )
