# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Name of a fault -> how the bench makes it, and what a safe node does."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .campaign_config import Tested
from .fault_bench import FaultBench, Spoil

Expected = Literal['hold', 'go on', 'either', 'silence']
Act = Callable[[FaultBench], None]


@dataclass(frozen=True)
class FaultCase:
    """A fault and what a safe node does of it.

    Attributes:
        begin: Makes it; it ends with a new `Spoil`, an empty model fault and `end`.
        expected: 'hold': commands that bring the arm to rest and keep it there. 'go on': the
            arm keeps moving. 'either': both are right. 'silence': the process is gone.
        end: What else ends it.
        ends_process: 'SIGKILL', 'SIGTERM' or 'SIGINT', which the campaign sends.
        deactivates: Whether the node may need to be activated again by a person.
        nodes: That can be made to have it; the faults inside of a node need a hook there.
        kinds: Kinds of commands for which it is a fault.
        lasts: The shortest time that it lasts [s].
        asks: Whether a person has to look at the arm and call `~/resume` afterwards.
    """

    begin: Act
    expected: Expected
    end: Act = lambda bench: None
    ends_process: str = ''
    deactivates: bool = False
    nodes: tuple[Tested, ...] = ('policy', 'remote', 'naive', 'running')
    kinds: tuple[str, ...] = ('joints', 'twist')
    lasts: float = 0.0
    asks: bool = False


def _spoil(**changes: Any) -> Act:
    def begin(bench: FaultBench) -> None:
        for name, value in changes.items():
            known = getattr(bench.spoil, name)
            if isinstance(known, (set, dict)):
                # Two faults may concern two cameras.
                known.update(value)
            else:
                setattr(bench.spoil, name, value)

    return begin


def _skew(bench: FaultBench) -> None:
    bench.begin_skew()
    bench.spoil.skew_rate = 0.3


def _model(fault: str) -> Act:
    return lambda bench: bench.spoil_model(fault)


def _flood(bench: FaultBench) -> None:
    def burst() -> None:
        for number in range(20):
            bench.publish_joints(bench.captured - 1e-5 * (20 - number))

    bench.spoil.every_step.append(burst)


def _for(seconds: float, **changes: Any) -> Act:
    """Streams that are spoiled for a while only, and are as they were afterwards."""

    def begin(bench: FaultBench) -> None:
        until = time.monotonic() + seconds
        _spoil(**changes)(bench)

        def end() -> None:
            if time.monotonic() > until:
                for name in changes:
                    setattr(bench.spoil, name, getattr(Spoil(), name))

        bench.spoil.every_step.append(end)

    return begin


def _two_drivers(bench: FaultBench) -> None:
    def other() -> None:
        bench.spoil.zero_joints = True
        bench.publish_joints(bench.captured - 1e-5)
        bench.spoil.zero_joints = False

    bench.spoil.every_step.append(other)


def _off(
    seconds: float,
    *,
    push: Sequence[float] = (),
    hand: Sequence[float] = (),
    over: float = 0.0,
    silent: bool = False,
) -> Act:
    """Returns an act: no controller executes commands for a while; another may move the arm.

    Args:
        seconds: How long.
        push: How far the joints are moved in all [rad].
        hand: How far the hand is, for commands of the hand [m].
        over: Time that the motion takes [s]; 0 moves them at once.
        silent: Whether no measurement of the arm comes either.
    """

    def begin(bench: FaultBench) -> None:
        begun = before = time.monotonic()
        way = np.array(push if bench.by_joints else hand)
        bench.execute(False)
        if silent:
            bench.spoil.silent.add('joints')
        if way.size and not over:
            bench.push(way)

        def step() -> None:
            nonlocal before
            now = time.monotonic()
            if way.size and over and before - begun < over:
                bench.push(way * (min(now - begun, over) - (before - begun)) / over)
            before = now
            if not bench.executes and now - begun >= seconds:
                bench.spoil.silent.discard('joints')
                bench.execute()

        bench.spoil.every_step.append(step)

    return begin


