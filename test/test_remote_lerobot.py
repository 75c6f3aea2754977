# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An adopted lerobot folder is served as any policy is."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip(
    'lerobot', reason="lerobot is not installed; on Python 3.12: pip install '.[lerobot]'"
)
pytest.importorskip('websockets', reason="pip install 'ros2_gridsampler[remote]'")
import lerobot_policies as small

from ros2_gridsampler.vla.deployed_policy import load_policy
from ros2_gridsampler.vla.lerobot_checkpoint import save_model_folder
from ros2_gridsampler.vla.lerobot_policy import adopt
from ros2_gridsampler.vla.policy_server import PolicyServer
from ros2_gridsampler.vla.remote_policy import load_remote

pytestmark = pytest.mark.filterwarnings('ignore')


@pytest.mark.parametrize('kind', ['act', 'smolvla'])
def test_an_adopted_policy_gives_over_loopback_what_it_gives_here(kind, tmp_path):
    language = small.language_model(tmp_path / 'vlm') if kind == 'smolvla' else None
    save_model_folder(small.model(kind, language), tmp_path / 'policy')
    # No round trip is too long for chunks of this period.
    robot = dataclasses.replace(small.robot(str(language or '')), period=10.0)
    adopt(tmp_path / 'policy', robot)
    deployed = load_policy(tmp_path / 'policy', 'eager', None)
    example = dataclasses.replace(deployed.example, joints=np.array([0.1, -0.2, 0.3]))
    with PolicyServer(deployed, port=0) as server:
        remote = load_remote(server.address)
        here, there = (each.backend.predict(example).chunk for each in (deployed, remote))
        np.testing.assert_allclose(there.targets, here.targets, rtol=1e-6, atol=1e-6)
        assert remote.config.observation == deployed.config.observation
        remote.elsewhere.close()
