# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node -> active without a lifecycle manager, as soon as what it needs has come."""

from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import TransitionCallbackReturn

from .rclpy_repairs import while_alive

_PERIOD = 0.05


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
        self._begun = False
        self._over = not wanted
        if wanted:
            # One timer for both: what the executor saw of a timer before it was destroyed is
            # called after it (see `while_alive`), and must not destroy its successor.
            call = while_alive(lambda: not self._over, self._go_on)
            self._timer = node.create_timer(_PERIOD, call, clock=node.steady_clock)

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

    def _go_on(self) -> None:
        if not self._begun:
            self._begun = True
            if self._state() != 'unconfigured':
                self._end()
                return
            if self._node.trigger_configure() != TransitionCallbackReturn.SUCCESS:
                self.failed = self._wanted
                self._end()
                return
        waits = self._wanted and self._state() == 'inactive'
        if waits and self._awaited():
            return
        self._end()
        if waits:
            self._node.trigger_activate()

    def _end(self) -> None:
        self._over = True
        self._node.destroy_timer(self._timer)
