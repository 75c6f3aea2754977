# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Reference view and live view of a camera -> how far its mount has moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, UInt8

from ..bounds import checked, setting
from ..seeing.camera_message import CameraIntrinsics
from ..seeing.opencv import opencv

if TYPE_CHECKING:
    from .calibration_board import Board

# Pictures are compared no wider than this; more costs time and finds nothing new.
_MAX_WIDTH = 640
_FEATURES = 1500
# Lowe's ratio between the best and the second best match.
_RATIO = 0.8
# Matches that agree with one motion of the camera lie within this [px].
_AGREE = 1.5
_MIN_MATCHES = 10
# A moved object covers few of the picture's cells, the background many.
_CELLS = 6
_MOTIONS = 3
# No mount comes so much nearer; many features matched to one look like a picture that shrank.
_MAX_SCALE = 1.5


@dataclass(frozen=True)
@checked
class DriftLimits:
    """How far a mount may have moved since the reference view was taken."""

    max_shift: float = setting(
        2.0, 'Largest shift of the picture against the reference view', unit='px', minimum=0.1
    )
    max_rotation: float = setting(
        1.0, 'Largest rotation of the picture about the line of sight', unit='deg', minimum=0.01
    )


@dataclass(frozen=True)
class MountDrift:
    """How a view has changed since its reference view was taken.

    Attributes:
        shift: Median shift in the picture of what does not move in the scene [px].
        rotation: Rotation of the picture, anticlockwise as seen [deg].
        scale: Change of the picture's size; above 1 the camera came nearer.
        angle: Turn of the camera that would shift the picture so [deg]; None without intrinsics.
        matches: Corners or features that agree on it.
        by_board: Whether a calibration board was compared, not the scene.
    """

    shift: float
    rotation: float
    scale: float
    angle: float | None
    matches: int
    by_board: bool

    def __str__(self) -> str:
        angle = '' if self.angle is None else f' ({self.angle:.2f} deg of the camera)'
        return f'shifted by {self.shift:.1f} px{angle}, rotated by {self.rotation:.1f} deg'

    def complaint(self, camera: str, limits: DriftLimits) -> str:
        """Returns a sentence if the mount moved too far, else ''."""
        if self.shift <= limits.max_shift and abs(self.rotation) <= limits.max_rotation:
            return ''
        angle = '' if self.angle is None else f' ({self.angle:.2f} deg of the camera)'
        return (
            f'Camera {camera!r} has moved: its view is shifted by {self.shift:.1f} px{angle} and '
            f'rotated by {self.rotation:.1f} deg against the reference view; '
            f'{limits.max_shift:.1f} px and {limits.max_rotation:.1f} deg are allowed. Put the '
            'camera back, or record a new reference view and check the policy again.'
        )


class NotComparable(ValueError):
    """The live view has nothing in common with the reference view; the text says what to do."""


def measure_drift(
    reference: UInt8[np.ndarray, 'height width 3'],
    live: UInt8[np.ndarray, 'height width 3'],
    camera: CameraIntrinsics | None = None,
    board: Board | None = None,
) -> MountDrift:
    """Compares two RGB views of a scene in which the arm, objects and the light may differ.

    Args:
        reference: The view when the policy was trained or last checked.
        live: The view now, of the same size.
        camera: Intrinsics, needed to tell by which angle the camera turned.
        board: Compared alone if it is seen in both views; it must not have been moved.

    Raises:
        NotComparable: Too little of the reference view is found again: the camera is covered,
            in the dark, or turned far away.
        ValueError: The views have different sizes.
    """
    if reference.shape != live.shape:
        raise ValueError(
            f'The reference view is {reference.shape[1]}x{reference.shape[0]}, the live view '
            f'{live.shape[1]}x{live.shape[0]}; set the camera to the resolution of the reference.'
        )
    cv2 = opencv()
    focal = None if camera is None else float(camera.matrix[0, 0])
    gray = [
        np.asarray(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), np.uint8) for each in (reference, live)
    ]
    first, second = (None if board is None else board.find(each) for each in gray)
    if first is not None and second is not None and len(first.pixels) == len(second.pixels):
        return _describe(first.pixels, second.pixels, focal, by_board=True)
    before, after = _match(gray[0], gray[1])
    agreeing = _background(before, after, (reference.shape[1], reference.shape[0]))
    return _describe(before[agreeing], after[agreeing], focal, by_board=False)


