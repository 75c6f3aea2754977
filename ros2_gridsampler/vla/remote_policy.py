# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Observation -> ActionChunk by a server of openpi's protocol, over a network that may fail."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..acting.action_prefix import Prefix
from ..files import structure
from ..policy.prediction import Prediction
from ..seeing.observation import Observation
from .deployed_policy import DeployedPolicy
from .policy_client import PolicyClient
from .remote_robot import RemoteConfig, RemoteRobot, load_remote_robot

SCHEMES = ('ws://', 'wss://')
DESCRIPTION = 'ros2_gridsampler'
"""Key of the server's metadata under which a server of this package describes its robot."""
# Calls that are measured at configure, and those that are remembered afterwards.
_MEASURED, _REMEMBERED = 5, 50
# A median of fewer says little.
_ENOUGH = 10
_WORDS = 300


def is_remote(policy: str) -> bool:
    """Whether a policy is named by the address of a server."""
    return policy.startswith(SCHEMES)


class RemotePolicy:
    """A policy on another machine with the call of ours.

    Args:
        client: Connection to its server.
        robot: What is told and what is understood.
        steady: Returns steady time [s].
        waits: Whether an answer may take as long as the first one, because time stands still
            meanwhile: in a simulation. The duration of a chunk then bounds nothing.

    Attributes:
        config: What a node has to know.
        round_trip: Median of the calls at configure [s].

    Raises:
        ValueError: The server gives nothing that an arm may follow, or its answers take so long
            that its chunks cannot cover them.
    """

    def __init__(
        self,
        client: PolicyClient,
        robot: RemoteRobot,
        steady: Callable[[], float] = time.monotonic,
        *,
        waits: bool = False,
    ) -> None:
        self._client, self._robot, self._steady = client, robot, steady
        self._round_trips: tuple[float, ...] = ()
        self._refused, self._refusal = 0, ''
        example, patience = robot.example(), robot.first_timeout
        # The first call may compile the policy, and makes the connection.
        chunk = robot.chunk(client.call(robot.message(example), patience), example)
        self._serves = _served(client.metadata)
        self.config = RemoteConfig(robot, len(chunk.targets))
        for _ in range(_MEASURED):
            self._predict(example, patience)
        self.round_trip = statistics.median(self._round_trips)
        # What comes later than the last target is due is of no use.
        self._limit = patience if waits else max(self.config.duration, 0.1)
        if not waits and (text := self._breach(self.round_trip, _MEASURED)):
            raise ValueError(text)

    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        """Returns the chunk that the server gives for an observation, in the time of the latter.

        Raises:
            RemoteFailed: No answer came in the time of a chunk, or none that could be read.
            ValueError: The answer is nothing that this arm may follow, or there is a prefix that
                the server cannot be told.
        """
        return self._predict(observation, self._limit, prefix)

    @property
    def wrong(self) -> str:
        """What is wrong with the server or with the way to it; empty where nothing is."""
        if self._client.interrupted.is_set():
            return ''
        if self._refusal:
            return self._refusal
        if len(trips := self._round_trips) < _ENOUGH:
            return ''
        return self._breach(statistics.median(trips), len(trips))

    @property
    def numbers(self) -> dict[str, Any]:
        """Round trips [ms] and connections, for people."""
        trips = sorted(self._round_trips)
        return {
            'server': self._client.address,
            'connections': self._client.connections,
            'late or refused answers': self._refused,
            'round trip at configure': round(1e3 * self.round_trip, 2),
            'round trip, median lately': round(1e3 * statistics.median(trips), 2),
            'round trip, longest lately': round(1e3 * trips[-1], 2),
            'duration of a chunk': round(1e3 * self.config.duration, 2),
        }

    def interrupt(self) -> None:
        self._client.interrupt()

    def resume(self) -> None:
        self._refusal = ''
        self._client.resume()

    def close(self) -> None:
        self._client.close()

    def _predict(
        self, observation: Observation, limit: float, prefix: Prefix | None = None
    ) -> Prediction:
        begin = self._steady()
        try:
            answer = self._client.call(self._robot.message(observation, prefix), limit)
            if _served(self._client.metadata) != self._serves:
                # Another robot's numbers may have the same shape.
                raise ValueError(
                    f'The server at {self._client.address} serves another policy, or another '
                    'robot, than at configure. Serve the first one again, or configure anew.'
                )
            chunk = self._robot.chunk(answer, observation)
            if len(chunk.targets) != self.config.steps:
                raise ValueError(
                    f'The server at {self._client.address} gave a chunk of {len(chunk.targets)} '
                    f'steps; at configure it gave {self.config.steps}.'
                )
        except ValueError as error:
            self._refused += 1
            self._refusal = str(error)
            raise
        trip, self._refusal = self._steady() - begin, ''
        self._round_trips = (*self._round_trips[1 - _REMEMBERED :], trip)
        return Prediction(chunk, {name: np.empty((0, 2)) for name in self.config.cameras})

    def _breach(self, round_trip: float, calls: int) -> str:
        """The next chunk is asked for when one has come, and has to come before that one ends."""
        config = self.config
        if 2 * round_trip <= config.duration:
            return ''
        return (
            f'The server at {self._client.address} takes {round_trip:.3f} s for an answer (median '
            f'of {calls}), and its chunks last {config.duration:.3f} s ({config.steps} steps of '
            f'{config.period:.3f} s): two answers have to come in that time, or the arm stops '
            'between them. Take a faster server or network, or a policy of longer chunks.'
        )


