# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Messages -> the answers of a policy server, over a connection that breaks and is made anew.

One question is under way at a time, and its answer is the next message: openpi's protocol numbers
nothing. So whatever else comes ends the connection, which is made anew for a later question; no
answer can be taken for that of another one.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from socket import SHUT_RDWR, SO_SNDTIMEO, SOL_SOCKET
from threading import Event, Lock
from typing import Any, NoReturn

from .array_messages import decode_message, encode_message

MAX_ANSWER = 4 << 20
"""Longest message of a server that is read [bytes]."""
# Between two attempts to connect, the first and the longest [s].
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
# For connecting, and for saying goodbye [s].
_CONNECT, _GOODBYE = 1.0, 0.2
_WORDS = 300


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
            # The host as the resolver will be asked for it.
            parse_uri(address).host.encode('idna')
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
        self._failure = f'The server at {self.address} {what.rstrip(".")}; it is tried again.'
        raise RemoteFailed(self._failure)


def _require_libraries(address: str) -> None:
    try:
        import msgpack  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f'Asking {address} needs {error.name}, which is not installed here; '
            "pip install 'ros2_gridsampler[remote]'."
        ) from error


def _words(error: BaseException) -> str:
    return f'{type(error).__name__}: {error}'[:_WORDS]
