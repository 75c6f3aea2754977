# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node -> active without a lifecycle manager, as soon as what it needs has come."""

from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import TransitionCallbackReturn

_PERIOD = 0.1


class Autostart:
    """Configures a node, and activates it once.

    Args:
        node: A lifecycle node with a `steady_clock`.
        wanted: Whether to do so.
        state: Name of the state that the node is in.
        awaited: What has to come before a configured node can be activated, or ''.
    """

    def __init__(
        self, node: Any, wanted: bool, state: Callable[[], str], awaited: Callable[[], str]
    ) -> None:
        self._node = node
        self._wanted = wanted
        self._state = state
        self._awaited = awaited
        self.failed = False
        """Whether the node could not be configured; then nobody would configure it again."""
        if wanted:
            self._timer = node.create_timer(0.01, self._start, clock=node.steady_clock)

    def leave(self) -> None:
        """Stops wanting the node active, because somebody asked it to stop."""
        self._wanted = False

    @property
    def missing(self) -> str:
        """Why the node is not active though it should be; empty where all is well."""
        if not self._wanted or self._state() == 'active':
            return ''
        awaited = self._awaited()
        still = f'waiting for {awaited}' if awaited else 'configure and activate it'
        return f'The node is {self._state()}, not active; {still}.'

    def _start(self) -> None:
        self._node.destroy_timer(self._timer)
        if self._state() != 'unconfigured':
            return
        if self._node.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            self.failed = self._wanted
        else:
            clock = self._node.steady_clock
            self._timer = self._node.create_timer(_PERIOD, self._go_on, clock=clock)
            self._go_on()

    def _go_on(self) -> None:
        waits = self._state() == 'inactive'
        if waits and self._awaited():
            return
        self._node.destroy_timer(self._timer)
        if waits:
            self._node.trigger_activate()
