# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler`: one command with a subcommand per job; heavy imports wait in the functions."""

import sys

import tyro

from .simulation_commands import demo, record, success
from .training_commands import compare, train

application = tyro.extras.SubcommandApp()
for command in (demo, record, train, compare, success):
    application.command(command)


def main() -> None:
    """Run the command; a user's mistake is one sentence, not a traceback."""
    try:
        application.cli(prog='gridsampler', description='GridS policies on ROS 2.')
    except KeyboardInterrupt:
        sys.exit(130)
    except InterruptedError as error:
        print(error, file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError) as error:
        print(f'gridsampler: {error}', file=sys.stderr)
        sys.exit(1)
