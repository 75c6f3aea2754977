# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Observation -> ActionChunk by a server of openpi's protocol, over a network that may fail.

One request is under way at a time, and its answer is the next message: the protocol numbers
nothing. So whatever else comes ends the connection, which is made anew for a later observation;
no answer can be taken for that of another request.
"""

from __future__ import annotations

import statistics
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from socket import SHUT_RDWR, SO_SNDTIMEO, SOL_SOCKET
from threading import Event, Lock
from typing import Any, NoReturn

import numpy as np

from ..acting.action_prefix import Prefix
from ..files import structure
from ..policy.prediction import Prediction
from ..seeing.observation import Observation
from .array_messages import decode_message, encode_message
from .deployed_policy import DeployedPolicy
from .remote_robot import RemoteConfig, RemoteRobot, load_remote_robot

SCHEMES = ('ws://', 'wss://')
DESCRIPTION = 'ros2_gridsampler'
"""Key of the server's metadata under which a server of this package describes its robot."""
MAX_ANSWER = 4 << 20
"""Longest message of a server that is read [bytes]."""
# Between two attempts to connect, the first and the longest [s].
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
# For connecting, and for saying goodbye [s].
_CONNECT, _GOODBYE = 1.0, 0.2
# Calls that are measured at configure, and those that are remembered afterwards.
_MEASURED, _REMEMBERED = 5, 50
# A median of fewer says little.
_ENOUGH = 10
_WORDS = 300


def is_remote(policy: str) -> bool:
    """Whether a policy is named by the address of a server."""
    return policy.startswith(SCHEMES)


class RemoteFailed(ValueError):
    """The server or the way to it failed; the text says how, and that it is tried again."""


def limit_sending(connection: Any, limit: float) -> None:
    """Lets sending fail where the other side does not read for so long [s]."""
    seconds = max(int(limit), 0)
    rest = max(int(1e6 * (limit - seconds)), 1)
    connection.socket.setsockopt(SOL_SOCKET, SO_SNDTIMEO, struct.pack('@ll', seconds, rest))


class PolicyClient:
    """A connection to a server, made when it is needed and again when it broke.

    `call` and `close` are for one thread at a time, `interrupt` is for any.

    Args:
        address: Like 'ws://192.168.1.5:8000'.
        steady: Returns steady time [s].

    Attributes:
        metadata: What the server said of itself when it was connected last.
        connections: How often a connection was made.
        interrupted: Set between `interrupt` and `resume`.

    Raises:
        ValueError: The address is none, or a library is missing.
    """

    def __init__(self, address: str, steady: Callable[[], float] = time.monotonic) -> None:
        _require_libraries(address)
        from websockets.exceptions import InvalidURI
        from websockets.uri import parse_uri

        try:
            parse_uri(address)
        except (InvalidURI, ValueError) as error:
            raise ValueError(
                f'{address!r} is no address of a policy server; write ws://HOST:PORT.'
            ) from error
        self.address = address
        self.metadata: dict[str, Any] = {}
        self.connections = 0
        self._failure = ''
        self._steady = steady
        self._connection: Any = None
        self._open = ExitStack()
        self._pause, self._not_before = 0.0, float('-inf')
        self.interrupted = Event()
        self._one_call = Lock()

    def call(self, content: Mapping[str, Any], limit: float) -> dict[str, Any]:
        """Returns the answer to a message.

        Args:
            content: The message.
            limit: Longest time from here to the answer, connecting included [s].

        Raises:
            RemoteFailed: No answer came in time, or none that could be read.
        """
        if not self._one_call.acquire(blocking=False):
            raise RemoteFailed(f'{self.address} is still being asked by another thread.')
        try:
            answer = self._ask(encode_message(content), self._steady() + limit, limit)
        finally:
            self._one_call.release()
        self._failure, self._pause = '', 0.0
        return answer

    def greet(self, limit: float = 10.0) -> dict[str, Any]:
        """Connects where that is needed; returns what the server says of itself.

        Args:
            limit: Longest time [s].

        Raises:
            RemoteFailed: It cannot be reached, or says nothing that can be read.
        """
        self._connected(self._steady() + limit)
        return self.metadata

    def interrupt(self) -> None:
        """Ends the call in progress, from any thread, and refuses others until `resume`."""
        self.interrupted.set()
        if (connection := self._connection) is not None:
            try:
                connection.socket.shutdown(SHUT_RDWR)
            except OSError:
                return  # it is closed already

    def resume(self) -> None:
        """Lets calls happen again, by a new connection."""
        if self.interrupted.is_set() and self._one_call.acquire(blocking=False):
            self.close()
            self._pause, self._not_before = 0.0, float('-inf')
            self._one_call.release()
        self.interrupted.clear()

    def close(self) -> None:
        """Says goodbye to the server, which is not waited for."""
        self._connection = None
        self._open.close()

    def _ask(self, data: bytes, deadline: float, limit: float) -> dict[str, Any]:
        from websockets.exceptions import WebSocketException

        connection = self._connected(deadline)
        if not self._is_open(connection):
            # It ended while nothing was asked, so nothing was lost.
            self.close()
            connection = self._connected(deadline)
        try:
            limit_sending(connection, deadline - self._steady())
            connection.send(data)
            return self._read(connection, deadline)
        except TimeoutError:
            self._fail(f'did not answer within {limit:.2f} s')
        except (WebSocketException, OSError) as error:
            self._fail(f'broke the connection off ({_words(error)})')

    def _connected(self, deadline: float) -> Any:
        """Returns the connection, after the server's first message."""
        self._refuse_interrupted()
        if self._connection is not None:
            return self._connection
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        now = self._steady()
        if now < self._not_before:
            raise RemoteFailed(self._failure)
        try:
            opening = connect(
                self.address,
                compression=None,
                proxy=None,
                max_size=MAX_ANSWER,
                # The limit of every call says whether the server is there.
                ping_interval=None,
                open_timeout=min(max(deadline - now, 0.01), _CONNECT),
                close_timeout=_GOODBYE,
            )
            self._connection = connection = self._open.enter_context(opening)
            self.connections += 1
            self._refuse_interrupted()
            self.metadata = self._read(connection, deadline)
        except TimeoutError:
            self._fail('does not accept a connection')
        except (WebSocketException, OSError) as error:
            self._fail(f'cannot be reached ({_words(error)})')
        return connection

    def _read(self, connection: Any, deadline: float) -> dict[str, Any]:
        message = connection.recv(timeout=max(deadline - self._steady(), 0.0))
        if isinstance(message, str):
            # The last line of a traceback says what happened.
            lines = message.strip().splitlines() or ['nothing']
            self._fail(f'answered with an error: {lines[-1][:_WORDS]}')
        try:
            return decode_message(message)
        except ValueError as error:
            self._fail(f'answered what cannot be read. {error}')

    def _refuse_interrupted(self) -> None:
        if self.interrupted.is_set():
            raise RemoteFailed(f'{self.address} is not asked any more: the node is stopping.')

    def _is_open(self, connection: Any) -> bool:
        from websockets.exceptions import ConnectionClosed

        try:
            connection.recv(timeout=0)
        except TimeoutError:
            return True
        except ConnectionClosed:
            return False
        self._fail('sent a message that nobody had asked for')

    def _fail(self, what: str) -> NoReturn:
        self.close()
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        self._not_before = self._steady() + self._pause
        self._failure = f'The server at {self.address} {what}; it is tried again.'
        raise RemoteFailed(self._failure)


