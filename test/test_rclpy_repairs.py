# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Every fault that `rclpy_repairs` repairs is shown in rclpy alone.

A test that fails says which repair is not needed any more; it needs no time and no luck.
"""

import contextlib
import gc
import inspect
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription
from std_msgs.msg import String
from std_srvs.srv import Trigger

from ros2_gridsampler.nodes import rclpy_repairs as repairs
from ros2_gridsampler.nodes.node_setup import profile_variable

experimental = pytest.importorskip('rclpy.experimental')

# Or later: what Kilted mended is repaired for Jazzy.
KILTED = profile_variable() == 'FASTDDS_DEFAULT_PROFILES_FILE'
STEADY = Clock(clock_type=ClockType.STEADY_TIME)
SHOWN = set()


def shows(*names):
    """Marks a test as the one that shows why these repairs are needed."""
    SHOWN.update(names)
    return lambda test: test


def not_needed(what, *names):
    """The sentence of a test that finds rclpy well."""
    return f'rclpy now {what} itself: delete {" and ".join(names)} in nodes/rclpy_repairs.py'


def raises(kind, act):
    """Whether an act ends in an error of a kind."""
    try:
        act()
    except kind:
        return True
    return False


@pytest.fixture
def context(ros_domain):
    with repairs.own_context() as made:
        yield made


@pytest.fixture
def node(context):
    made = rclpy.create_node('bare', context=context)
    yield made
    made.destroy_node()


@pytest.fixture
def spinning(context, node):
    """Executors of the node, each until it is shut down by the test's end."""
    made = []

    def make(kind):
        executor = kind(context=context)
        executor.add_node(node)
        made.append(executor)
        return executor

    yield make
    for executor in made:
        executor.shutdown()


def wait_for(condition):
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.005)


def say(node, topic, count=1):
    """A subscription is found before anything is published to it."""
    publisher = node.create_publisher(String, topic, 10)
    wait_for(publisher.get_subscription_count)
    for number in range(count):
        publisher.publish(String(data=str(number)))
    return publisher


def service_of(node, kind):
    return next(service for service in node.services if service.srv_type is kind)


def in_process(code, **environment):
    """Runs bare rclpy in a process of its own, whose state nobody else needs."""
    return subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment or None,
    )


@shows('own_context')
def test_a_context_is_entered_begun_by_one_distribution_and_not_begun_by_another(ros_domain):
    def enter(begun):
        made = Context()
        if begun:
            made.init()
        try:
            with made:
                pass
        finally:
            made.try_shutdown()

    refused = raises(RuntimeError, lambda: enter(True)) or raises(
        UserWarning, lambda: enter(False)
    )
    assert refused, not_needed('enters a context either way', 'own_context')


@shows('RclError')
def test_the_class_of_rcl_errors_is_not_exported(context):
    exported = [name for name in dir(rclpy.exceptions) if name.lower() == 'rclerror']
    assert not exported, not_needed('exports RCLError', 'RclError')
    with pytest.raises(repairs.RclError, match='once'):
        context.init()


@shows('DECLARED_BY_RCLPY', 'given_parameters')
def test_parameters_that_nobody_declares_are_ignored_without_a_word(context):
    try:
        made = rclpy.create_node(
            'given', context=context, parameter_overrides=[Parameter('zzz', value=1)]
        )
    except Exception as error:
        raise AssertionError(
            not_needed('refuses unknown parameters', 'given_parameters')
        ) from error
    try:
        assert not made.has_parameter('zzz')
        assert set(repairs.given_parameters(made)) == {'zzz'}
        public = [n for n in dir(made) if 'override' in n and not n.startswith('_')]
        assert not public, not_needed('tells what was given', 'given_parameters')
        own = made.list_parameters([], 0).names
        assert all(name.startswith(repairs.DECLARED_BY_RCLPY) for name in own)
    finally:
        made.destroy_node()


