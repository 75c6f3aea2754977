# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler`: one command with a subcommand per job; heavy imports wait in the functions."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

import tyro

from ..files import FULL
from .calibration_commands import calibrate
from .encoder_commands import encoders
from .engine_commands import benchmark, check, export, flops
from .evaluation_commands import evaluate
from .lerobot_commands import adopt, convert_sampler, export_lerobot, import_lerobot
from .moved_commands import run_moved
from .safety_commands import delay, faults, monitor, safety_tables, timing
from .simulation_commands import demo, record, success
from .training_commands import adapt, import_encoder, pretrain, train

application = tyro.extras.SubcommandApp()
for command in (
    demo,
    record,
    pretrain,
    adapt,
    import_encoder,
    train,
    evaluate,
    export_lerobot,
    success,
    export,
    check,
    flops,
    adopt,
    convert_sampler,
    faults,
    safety_tables,
    monitor,
):
    application.command(command)
application.command(name='import')(import_lerobot)
benchmark.command(timing)
calibrate.command(delay)
application.command(benchmark, name='benchmark', help='How fast, on this machine.')
application.command(encoders, name='encoders', help='List, show, verify and serve encoders.')
application.command(
    calibrate, name='calibrate', help='Calibrate cameras and arms; see whether one has moved.'
)


def main() -> None:
    """Run the command that the arguments of the process name."""
    run_moved(sys.argv[1:])
    answer(lambda: application.cli(prog='gridsampler', description='GridS policies on ROS 2.'))


def answer(command: Callable[[], object], name: str = 'gridsampler') -> None:
    """Run a command; a user's mistake is one sentence, not a traceback.

    Args:
        command: Reads the arguments of the process and does what they ask.
        name: Of the program, before every sentence.
    """
    came = [signal.SIGINT]

    def end_in_order(number: int, frame: FrameType | None) -> None:
        came.append(signal.Signals(number))
        raise KeyboardInterrupt

    # Python ends at once on SIGTERM, and leaves behind what Ctrl-C would have put in order.
    before = signal.signal(signal.SIGTERM, end_in_order)
    try:
        command()
    except KeyboardInterrupt:
        print(
            f'{name}: stopped. What --help says goes on where it stopped does so with the '
            'same command.',
            file=sys.stderr,
        )
        sys.exit(128 + came[-1])
    except InterruptedError as error:
        print(error, file=sys.stderr)
        sys.exit(130)
    except ModuleNotFoundError as error:
        if str(error.name).partition('.')[0] == 'ros2_gridsampler':
            raise
        print(
            f"{name}: {error.name} is not installed; pip install 'ros2_gridsampler[full]', "
            'or the extra that this command belongs to (setup.py).',
            file=sys.stderr,
        )
        sys.exit(1)
    except (ValueError, OSError) as error:
        print(f'{name}: {_sentence(error)}', file=sys.stderr)
        sys.exit(1)
    finally:
        signal.signal(signal.SIGTERM, before)


def _sentence(error: ValueError | OSError) -> str:
    if isinstance(error, FileNotFoundError) and error.filename:
        return f'{error.filename} is not there; look at the name.'
    if isinstance(error, OSError) and error.errno in FULL:
        return (
            f'{error}; free some space. What --help says goes on where it stopped does so with '
            'the same command.'
        )
    return str(error)
