# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy that looks at held points computes what it did where they are its own."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.frozen_points import MeanPoints, hold_points
from ros2_gridsampler.files import find
from ros2_gridsampler.policy.checkpoint import load_checkpoint
from ros2_gridsampler.policy.manifest import golden_observation
from ros2_gridsampler.policy.policy import Policy


def test_points_held_where_they_were_change_nothing_and_elsewhere_the_actions():
    model, _ = load_checkpoint(find('models', 'libero'))
    observation = golden_observation(model.config)
    own = model.predict(observation)
    mean = MeanPoints()
    mean.add(own.points)
    mean.add(own.points)
    held = hold_points(model, mean).predict(observation)
    np.testing.assert_allclose(held.chunk.targets, own.chunk.targets, atol=1e-5)
    mean.add({camera: 1 - points for camera, points in own.points.items()})
    moved = hold_points(model, mean)
    assert abs(moved.predict(observation).chunk.targets - own.chunk.targets).max() > 1e-3
    dark = replace(
        observation, images={name: 0 * image for name, image in observation.images.items()}
    )
    for camera, points in moved.predict(dark).points.items():
        np.testing.assert_allclose(points, mean.of(camera), atol=1e-6)


def test_a_reducer_without_points_has_none_to_hold():
    model, _ = load_checkpoint(find('models', 'libero'))
    mean = Policy(replace(model.config, reducer='fixed_grid', conditioned=False)).eval()
    with pytest.raises(ValueError, match='predicts no points'):
        hold_points(mean, MeanPoints())
