# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""/diagnostics -> a table in the terminal that stays up to date."""

import time
from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..stop_request import StopRequest
from .node_setup import own_node
from .topics import REPORTS

_COLOURS = {
    DiagnosticStatus.OK: 'green',
    DiagnosticStatus.WARN: 'yellow',
    DiagnosticStatus.ERROR: 'red',
}
# The node reports once a second [s].
_SILENCE = 3.0
_PATIENCE = 15.0


class Monitor(Node):
    """Keeps the newest report of one node.

    Args:
        watched: Its name, with namespace; with a '/' in front or without.
        options: Those of rclpy's Node.
    """

    def __init__(self, watched: str, **options: Any) -> None:
        super().__init__('monitor', **options)
        self._watched = f'/{watched.strip("/")}'
        self._heard = float('-inf')
        self.statuses: dict[str, Any] = {}
        """Part ('' for the node itself) -> DiagnosticStatus."""
        self.create_subscription(DiagnosticArray, '/diagnostics', self._hear, REPORTS)

    def render(self) -> Group:
        """The report as something that rich prints."""
        if not self.statuses:
            return Group(Text(f'Nothing has come from {self._watched} on /diagnostics yet.'))
        main = self.statuses.get('')
        silence = time.monotonic() - self._heard
        # Other nodes report other levels too, like STALE.
        level = None if silence > _SILENCE or main is None else main.level
        colour = _COLOURS.get(level, 'red')
        text = f'{self._watched}: {"" if main is None else main.message}'
        if silence > _SILENCE:
            text = f'{self._watched} is silent since {silence:.0f} s. {text}'
        parts = [Panel(Text(text), border_style=colour)]
        for part, status in self.statuses.items():
            pairs = {pair.key: pair.value for pair in status.values}
            parts.append(Panel(_table(pairs), title=part or 'policy', title_align='left'))
        return Group(*parts)

    def _hear(self, message: Any) -> None:
        ours = [status for status in message.status if self._is_ours(status.name)]
        if ours:
            self._heard = time.monotonic()
            self.statuses = {s.name.removeprefix(self._watched).lstrip(': '): s for s in ours}

    def _is_ours(self, name: str) -> bool:
        return name == self._watched or name.startswith(f'{self._watched}: ')


def run_monitor(watched: str, *, once: bool, console: Console | None = None) -> None:
    """Shows the reports of a node until Ctrl-C.

    Args:
        watched: Its name, with namespace.
        once: Print one report and return.
        console: Where to; the terminal by default.

    Raises:
        TimeoutError: `once`, and no report came.
    """
    console = console or Console()
    deadline = time.monotonic() + _PATIENCE
    made = own_node(lambda context: Monitor(watched, context=context))
    with made as (monitor, executor), StopRequest() as stop:
        while once and not monitor.statuses:
            stop.check()
            executor.spin_once(timeout_sec=0.1)
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f'No report of {watched} came within {_PATIENCE:.0f} s; is it running, '
                    'in this ROS_DOMAIN_ID?'
                )
        if once:
            console.print(monitor.render())
            return
        with Live(monitor.render(), console=console, auto_refresh=False) as live:
            while True:
                stop.check()
                executor.spin_once(timeout_sec=0.2)
                live.update(monitor.render(), refresh=True)


def _table(pairs: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for key, value in pairs.items():
        table.add_row(Text(key, style='dim'), Text(value))
    return table
