# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What reproduces the published tables, by `python -m experiments.NAME`; see README.md."""

from collections.abc import Callable

from ros2_gridsampler.command_line import answer
from ros2_gridsampler.command_line.running import parse


def run(command: Callable[..., None]) -> None:
    """Runs a command with the arguments of the process; a mistake is one sentence."""
    name = command.__module__
    answer(lambda: parse(command, f'python -m {name}')(), name)
