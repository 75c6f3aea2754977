# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy -> a server of openpi's protocol, which any client of it may ask."""

from __future__ import annotations

import http
import logging
import time
from collections.abc import Callable
from socket import SHUT_RDWR
from threading import Lock, Thread
from typing import Any

import cattrs

from .array_messages import decode_message, encode_message
from .deployed_policy import DeployedConfig, DeployedPolicy
from .policy_client import limit_sending
from .remote_policy import DESCRIPTION
from .remote_robot import RemoteRobot

MAX_CLIENTS = 4
"""Connections at a time; one prediction is made after the other."""
# A client that says nothing for so long has gone [s].
_IDLE = 600.0
# One that reads nothing for so long, too [s].
_READING = 10.0
_GOODBYE = 0.5
# Beside the pictures: numbers, names and a sentence [bytes].
_BESIDE = 1 << 20
_LOG = logging.getLogger(__name__)


def describe_robot(config: DeployedConfig) -> RemoteRobot:
    """Returns what a client has to send to a policy, and what comes back: all in its own units.

    Raises:
        ValueError: The policy reads more than a client can send.
    """
    streams = config.observation
    if streams.earlier:
        raise ValueError(
            f'This policy reads {streams.earlier + 1} observations at once, and a client sends '
            'the newest alone; let its policy node open it on this machine.'
        )
    return RemoteRobot(
        {camera: f'observation/images/{camera}' for camera in config.cameras},
        streams.resolution,
        streams.joints,
        config.action_space,
        config.period,
        uses_pose=streams.uses_pose,
        preparations=dict(streams.cameras),
        velocity_window=streams.velocity_window,
        uses_command=streams.uses_command,
        uses_instruction=streams.uses_instruction,
        continues=config.continues,
        ensemble_decay=config.ensemble_decay,
        depth=dict(streams.depth),
    )


class PolicyServer:
    """Answers observations with chunks; use it as a context.

    Args:
        deployed: The policy.
        host: Address to listen at; others than '127.0.0.1' are heard by other machines.
        port: Port to listen at; 0 for any that is free.
        steady: Returns steady time [s].

    Attributes:
        robot: What it tells clients of the robot.

    Raises:
        ValueError: The policy cannot be served.
        OSError: Nobody can listen there.
    """

    def __init__(
        self,
        deployed: DeployedPolicy,
        host: str = '127.0.0.1',
        port: int = 8000,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        from websockets.sync.server import serve

        self.robot = describe_robot(deployed.config)
        self._deployed, self._steady = deployed, steady
        pictures = deployed.config.observation.cameras.values()
        self._metadata = encode_message(
            {DESCRIPTION: {'robot': cattrs.unstructure(self.robot), 'policy': _plain(deployed)}}
        )
        self._predicting, self._changing = Lock(), Lock()
        self._clients: set[Any] = set()
        self._closed = False
        try:
            self._server = serve(
                self._attend,
                host,
                port,
                # A page in a browser must not ask; whatever asks from elsewhere names no origin.
                origins=[None],
                process_request=self._look_up,
                compression=None,
                max_size=sum(3 * each.width * each.height for each in pictures) + _BESIDE,
                ping_interval=None,
                close_timeout=_GOODBYE,
            )
        except OSError as error:
            raise OSError(
                f'Nobody can listen at {host}:{port}: {error}. Another server may; choose another '
                '--port, or an address of this machine as --host.'
            ) from error
        self._accepting = Thread(
            target=self._server.serve_forever, name='policy server', daemon=True
        )

    def __enter__(self) -> PolicyServer:
        self._accepting.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """Where it is asked."""
        host, port = self._server.socket.getsockname()[:2]
        return f'ws://[{host}]:{port}' if ':' in host else f'ws://{host}:{port}'

    def wait(self, patience: float) -> bool:
        """Waits until it listens no more; whether that was within `patience` [s]."""
        self._accepting.join(patience)
        return not self._accepting.is_alive()

    def close(self) -> None:
        """Listens no more and hangs up; a prediction in progress is finished, and not sent."""
        with self._changing:
            self._closed = True
            clients = tuple(self._clients)
        for connection in clients:
            try:
                connection.socket.shutdown(SHUT_RDWR)
            except OSError:
                continue  # it is closed already
        self._server.shutdown()

    def answer(self, message: bytes) -> bytes | str:
        """Returns what is sent for a message: bytes, or a text where it cannot be answered."""
        try:
            content = decode_message(message)
            observation, prefix = self.robot.observation(content), self.robot.prefix(content)
            self._deployed.check_instruction(observation.instruction)
            with self._predicting:
                begin = self._steady()
                chunk = self._deployed.backend.predict(observation, prefix).chunk
                duration = self._steady() - begin
        except ValueError as error:
            return str(error)
        timing = {'infer_ms': 1e3 * duration}
        return encode_message({self.robot.actions_key: chunk.targets, 'server_timing': timing})

    def _look_up(self, connection: Any, request: Any) -> Any:
        """Returns an answer as HTTP; None to go on."""
        if request.path == '/healthz':
            return connection.respond(http.HTTPStatus.OK, 'OK\n')
        return None

    def _attend(self, connection: Any) -> None:
        from websockets.exceptions import WebSocketException
        from websockets.frames import CloseCode

        with self._changing:
            full = self._closed or len(self._clients) >= MAX_CLIENTS
            if not full:
                self._clients.add(connection)
        if full:
            connection.close(CloseCode.TRY_AGAIN_LATER, f'{MAX_CLIENTS} clients are connected')
            return
        try:
            limit_sending(connection, _READING)
            connection.send(self._metadata)
            while True:
                message = connection.recv(timeout=_IDLE)
                said = isinstance(message, str)
                connection.send(
                    'Send an observation as MessagePack.' if said else self.answer(message)
                )
        except (WebSocketException, TimeoutError, OSError):
            return  # it has gone, or says nothing
        except Exception as error:
            _LOG.exception('A prediction failed.')
            connection.send(f'The policy failed with {type(error).__name__}: {error}')
        finally:
            with self._changing:
                self._clients.discard(connection)


def _plain(deployed: DeployedPolicy) -> dict[str, Any]:
    """What people want to know of a policy, in values that a message can hold."""
    kept = (str, int, float, bool)
    return {k: v if isinstance(v, kept) else str(v) for k, v in deployed.about.items()}
