# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Manifest and chunks of a server -> a folder in the store, verified, and who wants it told."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.duration import Duration
from std_msgs.msg import String, UInt8MultiArray

from ..encoders.encoder_store import EncoderStore, Reception
from ..encoders.received_folder import check_received_apart
from ..encoders.server_manifest import ServedEncoder, read_server_manifest
from ..encoders.strict_json import NotBelieved
from ..encoders.weight_chunks import read_chunk
from .encoder_server_node import weights_quality
from .rclpy_repairs import while_alive
from .topics import LATCHED

_TICK = 0.05
_ATTEMPTS = 3
# What this machine lacks may come: it is asked after these pauses, each twice the last [s].
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


class EncoderReceiver:
    """Follows a server's active encoder; what is in the store is never received again.

    All of it runs in the ROS thread but the verification, which has a process of its own. What
    the server does wrong is refused until it says something again. What is wrong here, such as a
    full disk, is waited for.

    Args:
        node: Owns topics and timer.
        server: Name of the server's node.
        store: Where encoders are kept.
        refusal: Why an encoder is not wanted, from its manifest; empty where it is.
        use: Called in the ROS thread with the folder of the active encoder; None for each
            policy's own.
    """

    def __init__(
        self,
        node: Any,
        server: str,
        store: EncoderStore,
        *,
        refusal: Callable[[ServedEncoder], str],
        use: Callable[[Path | None], None],
    ) -> None:
        self._node = node
        self._server = server.rstrip('/')
        self._store = store
        self._refusal = refusal
        self._use = use
        self._encoder: ServedEncoder | None = None
        self._reception: Reception | None = None
        self._chunks: Any = None
        self._offered = ''
        self._attempts = 0
        self._in_use = ''
        self._pause = _FIRST_PAUSE
        self._again: Any = None
        self._destroyed = False
        self._verifying: threading.Thread | None = None
        self._verified: Path | Exception | None = None
        self.received = 0
        """Chunks that were taken since the beginning."""
        self.state = 'waiting for the server'
        """What the receiver does, for people."""
        take, tick = (
            while_alive(lambda: not self._destroyed, callback)
            for callback in (self._take_manifest, self._tick)
        )
        self._manifest = node.create_subscription(
            String, f'{self._server}/manifest', take, LATCHED
        )
        self._timer = node.create_timer(_TICK, tick, clock=node.steady_clock)

    def destroy(self) -> None:
        """Takes the topics back; what is half there is thrown away."""
        self._destroyed = True
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._manifest)
        self._abandon()

    def _take_manifest(self, message: Any) -> None:
        self._offered = message.data
        self._attempts = 0
        self._pause = _FIRST_PAUSE
        self._consider()

    def _consider(self) -> None:
        self._again = None
        try:
            manifest = read_server_manifest(self._offered)
            self._store.pin(manifest)
        except NotBelieved as error:
            self._refuse(f'The offer of {self._server} is refused: {error}')
            return
        except OSError as error:
            self._wait(f'The offer of {self._server}', error)
            return
        encoder = manifest.active_encoder
        if encoder is None:
            self._abandon()
            self._encoder = None
            self.state = "the server asks for each policy's own encoder"
            self._in_use = ''
            self._use(None)
            return
        # A server that was started again says the same: what came stays.
        under_way = self._reception is not None or self._in_use == encoder.sha256
        if self._encoder is not None and encoder.sha256 == self._encoder.sha256 and under_way:
            return
        self._abandon()
        self._encoder = encoder
        self._obtain()

    def _obtain(self) -> None:
        encoder = self._encoder
        if encoder is None or self._verifying is not None:
            return
        if reason := self._refusal(encoder):
            self._give_up(f'Encoder {encoder.name!r} of {self._server} is not received: {reason}')
            return
        try:
            if (folder := self._store.find(encoder.sha256)) is not None:
                self._take(encoder, folder)
                return
            self._reception = self._store.receive(encoder)
        except NotBelieved as error:
            self._give_up(str(error))
            return
        except OSError as error:
            self._wait(f'Encoder {encoder.name!r} of {self._server}', error)
            return
        self.state = f'receiving {encoder.name}'
        self._chunks = self._node.create_subscription(
            UInt8MultiArray,
            f'{self._server}/weights',
            self._take_chunk,
            weights_quality(encoder.bytes),
        )

    def _take_chunk(self, message: Any) -> None:
        if self._reception is None or self._verifying is not None:
            return
        try:
            self.received += self._reception.chunks.add(read_chunk(message))
        except (NotBelieved, OSError) as error:
            self._fail(error)
            return
        if self._reception.chunks.complete:
            self._drop_topic()
            self.state = f'verifying {self._reception.encoder.name}'
            self._verified = None
            self._verifying = threading.Thread(
                target=self._verify, args=(self._reception,), name='verify encoder', daemon=True
            )
            self._verifying.start()

    def _verify(self, reception: Reception) -> None:
        try:
            self._verified = reception.finish(check_received_apart)
        except Exception as error:  # handed to the ROS thread, whatever it is
            self._verified = error

    def _take(self, encoder: ServedEncoder, folder: Path) -> None:
        self.state = f'{encoder.name} is in the store'
        self._in_use = encoder.sha256
        self._use(folder)

    def _tick(self) -> None:
        if self._again is not None and self._node.steady_clock.now() >= self._again:
            self._consider()
        if self._verifying is None or self._verifying.is_alive():
            return
        reception, self._reception = self._reception, None
        result, self._verifying = self._verified, None
        if self._encoder is None or reception is None:
            return
        if reception.encoder.sha256 != self._encoder.sha256:
            self._obtain()  # the server changed its mind meanwhile
        elif isinstance(result, Path):
            self._node.get_logger().info(f'Encoder {self._encoder.name!r} is in {result}.')
            self._take(self._encoder, result)
        elif result is not None:
            self._fail(result)

    def _fail(self, error: Exception) -> None:
        name = '' if self._encoder is None else self._encoder.name
        self._abandon()
        if isinstance(error, OSError):
            self._wait(f'Encoder {name!r} of {self._server}', error)
            return
        self._attempts += 1
        if self._attempts < _ATTEMPTS:
            self._node.get_logger().warning(f'Receiving {name!r} again: {error}')
            self._obtain()
        else:
            self._give_up(f'Encoder {name!r} of {self._server} is refused: {error}')

    def _give_up(self, text: str) -> None:
        """Until the server offers it anew: a disk may have room, or a policy other needs, then."""
        self._refuse(text)
        self._encoder = None

    def _wait(self, what: str, error: OSError) -> None:
        """Tries again later: it was not the server's fault."""
        self._again = self._node.steady_clock.now() + Duration(seconds=self._pause)
        self._refuse(
            f'{what} cannot be kept in {self._store.folder}: {error}. It is tried again in '
            f'{self._pause:g} s.'
        )
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _refuse(self, text: str) -> None:
        self.state = text
        self._node.get_logger().warning(text)

    def _drop_topic(self) -> None:
        if self._chunks is not None:
            self._node.destroy_subscription(self._chunks)
            self._chunks = None

    def _abandon(self) -> None:
        """Throws away what is half there; what is being verified clears up after itself."""
        self._drop_topic()
        if self._reception is not None and self._verifying is None:
            self._reception.discard()
            self._reception = None
