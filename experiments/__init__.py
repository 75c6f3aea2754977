# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What reproduces the published tables, by `python -m experiments.NAME`; see README.md."""

from collections.abc import Callable

import tyro

from ros2_gridsampler.command_line import answer


def run(command: Callable[..., None]) -> None:
    """Runs a command with the arguments of the process; a mistake is one sentence."""
    name = command.__module__
    answer(lambda: tyro.cli(command, prog=f'python -m {name}'), name)