@shows('declare_parameter', 'read_parameter')
def test_an_empty_list_is_taken_for_bytes(node):
    declared = node.declare_parameter('list', [])
    assert declared.type_ is Parameter.Type.BYTE_ARRAY, not_needed(
        'declares empty lists', 'declare_parameter', 'read_parameter'
    )
    kind = Parameter.Type.STRING_ARRAY
    repairs.declare_parameter(node, 'words', [], kind, some_descriptor())
    assert repairs.read_parameter(node, 'words') is None
    assert node.set_parameters([Parameter('words', value=['a'])])[0].successful
    assert repairs.read_parameter(node, 'words') == ['a']


def some_descriptor():
    from rcl_interfaces.msg import ParameterDescriptor

    return ParameterDescriptor(description='Some words')


@shows('refuse_invalid_parameters')
def test_a_parameter_of_no_type_is_an_error_out_of_the_executor(node):
    request = SetParameters.Request(parameters=[Parameter('a', value=1).to_parameter_msg()])
    request.parameters[0].value.type = 77
    service = service_of(node, SetParameters)
    assert raises(ValueError, lambda: service.callback(request, SetParameters.Response())), (
        not_needed('refuses such a type', 'refuse_invalid_parameters')
    )
    repairs.refuse_invalid_parameters(node)
    (result,) = service.callback(request, SetParameters.Response()).results
    assert not result.successful
    assert "['a'] have a type that does not exist" in result.reason


@pytest.fixture
def lifecycle(context):
    class Broken(LifecycleNode):
        def on_configure(self, state):
            raise KeyError('unforeseen')

    made = Broken('lifecycle', context=context)
    yield made
    made.destroy_node()


@shows('refuse_invalid_transitions')
def test_an_invalid_transition_is_an_error_out_of_the_executor(lifecycle):
    request = ChangeState.Request()
    request.transition.id = Transition.TRANSITION_ACTIVATE
    service = service_of(lifecycle, ChangeState)
    ends = raises(RuntimeError, lambda: service.callback(request, ChangeState.Response()))
    assert ends is not KILTED, not_needed('refuses the transition', 'refuse_invalid_transitions')
    repairs.refuse_invalid_transitions(lifecycle, lambda: 'unconfigured')
    assert not service.callback(request, ChangeState.Response()).success


@shows('attempt')
def test_an_exception_in_a_transition_is_dropped_without_a_word(lifecycle, capfd):
    dropped = not raises(KeyError, lifecycle.trigger_configure)
    assert dropped, not_needed('raises the exception', 'attempt')
    said = ''.join(capfd.readouterr())
    assert 'unforeseen' not in said, not_needed('tells the exception', 'attempt')
    result, wrong = repairs.attempt(lambda: [].pop(), (ValueError,))
    assert (result, 'IndexError' in wrong) == (TransitionCallbackReturn.ERROR, True)


@shows('create_slow_service')
def test_an_async_service_ends_the_events_executor(node, spinning):
    async def answer(request, response):
        return response

    node.create_service(Trigger, 'slow', answer)
    client = node.create_client(Trigger, 'slow')
    wait_for(client.service_is_ready)
    executor = spinning(experimental.EventsExecutor)
    future = client.call_async(Trigger.Request())

    def spin():
        executor.spin_until_future_complete(future, timeout_sec=60.0)

    # The warning is of the coroutine that nobody awaits.
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        ends = raises(TypeError, spin)
        gc.collect()
    assert ends is not KILTED, not_needed('awaits async services', 'create_slow_service')


@shows('take_waiting')
def test_a_subscription_gives_its_messages_to_executors_only(node):
    assert not hasattr(Subscription, 'take'), not_needed('has Subscription.take', 'take_waiting')
    subscription = node.create_subscription(String, 'taken', lambda message: None, 10)
    say(node, 'taken', 3)
    taken = []

    def look():
        taken.extend(message.data for message, _ in repairs.take_waiting(subscription, 1))
        return len(taken) == 3

    wait_for(look)
    assert taken == ['0', '1', '2']
    assert list(repairs.take_waiting(subscription)) == []