def _match(
    reference: UInt8[np.ndarray, 'height width'], live: UInt8[np.ndarray, 'height width']
) -> tuple[Float[np.ndarray, 'matches 2'], Float[np.ndarray, 'matches 2']]:
    """Returns the features found again: where they were and where they are [px]."""
    cv2 = opencv()
    scale = min(1.0, _MAX_WIDTH / reference.shape[1])
    # SIFT: OpenCV's only features that keep their place under changed light to 0.1 px. The low
    # threshold finds the grain of a bare table, which is often all that does not move.
    detector = cv2.SIFT.create(nfeatures=_FEATURES, contrastThreshold=0.01)
    equalise = cv2.createCLAHE(clipLimit=4.0, tileGridSize=(8, 8))
    points, descriptors = [], []
    for picture in (reference, live):
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        everywhere = np.full(small.shape[:2], 255, np.uint8)
        found, described = detector.detectAndCompute(equalise.apply(small), everywhere)
        points.append(np.array([each.pt for each in found], np.float64).reshape(-1, 2))
        descriptors.append(described)
    if min(map(len, points)) < _MIN_MATCHES:
        raise NotComparable(
            f'The views have {len(points[0])} and {len(points[1])} features, at least '
            f'{_MIN_MATCHES} are needed: the camera is covered, in the dark, overexposed or sees '
            'a bare surface. Check the camera; put something with a pattern into its view.'
        )
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    pairs = matcher.knnMatch(descriptors[0], descriptors[1], k=2)
    clear = [best for best, second in pairs if best.distance < _RATIO * second.distance]
    # A repeated pattern draws many features to one: each side must be the other's best.
    back = {match.queryIdx: match.trainIdx for match in matcher.match(*reversed(descriptors))}
    clear = [match for match in clear if back[match.trainIdx] == match.queryIdx]
    first = points[0][[match.queryIdx for match in clear]].reshape(-1, 2)
    second = points[1][[match.trainIdx for match in clear]].reshape(-1, 2)
    # As in resizing: the centres of pixels are scaled.
    return (first + 0.5) / scale - 0.5, (second + 0.5) / scale - 0.5


def _background(
    before: Float[np.ndarray, 'matches 2'],
    after: Float[np.ndarray, 'matches 2'],
    size: tuple[int, int],
) -> Bool[np.ndarray, ' matches']:
    """Returns which matches belong to what does not move in the scene.

    Arm and objects move as well, each in its own way. Of the motions found one after another,
    the background's is the one that is spread over most of the picture.
    """
    cv2 = opencv()
    remaining = np.ones(len(before), bool)
    best, most = np.zeros(len(before), bool), (0, 0)
    for _ in range(_MOTIONS):
        rows = np.flatnonzero(remaining)
        if len(rows) < _MIN_MATCHES:
            break
        cv2.setRNGSeed(0)  # the same views give the same answer
        motion, inside = cv2.estimateAffinePartial2D(
            before[rows],
            after[rows],
            method=cv2.RANSAC,
            ransacReprojThreshold=_AGREE,
            maxIters=3000,
            confidence=0.999,
        )
        if motion is None:
            break
        agreeing = rows[inside.ravel() > 0]
        cells = (before[agreeing] / size * _CELLS).astype(int).clip(0, _CELLS - 1)
        spread = (len(np.unique(cells, axis=0)), len(agreeing))
        scale = float(np.hypot(motion[0, 0], motion[1, 0]))
        possible = 1 / _MAX_SCALE < scale < _MAX_SCALE
        if possible and len(agreeing) >= _MIN_MATCHES and spread > most:
            best, most = np.isin(np.arange(len(before)), agreeing), spread
        remaining[agreeing] = False
    if not best.any():
        raise NotComparable(
            f'Of {len(before)} features found again no {_MIN_MATCHES} agree on one motion: the '
            'camera shows another scene than the reference view, or is covered. Check the camera, '
            'or record a new reference view.'
        )
    return best


def _describe(
    before: Float[np.ndarray, 'matches 2'],
    after: Float[np.ndarray, 'matches 2'],
    focal: float | None,
    *,
    by_board: bool,
) -> MountDrift:
    # The least-squares similarity, with points as complex numbers. The matches themselves would
    # add the noise of each: 0.3 px where nothing has moved.
    first, second = (each @ [1, 1j] for each in (before, after))
    spread = first - first.mean()
    factor = np.vdot(spread, second - second.mean()) / np.vdot(spread, spread)
    moved = second.mean() - first.mean() + (factor - 1) * spread
    shift = float(np.median(np.abs(moved)))
    return MountDrift(
        shift,
        # y points down in a picture.
        -float(np.degrees(np.angle(factor))),
        float(np.abs(factor)),
        None if focal is None else float(np.degrees(np.arctan2(shift, focal))),
        len(before),
        by_board,
    )