def _protective_stop(bench: FaultBench) -> None:
    """The robot stands though its controller goes on; let go, the driver begins where it is."""
    begun, stopped = time.monotonic(), True
    bench.be_slow(float('inf'))

    def step() -> None:
        nonlocal stopped
        if stopped and time.monotonic() - begun >= 2.0:
            stopped = False
            bench.be_slow(1.0)
            bench.execute()

    bench.spoil.every_step.append(step)


def _slow(bench: FaultBench) -> None:
    bench.be_slow(15.0)


def _as_before(bench: FaultBench) -> None:
    bench.be_slow(1.0)
    if not bench.executes:
        bench.execute()


def _controller(begin: Act, **fields: Any) -> FaultCase:
    """A controller that was off, or an arm that was elsewhere: for all kinds of commands."""
    kinds = fields.pop('kinds', ('joints', 'twist', 'positions', 'pose'))
    return FaultCase(begin, 'either', _as_before, kinds=kinds, **fields)


def _gone(seconds: float) -> Act:
    """The policy server is gone for a while, connections and all."""

    def begin(bench: FaultBench) -> None:
        begun, server = time.monotonic(), bench.server
        if server is None:
            raise ValueError('Nobody serves the policy of this node.')
        server.run(False)

        def back() -> None:
            if time.monotonic() - begun >= seconds:
                server.run()

        bench.spoil.every_step.append(back)

    return begin


def _served(begin: Act, expected: Expected = 'hold') -> FaultCase:
    return FaultCase(begin, expected, nodes=('remote',))


def _garbage(bench: FaultBench) -> None:
    bench.spoil.every_step.append(bench.publish_garbage)


def _rival(bench: FaultBench) -> None:
    bench.spoil.every_step.append(bench.make_rival())


def _no_rival(bench: FaultBench) -> None:
    bench.destroy_publisher(bench.rival)


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """While it lasts, so many processes compute without end."""
    endless = [sys.executable, '-c', 'while True: pass']
    hogs = [subprocess.Popen(endless) for _ in range(count)]  # noqa: S603 - our own loop
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


_hogs = contextlib.ExitStack()


def _hog(bench: FaultBench) -> None:
    _hogs.enter_context(busy(2))


def _no_hog(bench: FaultBench) -> None:
    _hogs.close()


def _sentence(text: str) -> Act:
    return lambda bench: bench.say(text)


def _nothing(bench: FaultBench) -> None:
    pass


# The elbow by 1 rad, as in a jog; and an arm that is found elsewhere [rad].
_ELBOW = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
_ELSEWHERE = (0.5, 0.2, -0.4, -0.3, 0.5, 0.3, -0.5)
_EXERCISED: tuple[Tested, ...] = ('policy', 'naive')
START_SENTENCE = 'Swing the arm.'
_GO_ON = _sentence(START_SENTENCE)

