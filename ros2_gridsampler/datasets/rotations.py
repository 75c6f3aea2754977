# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Names and numbers of a foreign dataset -> which of its entries are a rotation, not joints."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

# A unit vector that was rounded to half precision is off by less.
_TOLERANCE = 2e-3
_SIX = re.compile(r'(rot|rotation|ortho|r)_?6d?')


def name_rotations(names: Sequence[str], values: Float[np.ndarray, 'rows entries']) -> list[str]:
    """Returns a sentence for each quaternion and each 6-D rotation among the entries of a vector.

    A quaternion is four numbers in a row of length 1, in the names' order or in none that they
    say; a 6-D rotation is two unit vectors in a row at right angles (the first columns of a
    matrix). What never changes is not taken for one unless its names say so.

    Args:
        names: One per entry.
        values: Rows of the dataset, of any number.
    """
    found = []
    place = 0
    while place < len(names):
        if _is_six(names[place : place + 6], values[:, place : place + 6]):
            found.append(_sentence(names, place, 6, 'a 6-D rotation'))
            place += 6
        elif order := _quaternion(names[place : place + 4], values[:, place : place + 4]):
            found.append(_sentence(names, place, 4, f'a quaternion ({order})'))
            place += 4
        else:
            place += 1
    return found


def _sentence(names: Sequence[str], first: int, count: int, what: str) -> str:
    listed = ', '.join(names[first : first + count])
    return f'Entries {first} to {first + count - 1} ({listed}) are {what}, no joints.'


def _is_six(names: Sequence[str], values: Float[np.ndarray, 'rows six']) -> bool:
    if len(names) < 6 or not len(values):
        return False
    one, other = values[:, :3], values[:, 3:]
    matrix = _unit(one) and _unit(other) and float(np.abs((one * other).sum(1)).max()) < _TOLERANCE
    said = all(_SIX.search(name.lower()) for name in names)
    return bool(matrix and (said or np.ptp(values, axis=0).any()))


def _quaternion(names: Sequence[str], values: Float[np.ndarray, 'rows four']) -> str:
    """The order of its entries, like 'x, y, z, w'; empty where it is none."""
    if len(names) < 4 or not len(values) or not _unit(values):
        return ''
    letters = [re.split(r'[^a-z]+', name.lower().rstrip('0123456789'))[-1][-1:] for name in names]
    if sorted(letters) == ['w', 'x', 'y', 'z']:
        return ', '.join(letters)
    said = all(re.search('quat|rot|orient', name.lower()) for name in names)
    # Three joints that stand still beside one that moves are no unit vector for long.
    return 'order unknown' if said or np.ptp(values, axis=0).all() else ''


def _unit(vectors: Float[np.ndarray, 'rows numbers']) -> bool:
    return bool((np.abs(np.linalg.norm(vectors, axis=1) - 1) < _TOLERANCE).all())