@shows('subscribe_to_all')
def test_the_executor_in_python_takes_one_message_each_time_that_it_looks(node, spinning):
    one, all_of_them = [], []
    node.create_subscription(String, 'one', one.append, 10)
    repairs.subscribe_to_all(node, String, 'all', all_of_them.append, qos_of(10), lambda: True)
    kept = [say(node, topic, 5) for topic in ('one', 'all')]
    executor = spinning(SingleThreadedExecutor)
    looks = 0
    while len(one) < 5:
        before = len(one)
        executor.spin_once(timeout_sec=1.0)
        looks += len(one) > before
    assert looks == 5, not_needed('takes all that waits', 'subscribe_to_all')
    wait_for(lambda: executor.spin_once(timeout_sec=0.1) or len(all_of_them) == 5)
    assert kept


def qos_of(depth):
    from rclpy.qos import QoSProfile

    return QoSProfile(depth=depth)


@shows('while_alive')
def test_the_events_executor_calls_what_was_destroyed_meanwhile(node, spinning):
    executor = spinning(experimental.EventsExecutor)

    def calls(guard, attempt):
        called, subscriptions = [], {}

        def hear(own, other):
            called.append(own)
            node.destroy_subscription(subscriptions.pop(other))

        def listen(own, other):
            hears = guard(lambda: own in subscriptions, lambda message: hear(own, other))
            return node.create_subscription(String, f'{own}_{attempt}', hears, 10)

        names = ('first', 'second')
        subscriptions |= {own: listen(own, o) for own, o in (names, names[::-1])}
        executor.spin_once(timeout_sec=0.01)
        for name in names:
            say(node, f'{name}_{attempt}')
        wait_for(lambda: executor.spin_once(timeout_sec=0.05) or called)
        executor.spin_once(timeout_sec=0.01)
        return called

    assert all(len(calls(repairs.while_alive, n)) == 1 for n in range(5))
    # Whether both have come when the executor looks is up to the middleware.
    bare = (calls(lambda alive, callback: forgiving(callback), f'bare_{n}') for n in range(20))
    assert any(len(called) == 2 for called in bare), not_needed(
        'forgets what was destroyed', 'while_alive'
    )


def test_what_is_called_while_alive_asks_for_what_it_asked_for():
    """Kilted tells a timer when it was due if the callback seems to take an argument."""

    def tick():
        pass

    def hear(message: String):
        pass

    for callback in (tick, hear):
        guarded = repairs.while_alive(lambda: True, callback)
        assert inspect.signature(guarded) == inspect.signature(callback)


def test_the_events_executor_ends_at_a_request_of_a_service_that_was_destroyed(context, node):
    """So no node of this package destroys one as long as it runs."""
    executor = experimental.EventsExecutor(context=context)
    executor.add_node(node)
    service = node.create_service(Trigger, 'asked', lambda request, response: response)
    client = node.create_client(Trigger, 'asked')
    wait_for(client.service_is_ready)
    executor.spin_once(timeout_sec=0.01)

    def go():
        timer.cancel()
        client.call_async(Trigger.Request())
        # Until the request waits for the executor, which is busy here.
        time.sleep(1.0)
        node.destroy_service(service)

    timer = node.create_timer(0.01, go, clock=STEADY)
    with pytest.raises(InvalidHandle):
        wait_for(lambda: executor.spin_once(timeout_sec=0.1))
    nodes = Path(repairs.__file__).parent
    assert [
        each.name for each in nodes.glob('*.py') if 'destroy_service' in each.read_text()
    ] == []


def forgiving(callback):
    """The other subscription may have been destroyed already."""

    def call(message):
        with contextlib.suppress(KeyError):
            callback(message)

    return call


