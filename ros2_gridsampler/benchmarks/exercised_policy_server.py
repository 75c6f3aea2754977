# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy server that swings the arm, and stalls, lies or is gone on demand."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..acting.action_chunk import TWIST_NAMES, ActionChunk, ActionSpace
from ..acting.action_prefix import Prefix
from ..policy.prediction import Prediction
from ..seeing.calibration import ImagePreparation
from ..seeing.observation import Observation
from ..vla.array_messages import decode_message, encode_message
from ..vla.deployed_policy import DeployedPolicy
from ..vla.policy_server import PolicyServer
from ..vla.remote_robot import RemoteConfig, RemoteRobot
from .exercise import CAMERAS, FINGERS, FRAME, JOINTS, RESOLUTION, swing_joints, swing_twist

_STEPS, _PERIOD = 20, 0.05


class ExercisedPolicyServer:
    """Serves the exercise on this machine; use it as a context.

    Args:
        by_joints: Whether joints are commanded, and not the hand.
        now: Returns the time by the clock that stamps the streams [s]; the exercise is a
            function of it, and the protocol carries no stamps.
    """

    def __init__(self, by_joints: bool, now: Callable[[], float]) -> None:
        space = ActionSpace('joint_position', JOINTS)
        if not by_joints:
            space = ActionSpace('end_effector_twist', TWIST_NAMES, FRAME)
        robot = RemoteRobot(
            {camera: f'observation/{camera}' for camera in CAMERAS},
            RESOLUTION,
            JOINTS if by_joints else FINGERS,
            space,
            _PERIOD,
            uses_pose=not by_joints,
            preparations={camera: ImagePreparation(64, 64) for camera in CAMERAS},
        )
        config = RemoteConfig(robot, _STEPS)
        swing = _Swing(by_joints, now)
        self._deployed = DeployedPolicy(
            config, swing, robot.example(), None, {}, lambda text: None
        )
        self._server: _Spoiled | None = None
        self._port = 0
        self._fault = ''
        self._until = 0.0

    def __enter__(self) -> 'ExercisedPolicyServer':
        self.run()
        return self

    def __exit__(self, *error: object) -> None:
        self.run(False)

    @property
    def address(self) -> str:
        """Where it is asked; the same after it was gone."""
        return f'ws://127.0.0.1:{self._port}'

    def run(self, runs: bool = True) -> None:
        """Lets it be there, or be gone."""
        if not runs and self._server is not None:
            self._server.close()
            self._server = None
        elif runs and self._server is None:
            self._server = _Spoiled(self._deployed, self._spoil, self._port)
            self._server.__enter__()
            self._port = int(self._server.address.rpartition(':')[2])

    def spoil(self, fault: str) -> None:
        """Begins a fault, or ends it.

        Args:
            fault: 'stall SECONDS' answers nobody for so long; 'gone', 'NaN', 'shape', 'garbage'
                and 'error' last until it is ''.
        """
        name, _, seconds = fault.partition(' ')
        self._fault = name
        self._until = time.monotonic() + float(seconds or 0)
        if name in ('', 'gone'):
            self.run(not name)

    def _spoil(self, right: bytes | str) -> bytes | str:
        while self._fault == 'stall' and time.monotonic() < self._until:
            time.sleep(0.01)
        if isinstance(right, str) or self._fault in ('', 'stall', 'gone'):
            return right
        if self._fault == 'garbage':
            return right[: len(right) // 2]
        if self._fault == 'error':
            return 'Traceback (most recent call last):\nRuntimeError: out of memory'
        actions = decode_message(right)['actions'].copy()
        if self._fault == 'NaN':
            actions[1] = np.nan
        return encode_message({'actions': actions[:, :-1] if self._fault == 'shape' else actions})


class _Spoiled(PolicyServer):
    def __init__(
        self, deployed: DeployedPolicy, spoil: Callable[[bytes | str], bytes | str], port: int
    ) -> None:
        super().__init__(deployed, port=port)
        self._spoil = spoil

    def answer(self, message: bytes) -> bytes | str:
        return self._spoil(super().answer(message))


class _Swing:
    def __init__(self, by_joints: bool, now: Callable[[], float]) -> None:
        self._by_joints, self._now = by_joints, now

    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        times = self._now() + _PERIOD * np.arange(_STEPS)
        targets: Any = swing_joints(times) if self._by_joints else swing_twist(times, observation)
        return Prediction(ActionChunk(0.0, _PERIOD, targets), {})