class RemotePolicy:
    """A policy on another machine with the call of ours.

    Args:
        client: Connection to its server.
        robot: What is told and what is understood.
        steady: Returns steady time [s].

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
    ) -> None:
        self._client, self._robot, self._steady = client, robot, steady
        self._round_trips: tuple[float, ...] = ()
        self._refused, self._refusal = 0, ''
        example, patience = robot.example(), robot.first_timeout
        # The first call may compile the policy, and makes the connection.
        chunk = robot.chunk(client.call(robot.message(example), patience), example)
        self.config = RemoteConfig(robot, len(chunk.targets))
        for _ in range(_MEASURED):
            self._predict(example, patience)
        self.round_trip = statistics.median(self._round_trips)
        if text := self._breach(self.round_trip, _MEASURED):
            raise ValueError(text)

    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        """Returns the chunk that the server gives for an observation, in the time of the latter.

        Raises:
            RemoteFailed: No answer came in the time of a chunk, or none that could be read.
            ValueError: The answer is nothing that this arm may follow, or there is a prefix that
                the server cannot be told.
        """
        # What comes later than the last target is due is of no use.
        return self._predict(observation, max(self.config.duration, 0.1), prefix)

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
        """Ends the call in progress, from any thread, and refuses others until `resume`."""
        self._client.interrupt()

    def resume(self) -> None:
        """Lets calls happen again."""
        self._refusal = ''
        self._client.resume()

    def close(self) -> None:
        """Lets go of the connection."""
        self._client.close()

    def _predict(
        self, observation: Observation, limit: float, prefix: Prefix | None = None
    ) -> Prediction:
        begin = self._steady()
        try:
            answer = self._client.call(self._robot.message(observation, prefix), limit)
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


def load_remote(address: str, robot: str = '') -> DeployedPolicy:
    """Connects to a server, asks it a few times, and checks that its chunks cover the way.

    Args:
        address: Like 'ws://192.168.1.5:8000'.
        robot: YAML file of the robot, see docs/remote.md; empty for a server that describes its
            robot itself, as that of `gridsampler serve` does.

    Raises:
        ValueError: The server cannot be used for this robot; the text says why.
        OSError: The file cannot be read.
    """
    known = load_remote_robot(Path(robot).expanduser()) if robot else None
    client = PolicyClient(address)
    try:
        if known is None:
            known = _described(client)
        policy = RemotePolicy(client, known)
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
    }
    return DeployedPolicy(
        policy.config,
        policy,
        known.example(),
        about,
        lambda sentence: None,
        elsewhere=policy,
    )


def _described(client: PolicyClient) -> RemoteRobot:
    description = client.greet().get(DESCRIPTION)
    if not isinstance(description, dict):
        raise ValueError(
            f'The server at {client.address} does not say for which robot it is; describe it in a '
            'YAML file (docs/remote.md has one) and name that as remote_robot.'
        )
    try:
        return structure(description.get('robot'), RemoteRobot)
    except ValueError as error:
        raise ValueError(
            f'The server at {client.address} describes its robot in words that are not known '
            f'here: {error}. Install the same version on both machines, or set remote_robot.'
        ) from error


def _require_libraries(address: str) -> None:
    try:
        import msgpack  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f'Asking {address} needs {error.name}, which is not installed here; '
            "pip install 'ros2_gridsampler[remote]'."
        ) from error


def _said(metadata: dict[str, Any]) -> Any:
    """What a server says of its policy; the robot that ours describe is told elsewhere."""
    described = metadata.get(DESCRIPTION)
    return described.get('policy') if isinstance(described, dict) else metadata


def _words(error: BaseException) -> str:
    return f'{type(error).__name__}: {error}'[:_WORDS]