@shows('make_executor')
def test_the_executor_in_python_looks_at_everything_for_each_message(node, spinning):
    def calls_per_message(executor, publisher, heard):
        before, calls = len(heard), 0

        def count(frame, event, argument):
            nonlocal calls
            calls += event == 'call'

        publisher.publish(String())
        sys.setprofile(count)
        try:
            while len(heard) == before:
                executor.spin_once(timeout_sec=1.0)
        finally:
            sys.setprofile(None)
        return calls

    heard = []
    node.create_subscription(String, 'looked', heard.append, 10)
    publisher = say(node, 'looked', 0)
    executor = spinning(SingleThreadedExecutor)
    few = calls_per_message(executor, publisher, heard)
    for number in range(40):
        node.create_subscription(String, f'idle_{number}', heard.append, 10)
    many = calls_per_message(executor, publisher, heard)
    assert many > 2 * few, not_needed('looks at what is ready only', 'make_executor')


@shows('log_line')
def test_a_line_of_source_has_one_severity(node):
    log = node.get_logger()

    def say_twice():
        for write in (log.info, log.warning):
            write('Said twice.')

    assert raises(ValueError, say_twice), not_needed('takes several severities', 'log_line')
    for warning in (False, True):
        repairs.log_line(log, 'Said twice.', warning=warning)


@shows('set_log_folder')
def test_without_a_home_rcl_does_not_begin(ros_domain):
    done = in_process('import rclpy; rclpy.init()', PATH='/usr/bin')
    assert 'Failed to get logging directory' in done.stderr, not_needed(
        'begins without a home', 'set_log_folder'
    )


@shows('initialise')
def test_a_signal_ends_the_context_before_anybody_is_asked(ros_domain):
    done = in_process(
        'import os, rclpy, signal, time\n'
        'rclpy.init()\n'
        'os.kill(os.getpid(), signal.SIGTERM)\n'
        'deadline = time.monotonic() + 30\n'
        'while rclpy.ok() and time.monotonic() < deadline: time.sleep(0.01)\n'
        'print(rclpy.ok())\n'
    )
    assert done.stdout.strip() == 'False', not_needed('leaves the context', 'initialise')
    done = in_process('import rclpy; rclpy.init(args=["--ros-args", "--log-level", "loud"])')
    assert re.search(r'at /\S+\.c:\d+', done.stderr), not_needed(
        'says what to write', 'initialise'
    )


STUCK = """
import faulthandler, os, threading
import rclpy.logging

reading, writing = os.pipe()
os.dup2(writing, 2)
# In C, so it ends a process in which no Python runs any more.
faulthandler.dump_traceback_later(3.0, exit=True, file=open(os.devnull, 'w'))
log = rclpy.logging.get_logger('loud')
ready = threading.Event()

def talk():
    ready.set()
    while True:
        log.info('x' * 1000)

threading.Thread(target=talk, daemon=True).start()
ready.wait()
# Whoever needs Python's lock waits for the reader of the pipe.
for _ in range(1000):
    threading.Event().wait(0.001)
os._exit(77)
"""


@shows('patient_output')
def test_a_log_that_nobody_reads_stops_every_thread(ros_domain):
    assert in_process(STUCK).returncode != 77, not_needed(
        'writes its log without holding others up', 'patient_output'
    )


def test_every_repair_names_its_issue_and_is_shown_to_be_needed():
    source = inspect.getsource(repairs)
    public = {
        name
        for name, value in vars(repairs).items()
        if not name.startswith('_')
        and (getattr(value, '__module__', '') == repairs.__name__ or name.isupper())
    } | {'RclError'}
    assert public == SHOWN
    for name in public:
        value = getattr(repairs, name)
        constant = not inspect.isfunction(value)
        told = source.split(f'\n{name} = ')[1].split('"""')[1] if constant else value.__doc__
        named = re.search(r'\w+/\w+#\d+|[Nn]o\s+issue\s[^.]*\bfound', told)
        assert named, f'{name} names no issue'
