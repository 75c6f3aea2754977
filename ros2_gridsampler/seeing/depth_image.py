# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Fields of an Image or CompressedImage of distances -> distances, and a picture of them.

Encodings and units are those of REP 118: 16UC1 in millimetres, 32FC1 in metres.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from ..bounds import checked
from .camera_message import decode_image
from .opencv import opencv

_MILLIMETRES = ('16UC1', 'mono16')
# What compressed_depth_image_transport puts before the PNG file: a number and two parameters.
_HEADER = 12
_LEVELS = 254


@dataclass(frozen=True)
@checked
class DepthRange:
    """Which distances the picture of a depth camera shows.

    Its pixels are 255 at `nearest` and before, 1 at `farthest` and beyond, and 0 where nothing was
    measured; the three channels say the same. So one step is (farthest - nearest) / 254.

    Attributes:
        nearest: The shortest distance of interest [m].
        farthest: The longest one [m].
    """

    nearest: float = field(metadata={'unit': 'm', 'minimum': 0})
    farthest: float = field(metadata={'unit': 'm', 'above': 0})

    def __post_init__(self) -> None:
        """Refuses a range that is empty."""
        if self.farthest <= self.nearest:
            raise ValueError(
                f'A depth camera needs a farthest distance beyond the nearest, got {self.nearest} '
                f'to {self.farthest} m.'
            )

    def picture(
        self, distances: Float[np.ndarray, 'height width']
    ) -> UInt8[np.ndarray, 'height width 3']:
        """Returns the picture of distances [m]; those that were not measured are NaN."""
        share = (self.farthest - distances) / (self.farthest - self.nearest)
        levels = np.rint(1 + _LEVELS * np.clip(share, 0, 1))
        grey = np.where(np.isnan(distances), 0, levels).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)


def is_depth(message: Any) -> bool:
    """Whether an Image or CompressedImage holds distances, not colours."""
    label = str(getattr(message, 'encoding', getattr(message, 'format', '')))
    return label.startswith(('16UC1', '32FC1')) or 'compressedDepth' in label


def read_picture(message: Any, depth: DepthRange | None) -> UInt8[np.ndarray, 'height width 3']:
    """Decodes what a camera of colours, or one of distances, publishes.

    Args:
        message: Anything with the fields of `sensor_msgs/Image` or `CompressedImage`.
        depth: The range of a camera of distances; None for one of colours.

    Returns:
        RGB, or the picture of the distances.

    Raises:
        ValueError: It is damaged, or of the other kind.
    """
    return decode_image(message) if depth is None else depth.picture(decode_depth(message))


def decode_depth(message: Any) -> Float[np.ndarray, 'height width']:
    """Decodes distances [m]; NaN where nothing was measured (0, NaN or infinite in the message).

    Args:
        message: Anything with the fields of `sensor_msgs/Image` or `CompressedImage`.

    Raises:
        ValueError: It holds colours, is cut short or damaged.
    """
    if hasattr(message, 'encoding'):
        distances = _decode_raw(message)
    else:
        distances = _decode_compressed(message)
    return np.where(np.isfinite(distances) & (distances > 0), distances, np.nan)


def _decode_raw(message: Any) -> Float[np.ndarray, 'height width']:
    encoding = str(message.encoding)
    if encoding not in (*_MILLIMETRES, '32FC1'):
        raise ValueError(
            f'A depth camera publishes 16UC1 [mm] or 32FC1 [m], got {encoding!r}; name the topic '
            'of the distances.'
        )
    kind = 'f4' if encoding == '32FC1' else 'u2'
    number = np.dtype(('>' if message.is_bigendian else '<') + kind)
    height, width, step = int(message.height), int(message.width), int(message.step)
    data = np.frombuffer(message.data, np.uint8)
    if not height or not width or step < width * number.itemsize or data.size < step * height:
        raise ValueError(
            f'A depth image of {width}x{height} pixels of {encoding} with step {step} has '
            f'{data.size} bytes; the message was cut short, or the driver sets step wrong.'
        )
    rows = np.ascontiguousarray(
        data[: step * height].reshape(height, step)[:, : width * number.itemsize]
    )
    numbers = rows.view(number).astype(np.float32)
    return numbers if kind == 'f4' else numbers / np.float32(1000)


def _decode_compressed(message: Any) -> Float[np.ndarray, 'height width']:
    label, data = str(message.format), bytes(message.data)
    if 'compressedDepth' not in label or 'rvl' in label.lower():
        raise ValueError(
            f'A depth camera publishes compressedDepth as PNG, got the format {label!r}; name '
            'that topic, or the raw one.'
        )
    picture = None
    if len(data) > _HEADER:
        cv2 = opencv()
        try:
            stored = np.frombuffer(data, np.uint8, offset=_HEADER)
            picture = cv2.imdecode(stored, cv2.IMREAD_UNCHANGED)
        except cv2.error:  # of a size that no camera has
            picture = None
    if picture is None or picture.dtype != np.uint16 or picture.ndim != 2:
        raise ValueError(
            f'Compressed depth image ({label!r}, {len(data)} bytes) is damaged; drop it and check '
            'the transport.'
        )
    numbers = picture.astype(np.float32)
    if label.startswith(_MILLIMETRES):
        return np.asarray(numbers / np.float32(1000))
    # Metres are stored as steps of the inverse distance, by the two parameters before the file.
    scale, offset = np.frombuffer(data, '<f4', 2, offset=_HEADER - 8)
    with np.errstate(divide='ignore', invalid='ignore'):
        return np.where(numbers > 0, scale / (numbers - offset), np.nan)
