# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A dataclass -> ROS parameters and back; a node class -> a process that ends safely."""

import contextlib
import ctypes
import dataclasses
import math
import os
import re
import select
import signal
import sys
import threading
import time
import traceback
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import rclpy
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.context import Context
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from .given_parameters import given_value, refusal_of_files, refusal_of_unknown
from .rclpy_repairs import (
    declare_parameter,
    initialise,
    make_executor,
    own_context,
    patient_output,
    read_parameter,
    refuse_invalid_parameters,
    set_log_folder,
)

AnyNode = TypeVar('AnyNode')
Parameters = TypeVar('Parameters')

FAST_DDS_PROFILE = Path(__file__).with_name('fast_dds_profile.xml')
# What ends a node in order: Ctrl-C, a service manager, a closed terminal, Ctrl-\ and Ctrl-Z.
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)
_PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
_TYPES: dict[Any, Any] = {
    bool: Parameter.Type.BOOL,
    int: Parameter.Type.INTEGER,
    float: Parameter.Type.DOUBLE,
    str: Parameter.Type.STRING,
    tuple[int, ...]: Parameter.Type.INTEGER_ARRAY,
    tuple[float, ...]: Parameter.Type.DOUBLE_ARRAY,
    tuple[str, ...]: Parameter.Type.STRING_ARRAY,
}


class Refused(ValueError):
    """A node cannot do what it was asked to; the text says what to do instead."""


class BadParameter(Refused):
    """A parameter has a value that cannot be used; the text says what to write."""


class RunnableNode(Node):
    """What `run` needs of a node; by default one that never ends by itself and moves nothing."""

    @property
    def finished(self) -> bool:
        """Whether the node has nothing left to do."""
        return False

    def stop(self) -> None:
        """Brings every output to a safe state; called once, before the node is destroyed.

        A node that moves something has `commanding` too: whether a safe command is still to be
        sent. While that is so, a signal waits for `stop`.
        """

    def now(self) -> float:
        """Returns the time by the node's clock [s]."""
        return float(self.get_clock().now().nanoseconds * 1e-9)


def declare_parameters(node: Any, kind: type[Any], *, refuse_others: bool = True) -> list[str]:
    """Declares the fields of a dataclass as ROS parameters.

    A field's metadata may hold 'help', 'unit', 'read_only' and the bounds of `bounds.checked`. A
    field that is a dataclass itself becomes a group: 'streams.max_age'.

    Args:
        node: Any rclpy node.
        kind: The dataclass; every field needs a default.
        refuse_others: Whether to refuse what was given and is none of them; else
            `refuse_unknown_parameters` has to be called later.

    Returns:
        The names.

    Raises:
        BadParameter: A value given at start has another type or is out of bounds, or the node
            has no such parameter.
    """
    names = _declare(node, kind, '')
    if refuse_others:
        refuse_unknown_parameters(node, names)
    return names


def refuse_unknown_parameters(node: Any, names: Collection[str]) -> None:
    """Refuses parameters, and files of them, that were given to a node and are not meant for it.

    Args:
        node: Any rclpy node.
        names: Names of its parameters.

    Raises:
        BadParameter: Names the nearest parameter that it has, or the nodes of the file.
    """
    refusal = refusal_of_files(node, sys.argv) or refusal_of_unknown(node, names)
    if refusal:
        raise BadParameter(refusal)


def _declare(node: Any, kind: type[Any], prefix: str) -> list[str]:
    names: list[str] = []
    for field, hint in _fields(kind):
        name = prefix + field.name
        if dataclasses.is_dataclass(hint):
            names += _declare(node, typing.cast('type[Any]', hint), f'{name}.')
            continue
        names.append(name)
        default = _default(field)
        value = list(default) if isinstance(default, tuple) else default
        descriptor = _descriptor(field, hint)
        try:
            declare_parameter(node, name, value, _parameter_type(hint), descriptor)
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            example = _example(name, hint, given_value(node, name))
            raise BadParameter(
                f'Parameter {name!r} ({descriptor.description}): {error}{example}.'
            ) from error
    return names


