# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""TF messages as they come -> where a frame is in another now; without tf2."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from .camera_message import stamp_seconds

# A robot has a few hundred; nonsense must not fill the memory.
_MOST_FRAMES = 10_000
# Of a quaternion's length from 1.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class _Link:
    """A frame in its parent; `time` is None for one that never moves [s]."""

    parent: str
    time: float | None
    position: Float[np.ndarray, '3']
    turn: Float[np.ndarray, '4']


class NewestTransforms:
    """The newest transform of every frame, as `/tf` and `/tf_static` say them."""

    def __init__(self) -> None:
        self._links: dict[str, _Link] = {}

    def add(self, transforms: Iterable[Any], *, fixed: bool) -> None:
        """Takes the transforms of a TFMessage; what comes last counts.

        Args:
            transforms: Each with the fields of a TransformStamped.
            fixed: Whether they came on `/tf_static`.

        Raises:
            ValueError: One is no transform, or gives a frame another parent; it was not taken,
                and neither were those behind it.
        """
        for each in transforms:
            parent, child = (n.lstrip('/') for n in (each.header.frame_id, each.child_frame_id))
            place, turn = each.transform.translation, each.transform.rotation
            position = np.array([place.x, place.y, place.z], np.float64)
            rotation = np.array([turn.x, turn.y, turn.z, turn.w], np.float64)
            length = float(np.linalg.norm(rotation))
            if not np.isfinite(position).all() or not abs(length - 1) < _TOLERANCE:
                raise ValueError(
                    f'TF {parent} -> {child} is no transform: translation {position.tolist()}, '
                    f'quaternion x y z w {rotation.tolist()} of length {length:.4f}.'
                )
            known = self._links.get(child)
            if known is not None and known.parent != parent:
                raise ValueError(
                    f'TF gives {child!r} two parents, {known.parent!r} and {parent!r}; look for '
                    'two nodes that publish it (ros2 topic info -v /tf).'
                )
            if known is None and len(self._links) >= _MOST_FRAMES:
                raise ValueError(f'TF has more than {_MOST_FRAMES} frames; {child!r} is left out.')
            time = None if fixed else stamp_seconds(each.header.stamp)
            self._links[child] = _Link(parent, time, position, rotation / length)

    def pose(self, base: str, frame: str) -> tuple[float, Float[np.ndarray, '7']]:
        """Returns when and where a frame was in another.

        Args:
            base: The frame that the pose is in, above `frame` in the tree.
            frame: The frame whose pose is asked for.

        Returns:
            The stamp of the oldest transform between them that moves [s]; x y z [m], and the
            quaternion x y z w.

        Raises:
            ValueError: Nothing leads from one to the other, or nothing between them moves.
        """
        position, turn = np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
        times: list[float] = []
        link = frame
        for _ in range(len(self._links) + 1):
            if link == base:
                break
            if link not in self._links:
                raise ValueError(
                    f'TF does not lead from {base!r} to {frame!r}: nobody says where {link!r} is; '
                    f'its frames are {sorted(self._links)}.'
                )
            found = self._links[link]
            position = found.position + _turned(found.turn, position)
            turn = _product(found.turn, turn)
            if found.time is not None:
                times.append(found.time)
            link = found.parent
        else:
            raise ValueError(f'TF has a circle above {frame!r}: every frame has one parent.')
        if not times:
            raise ValueError(
                f'Nothing moves between {base!r} and {frame!r} in TF; name the frame of the hand.'
            )
        return min(times), np.concatenate([position, turn])


def _product(
    first: Float[np.ndarray, '4'], second: Float[np.ndarray, '4']
) -> Float[np.ndarray, '4']:
    """The rotation `second` and then `first`, both quaternions x y z w."""
    a, b = first[:3], second[:3]
    real = first[3] * second[3] - a @ b
    return np.array([*(first[3] * b + second[3] * a + np.cross(a, b)), real])


def _turned(turn: Float[np.ndarray, '4'], vector: Float[np.ndarray, '3']) -> Any:
    twice = 2 * np.cross(turn[:3], vector)
    return vector + turn[3] * twice + np.cross(turn[:3], twice)
