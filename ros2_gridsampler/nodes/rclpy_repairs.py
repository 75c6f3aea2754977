# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What rclpy lacks or does wrong -> what this package does instead; nothing else reaches into it.

Each repair names its issue, or says that none was found. A test shows every fault in rclpy alone;
where it fails, rclpy does well by itself, and the repair can go.
"""

import contextlib
import fcntl
import functools
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

RclError = RuntimeError
"""What rclpy raises for errors of rcl, as a class that it does not export. No issue was found."""

DECLARED_BY_RCLPY = ('qos_overrides.', 'use_sim_time', 'start_type_description_service')
"""How parameters begin that rclpy declares itself; no list is public. No issue was found."""


@contextlib.contextmanager
def own_context() -> Iterator[Context]:
    """Yields a context beside that of the process, begun and then shut down.

    Kilted warns of a `with Context()` that was not begun, Jazzy begins it in any case
    (ros2/rclpy#1298).
    """
    context = Context()
    context.init()
    try:
        yield context
    finally:
        context.try_shutdown()


def initialise(arguments: Sequence[str] | None) -> None:
    """Begins to use ROS; signals are the business of whoever calls this.

    rclpy's own handlers end the context at once, and the last safe command would never leave
    (ros2/rclpy#1287, ros2/rclcpp#1706).

    Args:
        arguments: Command line; that of the process where there is none.

    Raises:
        ValueError: ROS does not take the command line; says what to write. rcl's own words name
            lines of its source; no issue was found.
    """
    try:
        rclpy.init(
            args=None if arguments is None else list(arguments),
            signal_handler_options=SignalHandlerOptions.NO,
        )
    except RclError as error:
        said = re.sub(r',? at /\S+:\d+', '', str(error).removeprefix('failed to initialize rcl: '))
        hint = next((hint for part, hint in _HINTS.items() if part in said), '')
        raise ValueError(f'{said.strip().rstrip(".")}. {hint}'.rstrip()) from error


_HINTS = {
    'opening YAML file': 'There is no such file, or it cannot be read; check its path.',
    'log level': 'Write debug, info, warn, error or fatal.',
    'params file': "Write the node's name, below it ros__parameters, below it NAME: VALUE.",
    'parameter override': 'Write -p NAME:=VALUE; the values of a list are of one type.',
    'remap rule': 'Write -r FROM:=TO.',
}


def set_log_folder() -> None:
    """Names a folder for logs where rcl would not begin for want of one (ros2/rcl_logging#72)."""
    if not any(name in os.environ for name in ('ROS_LOG_DIR', 'ROS_HOME')):
        home = os.environ.get('HOME', '')
        if not (home and os.access(home, os.W_OK)):
            os.environ['ROS_LOG_DIR'] = str(Path(tempfile.gettempdir()) / 'ros_log')


def make_executor(log: Any) -> Any:
    """Returns the cheapest executor that this rclpy has.

    The one in Python looks at every subscription for each message (ros2/rclpy#1223 shows its
    wait set built anew), with Python's lock held, and the thread of the commands waits for it: up
    to 2 ms in every tenth command at 50 Hz.

    Args:
        log: Is told where there is none but the one in Python.
    """
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        log.warning('This rclpy has no EventsExecutor; commands are less regular. Update rclpy.')
        return SingleThreadedExecutor()
    return EventsExecutor()


def while_alive(alive: Callable[[], bool], callback: Callable[..., Any]) -> Callable[..., None]:
    """Returns a callback that does nothing once its owner lets go of it.

    What the EventsExecutor has seen before a subscription or timer was destroyed it calls after
    it. No issue was found; ros2/rclpy#1206 is about several threads.

    Args:
        alive: Returns whether the owner still wants to be called.
        callback: Called while that is so.
    """

    # An rclpy that tells timers of their time looks at the signature whether they want to hear it.
    @functools.wraps(callback)
    def call(*arguments: Any) -> None:
        if alive():
            callback(*arguments)

    return call


def take_waiting(subscription: Any, most: int | None = None) -> Iterator[tuple[Any, Any]]:
    """Yields the messages that wait at a subscription, each with what rmw tells of it.

    rclpy gives them to executors only, rclcpp to everybody (`Subscription::take`). No issue was
    found.

    Args:
        subscription: Any of rclpy, of whose messages no executor takes some meanwhile.
        most: Number of messages at most; None for all that wait.
    """
    count = 0
    with subscription.handle:
        while most is None or count < most:
            taken = subscription.handle.take_message(subscription.msg_type, False)
            if taken is None:
                return
            count += 1
            yield taken


def subscribe_to_all(
    node: Any,
    kind: Any,
    topic: str,
    add: Callable[[Any], None],
    qos: Any,
    alive: Callable[[], bool],
    **options: Any,
) -> Any:
    """Subscribes and takes all that waits at once; returns rclpy's subscription.

    The executor in Python takes one message each time that it looks, which costs more than the
    message: on a busy machine it would fall behind, and the state of the arm with it. No issue
    was found.

    Args:
        node: Owns the subscription.
        kind: Message class.
        topic: Name of the topic.
        add: Called with every message.
        qos: Quality of service.
        alive: Returns whether messages still count.
        options: Further ones of rclpy's `create_subscription`.
    """

    def take(message: Any) -> None:
        add(message)
        for waiting, _ in take_waiting(subscription, qos.depth):
            add(waiting)

    subscription = node.create_subscription(kind, topic, while_alive(alive, take), qos, **options)
    return subscription


def given_parameters(node: Any) -> Mapping[str, Any]:
    """Returns the parameters that a node was given at its start, whether it has them or not.

    rclpy ignores those that it has not, without a word, and has no public way to ask what was
    given. No issue was found.
    """
    given: dict[str, Any] = node._parameter_overrides
    return given


def declare_parameter(node: Any, name: str, value: Any, kind: Any, descriptor: Any) -> None:
    """Declares a parameter, also one whose default is an empty list.

    rclpy takes that for a list of bytes (ros2/rclpy#912), so it is declared without a value.

    Args:
        node: Any node of rclpy.
        name: Name of the parameter.
        value: Its default.
        kind: Its `Parameter.Type`.
        descriptor: Its descriptor.
    """
    if value == []:
        node.declare_parameters('', [(name, kind, descriptor)])
    else:
        node.declare_parameter(name, value, descriptor)


def read_parameter(node: Any, name: str) -> Any:
    """Returns the value of a parameter; None where it was declared without (ros2/rclpy#912)."""
    return node.get_parameter_or(name, Parameter(name, Parameter.Type.NOT_SET)).value


def refuse_invalid_transitions(node: Any, state: Callable[[], str]) -> None:
    """Answers "no" where rclpy throws an error out of its executor, which ends the node.

    ros2/rclpy#1209, mended by ros2/rclpy#1319 for Kilted.

    Args:
        node: A lifecycle node.
        state: Returns the name of the state that it is in.
    """
    service = next(s for s in node.services if s.srv_type is ChangeState)
    change_state = service.callback

    def answer(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except RclError as error:
            node.get_logger().error(
                f'Transition {request.transition.id} {request.transition.label!r} is not '
                f'possible while {state()}: {error}'
            )
            response.success = False
            return response

    service.callback = answer


def attempt(
    act: Callable[[], None], refusals: tuple[type[Exception], ...]
) -> tuple[TransitionCallbackReturn, str]:
    """Acts in a transition of a lifecycle node.

    rclpy drops every exception of a transition without a word (ros2/rclpy#1673).

    Args:
        act: What the transition is for.
        refusals: Exceptions whose text says all that there is to say.

    Returns:
        What the transition has to return, and what went wrong: a sentence of a refusal, else a
        traceback; empty where nothing did.
    """
    try:
        act()
    except refusals as error:
        return TransitionCallbackReturn.FAILURE, str(error)
    except Exception:
        return TransitionCallbackReturn.ERROR, traceback.format_exc()
    return TransitionCallbackReturn.SUCCESS, ''


def refuse_invalid_parameters(node: Any) -> None:
    """Answers "no" where a parameter has a type that does not exist.

    rclpy throws an error out of its executor, which ends the node. No issue was found;
    ros2/rclcpp#3257 is the same fault there.

    Args:
        node: Any node with parameter services.
    """
    for service in node.services:
        if service.srv_type in (SetParameters, SetParametersAtomically):
            service.callback = _refuse_unknown_types(service.callback)


def _refuse_unknown_types(set_parameters: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    types = {kind.value for kind in Parameter.Type}

    def answer(request: Any, response: Any) -> Any:
        unknown = [p.name for p in request.parameters if p.value.type not in types]
        if not unknown:
            return set_parameters(request, response)
        reason = f'The values of {unknown} have a type that does not exist; nothing was set.'
        refused = SetParametersResult(successful=False, reason=reason)
        if isinstance(response, SetParameters.Response):
            response.results = [refused] * len(request.parameters)
        else:
            response.result = refused
        return response

    return answer


def create_slow_service(
    node: Any, kind: Any, name: str, work: Callable[[Any], None], failed: Callable[[str], None]
) -> Any:
    """Returns a new service that answers from a thread of its own, one request after the other.

    For an `async` callback the EventsExecutor takes the coroutine itself for the answer, which
    ends the node (ros2/rclpy#1473, mended by ros2/rclpy#1478 for Kilted).

    Args:
        node: Owns the service.
        kind: Type of the service.
        name: Name of the service.
        work: Fills the response, in the thread.
        failed: Gets the traceback of an exception of `work`; the response goes out as it is.
    """
    service = node.create_service(kind, name, lambda request, response: response)
    send = service.send_response
    one_at_a_time = threading.Lock()

    def answer(response: Any, header: Any) -> None:
        with one_at_a_time:
            try:
                work(response)
            except Exception:  # nobody waits for this thread
                failed(traceback.format_exc())
            # Whoever asked may get no answer from a node that has gone in the meantime.
            with contextlib.suppress(InvalidHandle):
                send(response, header)

    def answer_later(response: Any, header: Any) -> None:
        threading.Thread(target=answer, args=(response, header), name=name, daemon=True).start()

    service.send_response = answer_later
    return service


def log_line(log: Any, text: str, *, warning: bool) -> None:
    """Writes a line into the log, as a warning or not.

    rclpy refuses a second severity from the same line of source. Its users report that, like
    RobotLabLTH/SkiROS2#104; no issue of rclpy was found.
    """
    if warning:
        log.warning(text)
    else:
        log.info(text)


# So much is kept for a reader that is late; what comes then is lost [bytes].
_KEPT = 1 << 20
# So long the reader may take at the end [s].
_LAST_WORDS = 1.0


@contextlib.contextmanager
def patient_output(unheard: Sequence[signal.Signals]) -> Iterator[None]:
    """Puts another process between this one and whoever reads its output and errors.

    rclpy writes a line of its log with Python's lock held. Where nobody reads, as after Ctrl-S in
    a terminal, the line would wait, with it every thread, and the arm would go on by its last
    command. Written to a pipe that never waits, it is lost instead. The other process outlives
    this one, so that the last words of a crash are read too. Begin before anybody has written.
    No issue was found; ros2/rclpy#713 says that logging keeps the lock.

    Args:
        unheard: Signals that are not for the other process, which ends when nobody writes.
    """
    if os.isatty(2):
        # Whoever writes would not know any more that it is a terminal.
        os.environ.setdefault('RCUTILS_COLORIZED_OUTPUT', '1')
    given = []
    for number in (1, 2):
        # Closed, or a file, which has no reader.
        with contextlib.suppress(OSError):
            if not stat.S_ISREG(os.fstat(number).st_mode):
                given.append((number, *_come_between(number, unheard)))
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        for number, before, _ in given:
            os.dup2(before, number)
            os.close(before)
        for _, _, between in given:
            with contextlib.suppress(subprocess.TimeoutExpired):
                between.wait(_LAST_WORDS)


def _come_between(
    number: int, unheard: Sequence[signal.Signals]
) -> tuple[int, subprocess.Popen[bytes]]:
    """Returns where a descriptor led before, and the process that writes there now."""
    reading, writing = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _KEPT)
    os.set_blocking(writing, False)

    def hear_nothing() -> None:
        for each in unheard:
            signal.signal(each, signal.SIG_IGN)

    between = subprocess.Popen(
        ['cat'],  # noqa: S607 - of the user's system
        stdin=reading,
        stdout=number,
        stderr=subprocess.DEVNULL,
        # A terminal sends them to every process of a group, systemd to all of a service.
        start_new_session=True,
        preexec_fn=hear_nothing,
    )
    before = os.dup(number)
    os.dup2(writing, number)
    os.close(writing)
    os.close(reading)
    return before, between