def read_parameters(node: Any, kind: type[Parameters], prefix: str = '') -> Parameters:
    """Returns the current values of parameters that `declare_parameters` declared.

    Raises:
        BadParameter: A value is none of the choices of its field, or the dataclass refuses it.
    """
    values: dict[str, Any] = {}
    for field, hint in _fields(kind):
        name = prefix + field.name
        if dataclasses.is_dataclass(hint):
            values[field.name] = read_parameters(node, typing.cast('type[Any]', hint), f'{name}.')
            continue
        value = read_parameter(node, name)
        value = _default(field) if value is None else value
        if typing.get_origin(hint) is Literal and value not in typing.get_args(hint):
            raise BadParameter(
                f'Parameter {name!r} is {value!r}; choose one of {list(typing.get_args(hint))}.'
            )
        values[field.name] = tuple(value) if typing.get_origin(hint) is tuple else value
    try:
        return kind(**values)
    except ValueError as error:
        group = f' of {prefix[:-1]!r}' if prefix else ''
        raise BadParameter(f'The parameters{group} cannot be used: {error}.') from error


def run(create: Callable[[], Any], arguments: Sequence[str] | None = None) -> int:
    """Runs a node until it is finished, a signal comes or something fails.

    Whatever the end, the node's `stop` runs while its publishers still work: rclpy's own signal
    handlers would shut the context down first, and the last safe command would never leave.

    Args:
        create: Makes the node, a `RunnableNode`.
        arguments: Command line; that of the process by default.

    Returns:
        The exit code: 0 unless something failed.
    """
    ending = _Ending()
    for number in ENDS:
        # Whoever started the process may want it to outlive a terminal (nohup).
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: ending.ask(number))
    with patient_output(ENDS):
        code = _run(create, arguments, ending)
        ending.end()
        return code


class _Ending:
    """A signal -> the end of the process in order, or at once where nothing is being moved.

    A callback may take long, like configure that builds an engine. Nothing of what it does has to
    be finished, and whoever sent the signal would soon send a harder one.

    Attributes:
        asked: Signals that came.
        node: Node of the process; None before it was made.
        noticed: Whether the node is being stopped.
        over: Set when everything is done.
    """

    # So long after the first signal: in a callback, and while the node is being stopped [s].
    _IN_CALLBACK, _IN_STOP = 3.0, 4.5

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.node: Any = None
        self.noticed = False
        self.over = threading.Event()
        # A handler in Python runs when the main thread comes back to Python, and where another
        # thread took the signal not even a sleep of that is cut short. What C writes is read.
        self._heard, heard = os.pipe()
        os.set_blocking(heard, False)
        signal.set_wakeup_fd(heard, warn_on_full_buffer=False)
        threading.Thread(target=self._wait, name='ending', daemon=True).start()

    def ask(self, number: int) -> None:
        """Called in the handler of a signal."""
        # No lock, which starting a thread would take: a handler comes in the middle of anything,
        # also of another one.
        self.asked.append(number)

    def end(self) -> None:
        """Hears no signals any more; called in the main thread, when everything is done."""
        self.over.set()
        signal.set_wakeup_fd(-1)

    def _wait(self) -> None:
        begin = 0.0
        while not self.over.is_set():
            if select.select([self._heard], [], [], 0.1)[0]:
                self.asked += [number for number in os.read(self._heard, 64) if number in ENDS]
            if not self.asked:
                continue
            begin = begin or time.monotonic()
            commanding = getattr(self.node, 'commanding', None)
            # A node that moves nothing may have a file to close.
            if commanding or (self.noticed and commanding is None):
                continue
            if time.monotonic() - begin > (self._IN_STOP if self.noticed else self._IN_CALLBACK):
                sys.stderr.write('Ended by a signal in the middle of something; nothing moves.\n')
                sys.stderr.flush()
                os._exit(0)


def _run(create: Callable[[], Any], arguments: Sequence[str] | None, ending: _Ending) -> int:
    prepare_process()
    log = rclpy.logging.get_logger('ros2_gridsampler')
    try:
        initialise(arguments)
    except ValueError as error:
        log.fatal(f'The node cannot start. {error}')
        return 1
    node: Any = None
    wrong = ''
    try:
        ending.node = node = create()
        log = node.get_logger()
        refuse_invalid_parameters(node)
        executor = make_executor(log)
        executor.add_node(node)
        while not (ending.asked or node.finished):
            executor.spin_once(timeout_sec=0.1)
    except Refused as error:
        wrong = str(error)
    except Exception as error:
        # Whatever it was, an arm may be moving.
        wrong = f'Stopped after {type(error).__name__}: {error}\n{traceback.format_exc()}'
    ending.noticed = True
    # First the arm, then the words.
    failed = node is not None and not _end(node, log)
    if wrong:
        log.fatal(wrong)
    rclpy.try_shutdown()
    return int(failed or bool(wrong))


