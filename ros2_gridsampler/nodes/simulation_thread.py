# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The newest command -> what the simulated arm shows, episode by episode."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bags.bag_writer import build
from ..simulation import arm_messages
from ..simulation.arm_state import OPEN
from ..simulation.simulator import SimulatedArm, Simulator
from .simulated_clock import SimulatedClock
from .simulation_parameters import NamedEpisode, SimulationParameters

# Later than this the loop gives up catching up, or it would run ahead of everybody [s].
_MOST_LATE = 0.2
# In simulated time: pictures come so long after their capture, as a camera's do; and so long
# before the next step the answer to them has to be there, to be commanded in time [s].
_READOUT, _LAST_COMMAND = 0.02, 0.02
# So long is a node waited for that answered before [s].
_PATIENCE = 2.0
# Stamps are whole nanoseconds [s].
_SAME = 1e-6
# From so many gaps between commands their period is read.
_GAPS = 9


@dataclass
class _Answers:
    """What came of a node.

    Attributes:
        newest: Stamp of the newest [s].
        gaps: What lay between the stamps of the last ones [s]; a skipped one makes a longer gap.
        fresh: Whether one came since the last pictures were captured.
        expected: Whether another one is waited for.
    """

    newest: float = 0.0
    gaps: deque[float] = field(default_factory=lambda: deque(maxlen=_GAPS))
    fresh: bool = False
    expected: bool = False

    @property
    def next_due(self) -> float:
        """When another one is due [s]."""
        return self.newest + min(self.gaps, default=0.0)

    def take(self, stamp: float) -> None:
        """One of that stamp [s] came."""
        gap = stamp - self.newest
        if not 0.0 <= gap < _PATIENCE:
            self.gaps.clear()
        elif gap > _SAME:
            self.gaps.append(gap)
        self.newest = stamp
        self.fresh = self.expected = True


@dataclass
class Episode:
    """One attempt at a task; `result` is empty until it is over."""

    index: int
    task: int
    instruction: str
    placement: str
    result: dict[str, Any] = field(default_factory=dict)


