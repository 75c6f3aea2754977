# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Points of a lerobot policy's feature map -> places in the picture that it was shown."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..seeing.calibration import ImagePreparation


@dataclass(frozen=True)
class TowerCells:
    """Where a tower's cells are; x and y [px] of the picture that the tower sees.

    Attributes:
        count: Columns and rows.
        side: Distance of two cells.
        first: Centre of the first cell.
        corner: Where the prepared picture begins inside the tower's.
        scale: By which the prepared picture was enlarged.
    """

    count: Float[np.ndarray, '2']
    side: int
    first: float
    corner: Float[np.ndarray, '2']
    scale: float

    @classmethod
    def of(cls, policy: Any, prepared: ImagePreparation) -> 'TowerCells':
        """Of a policy that is shown such a picture."""
        config, size = policy.config, np.array([prepared.width, prepared.height], np.float64)
        if config.type == 'act':
            side = 16 if config.replace_final_stride_with_dilation else 32
            # Padded convolutions: the first cell looks at the first pixel.
            return cls(np.ceil(size / side), side, 0.5, np.zeros(2), 1.0)
        if config.type == 'smolvla':
            vision = policy.model.vlm_with_expert.config
            side = vision.vision_config.patch_size * vision.scale_factor
            tower = np.array(config.resize_imgs_with_padding or size, np.float64)
            share = 1.0  # all padding is left and above
        else:
            side, share = 14, 0.5
            tower = np.array(config.image_resolution[::-1], np.float64)
        scale = float((tower / size).min())
        corner = share * (tower - np.floor(size * scale))
        return cls(tower // side, side, side / 2, corner, scale)

    def pixels(self, points: Float[np.ndarray, 'tokens 2']) -> Float[np.ndarray, 'tokens 2']:
        """Where points (x, y) in [0, 1] lie in the prepared picture [px]."""
        in_tower = self.first + points * (self.count - 1) * self.side
        return (in_tower - self.corner) / self.scale
