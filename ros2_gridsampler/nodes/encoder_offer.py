# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An encoder on a server -> what a policy node that is driving an arm does with it."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_msgs.msg import String

from ..encoders.swap_config import SwapConfig
from ..evaluating.demonstration_record import ENDED, EncoderSwap
from .child_process import ChildProcess
from .demonstration_watcher import DemonstrationWatcher
from .topics import LATCHED

_SERVER = 'encoder_server'


def fed_by_server(swap: SwapConfig, out: Path) -> dict[str, Any]:
    """Returns the parameters of a policy node that listens to `encoder_server`.

    Args:
        swap: Thresholds of the node; its `store` is replaced by a folder in `out`.
        out: Folder of the demonstration.
    """
    return {
        'encoder_server': f'/{_SERVER}',
        **{f'swap.{name}': value for name, value in asdict(swap).items()},
        'swap.store': str((out / 'store').resolve()),
    }


def encoder_server(encoders: Path, out: Path) -> ChildProcess:
    """Returns an encoder server, not started.

    Args:
        encoders: Folder of encoder folders.
        out: Folder of its log.
    """
    # Its own profile suits files better than that of a node which sends pictures.
    other = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
    environment = {name: value for name, value in os.environ.items() if name not in other}
    return ChildProcess(
        f'nodes.{_SERVER}_node',
        {'folder': str(encoders.resolve())},
        {},
        environment=environment,
        log=out / f'{_SERVER}.log',
        patience=3.0,
    )


class EncoderOffer:
    """Makes an encoder the active one of its server, and hears what the policy node does with it.

    Args:
        watcher: A node.
        active: Name of the encoder on the server.
    """

    def __init__(self, watcher: DemonstrationWatcher, active: str) -> None:
        self._watcher = watcher
        self._active = active
        self._about: dict[str, Any] = {}
        self._own = ''
        self._states: list[tuple[str, float]] = []
        self._answer: Any = None
        self._client = watcher.create_client(SetParameters, f'/{_SERVER}/set_parameters')
        watcher.create_subscription(String, '/policy_node/encoder', self._hear, LATCHED)

    @property
    def ready(self) -> bool:
        """Whether server and policy node are there."""
        return bool(self._about) and self._client.service_is_ready()

    @property
    def asked(self) -> bool:
        """Whether the server was asked."""
        return self._answer is not None

    @property
    def state(self) -> str:
        """The newest state since then; empty before the node has heard of the encoder."""
        return self._states[-1][0] if self._states else ''

    @property
    def over(self) -> bool:
        """Whether the node is done with the encoder."""
        return self.state in ENDED

    @property
    def times(self) -> tuple[float, float]:
        """When the first and the newest state came, in simulated time [s]."""
        return self._states[0][1], self._states[-1][1]

    def ask(self) -> None:
        """Asks the server to make the encoder its active one; the node receives it by itself."""
        self._own = self._about['encoder sha256']
        asked = Parameter('active', value=self._active).to_parameter_msg()
        self._answer = self._client.call_async(SetParameters.Request(parameters=[asked]))

    def check(self) -> None:
        """Raises ValueError where the server does not serve it."""
        if self._answer is not None and self._answer.done():
            result = self._answer.result().results[0]
            if not result.successful:
                raise ValueError(f'The server does not serve {self._active!r}: {result.reason}')

    def seen(self) -> EncoderSwap:
        """Returns what came of it until now."""
        about = self._about
        reason = about.get('reason' if self._states else 'server', '')
        return EncoderSwap(
            encoder=self._active,
            outcome=self.state,
            reason='' if self.state == 'accepted' else reason,
            before=self._own,
            after=about.get('encoder sha256', ''),
            states=tuple(self._states),
        )

    def _hear(self, message: Any) -> None:
        self._about = json.loads(message.data)
        if not self._own or self._about['tried'] in ('', 'own'):
            return
        about = self._about
        state = about['outcome'] if about['state'] == 'idle' else about['state']
        if state and state != self.state:
            self._states.append((state, self._watcher.get_clock().now().nanoseconds * 1e-9))