class SimulationThread:
    """Simulates in a thread of its own, because rendering is bound to the thread that began it.

    At every deadline the state is sampled, shown with that moment as capture time, and stepped
    with the newest command. An episode's steps count from its first command on.

    Args:
        parameters: Tasks, placements, times.
        simulator: Whose tasks.
        now: The clock of the stamps [s], where `clock` is not given.
        publish: Called in the thread with a topic and a message made by `build`.
        announce: Called in the thread with the current episode and all that are over.
        clock: Simulated time, which then goes on only when the pictures of a step were answered
            and commands came; stamps and timeouts are by it. None for real time.

    Raises:
        ValueError: One of `more_episodes` cannot be read.
    """

    def __init__(
        self,
        parameters: SimulationParameters,
        simulator: Simulator[SimulatedArm],
        *,
        now: Callable[[], float],
        publish: Callable[[str, Any], None],
        announce: Callable[[Episode | None, list[Episode]], None],
        clock: SimulatedClock | None = None,
    ) -> None:
        self._parameters = parameters
        self._simulator = simulator
        self._named = parameters.named_episodes
        self._now = now if clock is None else clock.now
        self._clock = clock
        self._time = time.monotonic if clock is None else clock.now
        self._waits = {'answer': _Answers(), 'command': _Answers()}
        self._publish = publish
        self._announce = announce
        self._twist: tuple[NDArray[np.float64], float] | None = None
        self._gripper = OPEN
        self._changed = threading.Condition()
        self._skipping = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name='simulation', daemon=True)
        self.episodes: list[Episode] = []
        """The current one is the last."""
        self.done = False
        self.failure: Exception | None = None

    def start(self) -> None:
        """Begins to simulate; the first scene takes some seconds to build."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the simulation; returns when the simulator is closed."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    def move(self, twist: NDArray[np.float64], stamp: float) -> None:
        """Follows a twist [m/s], [rad/s] of that stamp [s] until the next one or the timeout."""
        self._twist = (twist, self._time())
        self._came('command', stamp)

    def answer(self, stamp: float) -> None:
        """A chunk came for the pictures of that stamp [s]."""
        self._came('answer', stamp)

    def grip(self, opening: float) -> None:
        """Brings the gripper to an opening [m]."""
        self._gripper = opening

    def skip(self, timeout: float = 60.0) -> Episode | None:
        """Ends the episode; returns the next one when it has begun, None if there is none."""
        with self._changed:
            before = len(self.episodes)
            self._skipping = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self.episodes) > before or self._over, timeout)
            return self.episodes[-1] if len(self.episodes) > before else None

    @property
    def _over(self) -> bool:
        return self.done or self._stopping or self.failure is not None

    def _run(self) -> None:
        arm: SimulatedArm | None = None
        parameters = self._parameters
        try:
            opened: int | None = None
            tasks = [(task, None) for task in parameters.tasks]
            for task, named in [*tasks, *((each.task, each) for each in self._named)]:
                if arm is None or task != opened:
                    if arm is not None:
                        arm.close()
                    arm, opened = self._simulator.open(task, parameters.image_size), task
                places = self._place(arm) if named is None else self._place_named(arm, named)
                for placement, told in places:
                    self._run_episode(arm, task, placement, told)
                    if self._stopping:
                        return
        except Exception as error:  # the ROS thread has to hear of it, whatever it is
            self.failure = error
        finally:
            with self._changed:
                self.done = True
                self._changed.notify_all()
            if arm is not None:
                arm.close()
        if self.failure is None:
            self._announce(None, self.episodes)

    def _place(self, arm: SimulatedArm) -> Iterator[tuple[str, str]]:
        """Reset the arm for each episode of its task; says how, and what to say to the policy."""
        index = self._parameters.first_episode
        placements = self._parameters.placements
        # Not every seed can be widened; there is a next one, until the states are used up.
        others = 0 if placements == 'official' else self._simulator.states.get(placements, 0)
        for _ in range(self._parameters.episodes_per_task):
            while True:
                index += 1
                try:
                    placement = arm.begin(placements, index - 1)
                    break
                except ValueError:
                    if index >= others:
                        raise
            yield placement, self._prepare(arm, index - 1)

    def _place_named(self, arm: SimulatedArm, named: NamedEpisode) -> Iterator[tuple[str, str]]:
        placement = arm.begin(named.placements, named.number)
        told = self._prepare(arm, named.number)
        yield placement, named.instruction or told

    def _prepare(self, arm: SimulatedArm, number: int) -> str:
        told = arm.perturb(self._parameters.perturbation, number)
        # The first picture of a scene takes seconds, during which no stamp would be true.
        arm.observe()
        return told

    def _run_episode(self, arm: SimulatedArm, task: int, placement: str, told: str) -> None:
        parameters = self._parameters
        with self._changed:
            episode = Episode(len(self.episodes), task, told, placement)
            self.episodes.append(episode)
            self._skipping = False
            self._gripper = OPEN
            self._changed.notify_all()
        self._publish(
            arm_messages.INSTRUCTION, build('std_msgs/msg/String', data=episode.instruction)
        )
        self._announce(episode, self.episodes[:-1])
        deadline = begin = self._time()
        begun = time.monotonic()
        started = False
        steps = held = 0
        while not (self._stopping or self._skipping or (episode.result and parameters.auto_reset)):
            twist = self._due_twist(begin + parameters.pause)
            if self._clock is not None:
                self._waits['answer'].fresh = False
                self._clock.limit(deadline + _READOUT)
            self._show(arm)
            if self._clock is None:
                # Meanwhile, by as much as drawing takes, there are newer ones.
                twist = self._due_twist(begin + parameters.pause)
            if twist is not None and not started:
                started, begun = True, time.monotonic()
            arm.step(np.zeros(6) if twist is None else twist, self._gripper)
            success = arm.success()
            self._publish(arm_messages.SUCCESS, build('std_msgs/msg/Bool', data=success))
            if started and not episode.result:
                steps += 1
                held += twist is None
                if success or steps >= parameters.maximum_steps:
                    pace = steps * arm.period / (time.monotonic() - begun)
                    episode.result = _result(success, steps, held, pace)
            deadline = self._wait(deadline + arm.period)
        if self._clock is not None:
            self._clock.limit()
        if not episode.result:
            episode.result = {**_result(False, steps, held, None), 'interrupted': True}

    def _show(self, arm: SimulatedArm) -> None:
        captured = self._now()
        state = arm.observe()
        compressed = self._parameters.image_transport == 'compressed'
        for topic, message in arm_messages.state_messages(state, captured, compressed=compressed):
            self._publish(topic, message)
        for camera, rgb in state.images.items():
            height, width = rgb.shape[:2]
            info = arm_messages.camera_info(
                camera, arm.camera_intrinsics(camera), width, height, captured
            )
            self._publish(f'/{camera}/camera_info', info)

    def _due_twist(self, not_before: float) -> NDArray[np.float64] | None:
        """The newest twist; None where the arm has to hold."""
        if self._twist is None:
            return None
        twist, came = self._twist
        late = self._time() - came > self._parameters.command_timeout
        return None if late or came < not_before else twist

    def _came(self, what: str, stamp: float) -> None:
        with self._changed:
            self._waits[what].take(stamp)
            self._changed.notify_all()

    def _wait(self, deadline: float) -> float:
        """Sleeps until the deadline; the next one counts from what is returned."""
        if self._clock is not None:
            self._run_to(deadline - _LAST_COMMAND)
            self._wait_for('answer', lambda answers: answers.fresh)
            self._run_to(deadline)
            # The next one is not due yet.
            self._wait_for('command', lambda came: came.next_due > deadline + _SAME)
            return deadline
        late = time.monotonic() - deadline
        if late > _MOST_LATE:
            return deadline + late
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._skipping, max(0.0, -late))
        return deadline

    def _run_to(self, moment: float) -> None:
        if self._clock is not None:
            self._clock.run_to(moment, lambda: self._stopping or self._skipping)

    def _wait_for(self, what: str, enough: Callable[[_Answers], bool]) -> None:
        """Waits until enough came from a node that answered before."""
        wait = self._waits[what]
        with self._changed:
            came = self._changed.wait_for(
                lambda: self._stopping or self._skipping or not wait.expected or enough(wait),
                _PATIENCE,
            )
            wait.expected &= came


def _result(success: bool, steps: int, held: int, pace: float | None) -> dict[str, Any]:
    """`pace` is simulated time over real time; `held` steps had no fresh command."""
    return {
        'success': success,
        'steps': steps,
        'held': held,
        'real_time_factor': None if pace is None else round(pace, 3),
    }