def load_remote(address: str, robot: str = '', *, waits: bool = False) -> DeployedPolicy:
    """Connects to a server, asks it a few times, and checks that its chunks cover the way.

    Args:
        address: Like 'ws://192.168.1.5:8000'.
        robot: YAML file of the robot, see docs/howto/remote.md; empty for a server that describes
            its robot itself, as that of `gridsampler serve` does.
        waits: As in `RemotePolicy`; the way is not checked then.

    Raises:
        ValueError: The server cannot be used for this robot; the text says why.
        OSError: The file cannot be read.
    """
    known = load_remote_robot(Path(robot).expanduser()) if robot else None
    client = PolicyClient(address)
    try:
        if known is None:
            known = _described(client)
        policy = RemotePolicy(client, known, waits=waits)
    except Exception:
        client.close()
        raise
    about = {
        'policy': address,
        'backend': 'remote',
        'cameras': list(known.cameras),
        'joints': list(known.joints),
        'actions': list(known.action_space.names),
        'server says': f'{_said(client.metadata)!r:.{_WORDS}}',
        'weights sha256': _weights(client.metadata),
    }
    return DeployedPolicy(
        policy.config,
        policy,
        known.example(),
        None,
        about,
        lambda sentence: None,
        elsewhere=policy,
    )


def _described(client: PolicyClient) -> RemoteRobot:
    description = client.greet().get(DESCRIPTION)
    if not isinstance(description, dict):
        raise ValueError(
            f'The server at {client.address} does not say for which robot it is; describe it in a '
            'YAML file (docs/howto/remote.md has one) and name that as remote_robot.'
        )
    try:
        return structure(description.get('robot'), RemoteRobot)
    except ValueError as error:
        raise ValueError(
            f'The server at {client.address} describes its robot in words that are not known '
            f'here: {error}. Install the same version on both machines, or set remote_robot.'
        ) from error


def _served(metadata: dict[str, Any]) -> Any:
    """What must not change while a policy drives: the robot and the weights, where ours says."""
    described = metadata.get(DESCRIPTION)
    if not isinstance(described, dict):
        return None
    return described.get('robot'), _weights(metadata)


def _weights(metadata: dict[str, Any]) -> str:
    """Returns the hash of the policy's weights; empty where the server does not say it."""
    said = _said(metadata)
    known = said.get('weights sha256') if isinstance(said, dict) else None
    return known if isinstance(known, str) else ''


def _said(metadata: dict[str, Any]) -> Any:
    """What a server says of its policy; the robot that ours describe is told elsewhere."""
    described = metadata.get(DESCRIPTION)
    return described.get('policy') if isinstance(described, dict) else metadata
