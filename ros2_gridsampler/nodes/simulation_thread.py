# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The newest command -> what the simulated arm shows, episode by episode, in real time."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bags.bag_writer import build
from ..simulation import arm_messages
from ..simulation.arm_state import OPEN
from ..simulation.simulator import SimulatedArm, Simulator
from .simulation_parameters import SimulationParameters

# Later than this the loop gives up catching up, or it would run ahead of everybody [s].
_MOST_LATE = 0.2


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
        now: The clock of the stamps [s].
        publish: Called in the thread with a topic and a message made by `build`.
        announce: Called in the thread with the current episode and all that are over.
    """

    def __init__(
        self,
        parameters: SimulationParameters,
        simulator: Simulator[SimulatedArm],
        *,
        now: Callable[[], float],
        publish: Callable[[str, Any], None],
        announce: Callable[[Episode | None, list[Episode]], None],
    ) -> None:
        self._parameters = parameters
        self._simulator = simulator
        self._now = now
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

    def move(self, twist: NDArray[np.float64]) -> None:
        """Follows a twist [m/s], [rad/s] until the next one comes or the time is out."""
        self._twist = (twist, time.monotonic())

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
            for task in parameters.tasks:
                if arm is not None:
                    arm.close()
                arm = self._simulator.open(task, parameters.image_size)
                for placement in self._place(arm):
                    self._run_episode(arm, task, placement)
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

    def _place(self, arm: SimulatedArm) -> Iterator[str]:
        """Reset the arm for each episode of its task; says how."""
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
            # The first picture of a scene takes seconds, during which no stamp would be true.
            arm.observe()
            yield placement

    def _run_episode(self, arm: SimulatedArm, task: int, placement: str) -> None:
        parameters = self._parameters
        with self._changed:
            episode = Episode(len(self.episodes), task, arm.instruction, placement)
            self.episodes.append(episode)
            self._skipping = False
            self._gripper = OPEN
            self._changed.notify_all()
        self._publish(
            arm_messages.INSTRUCTION, build('std_msgs/msg/String', data=episode.instruction)
        )
        self._announce(episode, self.episodes[:-1])
        deadline = begin = time.monotonic()
        started: float | None = None
        steps = held = 0
        while not (self._stopping or self._skipping or (episode.result and parameters.auto_reset)):
            self._show(arm)
            twist = self._due_twist(begin + parameters.pause)
            if twist is not None and started is None:
                started = time.monotonic()
            arm.step(np.zeros(6) if twist is None else twist, self._gripper)
            success = arm.success()
            self._publish(arm_messages.SUCCESS, build('std_msgs/msg/Bool', data=success))
            if started is not None and not episode.result:
                steps += 1
                held += twist is None
                if success or steps >= parameters.maximum_steps:
                    pace = steps * arm.period / (time.monotonic() - started)
                    episode.result = _result(success, steps, held, pace)
            deadline = self._wait(deadline + arm.period)
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
        late = time.monotonic() - came > self._parameters.command_timeout
        return None if late or came < not_before else twist

    def _wait(self, deadline: float) -> float:
        """Sleep until the deadline; the next one counts from what is returned."""
        late = time.monotonic() - deadline
        if late > _MOST_LATE:
            return deadline + late
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._skipping, max(0.0, -late))
        return deadline


def _result(success: bool, steps: int, held: int, pace: float | None) -> dict[str, Any]:
    """`pace` is simulated time over real time; `held` steps had no fresh command."""
    return {
        'success': success,
        'steps': steps,
        'held': held,
        'real_time_factor': None if pace is None else round(pace, 3),
    }