def prepare_process() -> None:
    """Sets what must be set before `rclpy.init`; what the user has set already stays."""
    set_profile(FAST_DDS_PROFILE)
    set_log_folder()
    # A thread that waits for Python's lock gets it within this instead of 5 ms, a quarter of a
    # period of commands.
    sys.setswitchinterval(5e-4)
    # glibc would map and unmap every picture's memory anew, which doubles the transport time
    # (640x480: 3.3 ms against 1.4 ms). -3 is M_MMAP_THRESHOLD, -1 M_TRIM_THRESHOLD.
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 32 << 20)
        libc.mallopt(-1, 256 << 20)


def set_profile(profile: Path) -> None:
    """Names a file of profiles to Fast DDS, before `rclpy.init`; one of the user stays."""
    if not any(name in os.environ for name in _PROFILE_VARIABLES):
        os.environ[profile_variable()] = str(profile)


def profile_variable() -> str:
    """Returns the variable by which Fast DDS is told its profiles.

    It has another name since Kilted, whose rmw_fastrtps (9) warns of the former one in every node.
    """
    old, new = _PROFILE_VARIABLES
    for prefix in (*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix):
        package = Path(prefix, 'share', 'rmw_fastrtps_shared_cpp', 'package.xml')
        if prefix and package.is_file():
            version = re.search(r'<version>\s*(\d+)', package.read_text())
            return new if version and int(version[1]) >= 9 else old
    return old


@contextlib.contextmanager
def own_node(create: Callable[[Context], AnyNode]) -> Iterator[tuple[AnyNode, Any]]:
    """Yields a node in a context of its own, and an executor that has it.

    Args:
        create: Makes the node in a context.
    """
    prepare_process()
    with own_context() as context:
        node: Any = create(context)
        try:
            executor = SingleThreadedExecutor(context=context)
            executor.add_node(node)
            try:
                yield node, executor
            finally:
                executor.shutdown()
        finally:
            node.destroy_node()


def _end(node: Any, log: Any) -> bool:
    try:
        node.stop()
        node.destroy_node()
    except Exception:
        log.fatal(f'Stopping failed:\n{traceback.format_exc()}')
        return False
    return True


def _fields(kind: type[Any]) -> list[tuple[Any, Any]]:
    hints = typing.get_type_hints(kind)
    return [(field, hints[field.name]) for field in dataclasses.fields(kind)]


def _example(name: str, hint: Any, given: Any) -> str:
    """Returns how a value of another type is written."""
    if hint is float:
        return f'; write {name}:=15.0, not 15'
    if typing.get_origin(hint) is tuple and isinstance(given, str):
        return f'; it is a list, so write "[{given.strip(" []")}]", with brackets'
    return ''


def _default(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return field.default_factory()


def _parameter_type(hint: Any) -> Any:
    if typing.get_origin(hint) is Literal:
        hint = type(typing.get_args(hint)[0])
    return _TYPES[hint]


def _descriptor(field: Any, hint: Any) -> Any:
    metadata = field.metadata
    unit = f' [{metadata["unit"]}]' if 'unit' in metadata else ''
    descriptor = ParameterDescriptor(
        description=metadata.get('help', '') + unit,
        read_only=metadata.get('read_only', False),
    )
    if typing.get_origin(hint) is Literal:
        choices = ', '.join(map(repr, typing.get_args(hint)))
        descriptor.additional_constraints = f'One of {choices}'
    low, above, high = (metadata.get(key) for key in ('minimum', 'above', 'maximum'))
    if above is not None:
        low = math.nextafter(above, math.inf) if hint is float else above + 1
    if low is None and high is None:
        return descriptor
    if hint is float:
        low = float('-inf') if low is None else float(low)
        high = float('inf') if high is None else float(high)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif hint is int:
        low = -(2**63) if low is None else low
        high = 2**63 - 1 if high is None else high
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    return descriptor
