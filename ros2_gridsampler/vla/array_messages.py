# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Values and arrays of numbers <-> the bytes in which openpi's servers and clients exchange them.

MessagePack, in which an array is a map of its bytes, its dtype and its shape. There are no arrays
of objects and nothing is unpickled; what is said of sizes is compared with the bytes that came
before anything is made from it.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 64 << 20
"""Longest message that is read or written."""
_MAX_DIMENSIONS, _MAX_SIDE = 8, 1 << 31
# Each of these may be claimed anew by every level of nesting.
_MAX_ITEMS, _MAX_KEYS, _MAX_TEXT = 1 << 12, 1 << 9, 1 << 20
_ARRAY, _SCALAR = b'__ndarray__', b'__npgeneric__'
_ITEMS = ('b1', 'i1', 'u1', 'i2', 'u2', 'i4', 'u4', 'i8', 'u8', 'f2', 'f4', 'f8')
DTYPES: Mapping[str, np.dtype[Any]] = {
    np.dtype(f'{order}{item}').str: np.dtype(f'{order}{item}') for order in '<>' for item in _ITEMS
}
"""How messages call the dtypes that they may hold, like '<f4' -> the dtype."""


def encode_message(content: Mapping[str, Any]) -> bytes:
    """Returns the bytes of a message.

    Args:
        content: Numbers, text, bytes, arrays, and lists and maps of these.

    Raises:
        ValueError: It holds anything else, or is longer than `MAX_BYTES`.
    """
    import msgpack

    try:
        data = msgpack.packb(content, default=_packed)
    except (TypeError, OverflowError) as error:
        raise ValueError(f'The message cannot be written: {error}.') from error
    if len(data) > MAX_BYTES:
        raise ValueError(f'The message has {len(data)} bytes; at most {MAX_BYTES} are sent.')
    return bytes(data)


def decode_message(data: bytes) -> dict[str, Any]:
    """Returns what a message holds; its arrays are read-only and in the machine's byte order.

    Raises:
        ValueError: It is no message of this kind, or more than a message may be; says what is
            wrong with it.
    """
    import msgpack

    if len(data) > MAX_BYTES:
        raise ValueError(f'The message has {len(data)} bytes; at most {MAX_BYTES} are read.')
    try:
        content = msgpack.unpackb(
            data,
            object_hook=_unpacked,
            ext_hook=_refuse_extension,
            max_array_len=_MAX_ITEMS,
            max_map_len=_MAX_KEYS,
            max_str_len=_MAX_TEXT,
            max_bin_len=MAX_BYTES,
            max_ext_len=0,
        )
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f'The message is not MessagePack of openpi: {reason}.') from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        kind = type(content).__name__
        raise ValueError(f'A message is a map of names to values, got {kind}: {content!r:.60}.')
    return content


def as_numbers(value: Any, name: str) -> NDArray[np.float64]:
    """Returns an array, or lists of numbers, of a message as float64.

    Args:
        value: What the message holds.
        name: What it is called there.

    Raises:
        ValueError: It holds anything but real numbers, or its lists are of unequal length.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f'{name!r} has lists of unequal length; send an array.') from error
    if array.dtype.kind not in 'iuf':
        raise ValueError(f'{name!r} has to hold numbers, got {array.dtype}: {value!r:.60}.')
    return array.astype(np.float64)


def _packed(value: Any) -> dict[bytes, Any]:
    if isinstance(value, np.ndarray | np.generic) and value.dtype.str in DTYPES:
        if isinstance(value, np.generic):
            return {_SCALAR: True, b'data': value.item(), b'dtype': value.dtype.str}
        kind, shape = value.dtype.str, value.shape
        return {_ARRAY: True, b'data': value.tobytes(), b'dtype': kind, b'shape': shape}
    kind = value.dtype if isinstance(value, np.ndarray | np.generic) else type(value).__name__
    raise TypeError(f'{kind} is no kind of number, text or list')


def _unpacked(content: dict[Any, Any]) -> Any:
    if _ARRAY in content:
        return _array(content)
    if _SCALAR in content:
        return _scalar(content)
    return content


def _array(content: dict[Any, Any]) -> NDArray[Any]:
    kind, data, shape = _dtype(content), content.get(b'data'), content.get(b'shape')
    if not isinstance(data, bytes):
        raise ValueError(f'an array has no bytes but {type(data).__name__}')
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS:
        raise ValueError(f'an array has no shape of up to {_MAX_DIMENSIONS} sides: {shape!r:.60}')
    if not all(type(side) is int and 0 <= side < _MAX_SIDE for side in shape):
        raise ValueError(f'an array has the impossible shape {shape!r:.60}')
    expected = math.prod(shape) * kind.itemsize
    if expected != len(data):
        raise ValueError(
            f'an array of shape {shape} and dtype {kind.str} has {expected} bytes, got {len(data)}'
        )
    array = np.frombuffer(data, kind).reshape(shape)
    # Where the machine has the same byte order this copies nothing.
    return array.astype(kind.newbyteorder('='), copy=False)


def _scalar(content: dict[Any, Any]) -> Any:
    kind, value = _dtype(content), content.get(b'data')
    if not isinstance(value, bool | int | float):
        raise ValueError(f'a number is {type(value).__name__}')
    # NumPy itself would let 300 become 44, or 0.5 become 0; a float too large becomes infinite.
    with np.errstate(over='ignore', invalid='ignore'):
        made = np.array(value).astype(kind.newbyteorder('='))[()]
    exact = kind.kind == 'f' or made.item() == value
    if not exact:
        raise ValueError(f'{value!r:.40} is no number of dtype {kind.str}')
    return made


def _dtype(content: dict[Any, Any]) -> np.dtype[Any]:
    name = content.get(b'dtype')
    kind = DTYPES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f'dtype {name!r:.40} is not one of {sorted(DTYPES)}')
    return kind


def _refuse_extension(code: int, data: bytes) -> Any:
    raise ValueError(f'extension type {code} is no part of it')