FAULTS: Mapping[str, FaultCase] = {
    'camera stall': FaultCase(_spoil(silent={'wrist'}), 'hold'),
    'camera 5 s late': FaultCase(_spoil(delay={'front': 5.0, 'wrist': 5.0}), 'hold'),
    'skew grows': FaultCase(_skew, 'hold'),
    'frozen frame': FaultCase(_spoil(frozen={'wrist'}), 'hold'),
    'black frame': FaultCase(_spoil(black={'wrist'}), 'hold'),
    'wrong size': FaultCase(_spoil(small={'front'}), 'hold'),
    'JPEG cut': FaultCase(_spoil(cut=True), 'hold'),
    'NaN joints': FaultCase(_spoil(nan_joints=True), 'hold'),
    'joints say 0': FaultCase(_spoil(zero_joints=True), 'hold'),
    'joints say 0 for 0.2 s': FaultCase(_for(0.2, zero_joints=True), 'either'),
    'joints say 0 for 1 s': FaultCase(_for(1.0, zero_joints=True), 'either'),
    'joints say 0 for 2 s': FaultCase(_for(2.0, zero_joints=True), 'either'),
    'a second driver says 0': FaultCase(_two_drivers, 'either'),
    'pose jumps by 0.3 m for 1 s': FaultCase(_for(1.0, pose_jump=0.3), 'either'),
    'reordered joints': FaultCase(_spoil(reversed_joints=True), 'go on'),
    'missing joint': FaultCase(_spoil(missing_joint=True), 'hold'),
    'joint states stop': FaultCase(_spoil(silent={'joints'}), 'hold'),
    'clock 10 s ahead': FaultCase(_spoil(clock_offset=10.0), 'hold'),
    'clock 10 s back': FaultCase(_spoil(clock_offset=-10.0), 'hold'),
    'inference 10x slower': FaultCase(_model('slow 0.2'), 'either', nodes=_EXERCISED),
    'inference takes 3 s': FaultCase(_model('slow 3.0'), 'hold', nodes=_EXERCISED),
    'inference exception': FaultCase(_model('fail'), 'hold', deactivates=True, nodes=_EXERCISED),
    'NaN output': FaultCase(_model('nan'), 'hold', nodes=_EXERCISED),
    'server stalls 0.2 s': _served(_model('stall 0.2'), 'go on'),
    'server stalls 1 s': _served(_model('stall 1'), 'either'),
    'server stalls 5 s': _served(_model('stall 5')),
    'server gone for 1 s': _served(_gone(1.0), 'either'),
    'server gone': _served(_model('gone')),
    'server says NaN': _served(_model('NaN')),
    'server says another shape': _served(_model('shape')),
    'server says garbage': _served(_model('garbage')),
    'server says an error': _served(_model('error')),
    'command thread hangs': FaultCase(_model('hang'), 'hold', nodes=('policy',)),
    'CPU hog': FaultCase(_hog, 'either', _no_hog),
    'message flood': FaultCase(_flood, 'either'),
    'truncated CDR': FaultCase(_garbage, 'go on'),
    'second publisher': FaultCase(_rival, 'hold', _no_rival),
    'instruction change': FaultCase(_sentence('Swing it the other way.'), 'go on', _GO_ON),
    'instruction withdrawn': FaultCase(_sentence(''), 'hold', _GO_ON),
    'controller off for 0.5 s': _controller(_off(0.5)),
    'controller off for 2 s': _controller(_off(2.0)),
    'controller off for 8 s': _controller(_off(8.0), lasts=10.0),
    'another controller jogs': _controller(
        _off(3.0, push=_ELBOW, hand=(0.1, 0.0, 0.0), over=3.0), lasts=6.0
    ),
    'controller killed, back elsewhere': _controller(
        _off(3.0, push=_ELSEWHERE, hand=(0.0, 0.2, 0.0), silent=True), lasts=6.0, asks=True
    ),
    'guided by hand': _controller(
        _off(3.0, push=_ELSEWHERE, hand=(0.0, 0.2, 0.1), over=2.5), lasts=6.0
    ),
    'slow arm': _controller(_slow, kinds=('joints', 'positions', 'pose')),
    'protective stop': _controller(_protective_stop, kinds=('joints', 'positions', 'pose')),
    'SIGKILL': FaultCase(_nothing, 'silence', ends_process='SIGKILL'),
    'SIGTERM': FaultCase(_nothing, 'hold', ends_process='SIGTERM'),
    'SIGINT': FaultCase(_nothing, 'hold', ends_process='SIGINT'),
}


def end_fault(bench: FaultBench, case: FaultCase) -> None:
    """Ends a fault and everything that it changed."""
    bench.spoil = Spoil()
    bench.spoil_model('')
    case.end(bench)


def faults_of(node: Tested) -> tuple[str, ...]:
    """The names of all faults that such a node can be made to have."""
    return tuple(name for name, case in FAULTS.items() if node in case.nodes)
