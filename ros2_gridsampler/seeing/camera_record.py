# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A camera in training -> what the manifest keeps of it, to compare the live one with."""

from dataclasses import dataclass

import numpy as np

from .camera_message import CameraIntrinsics


@dataclass(frozen=True)
class LensRecord:
    """`CameraIntrinsics` as plain numbers.

    Attributes:
        width: The width of the pictures [px].
        height: Likewise [px].
        matrix: K, row by row.
        distortion_model: As in CameraInfo.
        distortion: In the order of OpenCV.
    """

    width: int
    height: int
    matrix: tuple[float, ...]
    distortion_model: str
    distortion: tuple[float, ...]

    @staticmethod
    def of(camera: CameraIntrinsics) -> 'LensRecord':
        """Returns the record of a lens from the CameraInfo of a recording."""
        return LensRecord(
            camera.width,
            camera.height,
            tuple(camera.matrix.ravel().tolist()),
            camera.distortion_model,
            tuple(camera.distortion.tolist()),
        )

    @property
    def intrinsics(self) -> CameraIntrinsics:
        """Returns the intrinsics as numbers to compute with."""
        return CameraIntrinsics(
            self.width,
            self.height,
            np.array(self.matrix, np.float64).reshape(3, 3),
            self.distortion_model,
            np.array(self.distortion, np.float64),
        )


@dataclass(frozen=True)
class CameraRecord:
    """What was known of a camera in training.

    Attributes:
        reference_view_sha256: sha256 of its reference view; empty where there is none.
        no_view_because: Why there is none.
        lens: Lens by its CameraInfo; None where none was recorded.
    """

    reference_view_sha256: str = ''
    no_view_because: str = ''
    lens: LensRecord | None = None
