# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A command and its arguments -> its work done, or one sentence that says what is wrong."""

import contextlib
import functools
import importlib.metadata
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import tyro

from ..files import FULL
from .arguments import REGISTRY


def parse(
    command: Callable[..., Any], name: str, arguments: Sequence[str] | None = None
) -> Callable[[], Any]:
    """Reads the arguments of a command, without running it yet.

    Args:
        command: What takes them.
        name: What `--help` calls the command.
        arguments: The words after its name; those of the process if None.

    Returns:
        The command with its arguments, to be called.

    Raises:
        ValueError: One of the dataclasses of this package refuses its values.
        SystemExit: Help was asked for, or tyro has explained what it cannot read.
    """

    @functools.wraps(command)
    def bind(*given: Any, **named: Any) -> Callable[[], Any]:
        return functools.partial(command, *given, **named)

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            bound: Callable[[], Any] = tyro.cli(bind, prog=name, args=arguments, registry=REGISTRY)
    except SystemExit as end:
        # tyro draws a box around the sentence with which a dataclass refuses its values.
        if (refusal := _own_refusal(end)) is not None:
            raise ValueError(str(refusal)) from None
        print(said.getvalue(), end='', file=sys.stderr)
        raise
    return bound


def _own_refusal(error: BaseException) -> ValueError | None:
    cause = error.__context__
    while cause is not None:
        trace = cause.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        raised_in = '' if trace is None else trace.tb_frame.f_globals.get('__name__', '')
        if isinstance(cause, ValueError) and raised_in.startswith('ros2_gridsampler.'):
            return cause
        cause = cause.__context__
    return None


def answer(command: Callable[[], object], name: str = 'gridsampler') -> None:
    """Runs a command; a user's mistake is one sentence, not a traceback.

    Args:
        command: Does what was asked for.
        name: Name of the program, printed before every sentence.
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
            f'{name}: stopped. A command whose --help says that it goes on where it stopped '
            'does so when it is given again.',
            file=sys.stderr,
        )
        sys.exit(128 + came[-1])
    except InterruptedError as error:
        print(error, file=sys.stderr)
        sys.exit(130)
    except ImportError as error:
        # An import of our own that fails is our mistake, and needs its traceback.
        if str(error.name).partition('.')[0] == 'ros2_gridsampler':
            raise
        print(f'{name}: {_missing(error)}', file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever reads, like `head`, has read enough; Python's own flush at the end would fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except (ValueError, OSError) as error:
        print(f'{name}: {_sentence(error)}', file=sys.stderr)
        sys.exit(1)
    finally:
        signal.signal(signal.SIGTERM, before)


def _missing(error: ImportError) -> str:
    if error.name is None or not isinstance(error, ModuleNotFoundError):
        return str(error)  # says what to install
    module = error.name.partition('.')[0]
    extras, pythons = _extras_with(module)
    if pythons and not extras:
        return (
            f'{module} is not installed, and needs Python {" or ".join(pythons)}; this is '
            f'{sys.version_info[0]}.{sys.version_info[1]}. Make an environment with such a Python '
            "and install there: pip install 'ros2_gridsampler[full,ros,"
            f"{module}]'."
        )
    extras = extras or ['full']
    installs = ' or '.join(f"pip install 'ros2_gridsampler[{extra}]'" for extra in extras)
    if 'ros' in extras:
        installs += ', or source the setup file of your ROS 2 installation'
    return f'{module} is not installed; {installs}.'


def _extras_with(module: str) -> tuple[list[str], list[str]]:
    """Extras that bring a module into this Python, and the Pythons into which others do."""
    try:
        wanted = importlib.metadata.requires('ros2_gridsampler') or []
    except importlib.metadata.PackageNotFoundError:
        return [], []
    extras, pythons = [], []
    for requirement in wanted:
        distribution = re.split(r'[^\w.-]', requirement, maxsplit=1)[0].lower()
        extra = re.search(r'extra == .([\w-]+)', requirement)
        if extra and f'-{module.replace("_", "-").lower()}-' in f'-{distribution}-':
            if python := _other_python(requirement):
                pythons.append(python)
            else:
                extras.append(extra[1])
    return list(dict.fromkeys(extras)), list(dict.fromkeys(pythons))


def _other_python(requirement: str) -> str:
    """Returns the Python that a requirement is for, such as '>=3.12'; empty where it is this."""
    marker = re.search(r'python_version\s*(>=|<)\s*.([\d.]+)', requirement)
    if marker is None:
        return ''
    wanted = tuple(int(part) for part in marker[2].rstrip('.').split('.'))
    is_newer = sys.version_info[: len(wanted)] >= wanted
    return '' if is_newer == (marker[1] == '>=') else f'{marker[1]}{marker[2]}'


def _sentence(error: ValueError | OSError) -> str:
    if isinstance(error, FileNotFoundError) and error.filename:
        return f'{error.filename} is not there; look at the name.'
    if isinstance(error, OSError) and error.errno in FULL:
        return (
            f'{error}; free some space. A command whose --help says that it goes on where it '
            'stopped does so when it is given again.'
        )
    return str(error)
