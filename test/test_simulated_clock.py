# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An arm in simulated time is the same on every machine, and the node keeps to its clock."""

import itertools
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')
pytest.importorskip('rosbags', reason='rosbags is not installed; pip install .[full]')
from command_bench import JOINTS, SO101

from ros2_gridsampler.acting.command_loop import CommandLoop
from ros2_gridsampler.acting.loop_config import LoopConfig
from ros2_gridsampler.acting.loop_events import Measured, Told
from ros2_gridsampler.nodes.command_thread import Clocks, CommandThread
from ros2_gridsampler.nodes.simulated_clock import TICK, SimulatedClock
from ros2_gridsampler.nodes.simulation_parameters import NamedEpisode, SimulationParameters
from ros2_gridsampler.nodes.simulation_thread import SimulationThread
from ros2_gridsampler.seeing.camera_message import stamp_seconds
from ros2_gridsampler.simulation.arm_messages import JOINT_STATES
from ros2_gridsampler.simulation.arm_state import ArmState

PERIOD = 0.05
CONFIG = LoopConfig(check_following=False, stop_time=30.0)
PLACE = np.array([0.3, -0.3, 0.3, 0.3, 0.3, 0.5])


class Slider:
    """A simulator of one task: a hand that slides, drawn in so many seconds."""

    name, rendering, cameras, joints = 'slides', 'none', ('front',), ('x',)
    states = {'official': 5}  # noqa: RUF012 - read only
    period, instruction = PERIOD, 'slide'

    def __init__(self, draws):
        self.draws, self.place, self.places, self.steps = draws, 0.0, [], 0

    def open(self, task, image_size):
        return self

    def begin(self, placements, number):
        return f'state {number} of {placements}'

    def perturb(self, kind, seed):
        return self.instruction

    def observe(self, images=True):
        time.sleep(self.draws)
        pose = np.array([self.place, 0, 0, 0, 0, 0, 1.0])
        picture = np.zeros((4, 4, 3), np.uint8)
        return ArmState({'front': picture}, ('x',), np.array([self.place]), np.zeros(1), pose, 0.0)

    def step(self, twist, gripper):
        self.place += PERIOD * twist[0]
        self.places.append(self.place)

    def success(self):
        return False

    def camera_intrinsics(self, camera):
        return np.eye(3)

    def close(self):
        pass


class Answering:
    """What a node does, without ROS: a chunk for each picture, commands by the clock."""

    def __init__(self, takes, stalls):
        self.takes, self.seen, self.arm, self.clock = takes, [], None, None
        self.stalls = itertools.cycle(stalls)
        self.changed = threading.Condition()

    def publish(self, topic, message):
        if topic == JOINT_STATES:
            with self.changed:
                self.seen.append((stamp_seconds(message.header.stamp), message.position[0]))
                self.changed.notify()

    def answer(self):
        known, wanted, due = 0, 0.0, 0.0
        while True:
            with self.changed:
                if len(self.seen) == known:
                    self.changed.wait(0.001)
                new = self.seen[known:]
            known += len(new)
            if new and new[-1] is None:
                return
            for stamp, place in new:
                time.sleep(self.takes)
                wanted = np.cos(3 * place)
                self.arm.answer(stamp)
            now = self.clock.now()
            if now >= due - 1e-6:
                time.sleep(next(self.stalls))
                self.arm.move(np.array([wanted, 0, 0, 0, 0, 0]), due)
                due += 0.02 * max(int((now - due) / 0.02 + 1e-6), 1)


def simulate(draws, takes, stalls=(0.0,), **options):
    """Places of the hand, and the episodes."""
    simulator, node = Slider(draws), Answering(takes, stalls)
    node.clock = SimulatedClock(lambda now: None)
    parameters = SimulationParameters(
        **{'tasks': (0,), 'maximum_steps': 25, **options}, publish_clock=True, pause=0.1
    )
    node.arm = SimulationThread(
        parameters,
        simulator,
        now=time.time,
        publish=node.publish,
        announce=lambda episode, over: None,
        clock=node.clock,
    )
    node.clock.start()
    answering = threading.Thread(target=node.answer, daemon=True)
    answering.start()
    node.arm.start()
    node.arm._thread.join(60)
    node.seen.append(None)
    answering.join(10)
    node.clock.stop()
    assert node.arm.failure is None
    assert node.arm.done
    return np.array(simulator.places), node.arm.episodes


def test_a_slow_machine_simulates_slowly_and_the_same():
    quick, (episode,) = simulate(draws=0.0, takes=0.0)
    slow, (slow_episode,) = simulate(draws=0.06, takes=0.1)
    result, slow_result = episode.result, slow_episode.result
    moved = [places[np.abs(places) > 0] for places in (quick, slow)]
    count = min(map(len, moved))
    assert count >= 20
    np.testing.assert_allclose(moved[0][:count], moved[1][:count], rtol=1e-9)
    assert slow_result['held'] == result['held'] == 0
    assert slow_result['real_time_factor'] < PERIOD / 0.15


def test_commands_that_come_late_now_and_then_are_waited_for():
    quick, _ = simulate(draws=0.0, takes=0.0)
    stalled, (episode,) = simulate(draws=0.0, takes=0.0, stalls=(0.0, 0.0, 0.05, 0.0, 0.03))
    moved = [places[np.abs(places) > 0] for places in (quick, stalled)]
    count = min(map(len, moved))
    assert count >= 20
    np.testing.assert_allclose(moved[0][:count], moved[1][:count], rtol=1e-9)
    assert episode.result['held'] == 0


def test_named_episodes_follow_in_their_places_and_with_their_words():
    _, episodes = simulate(
        draws=0.0,
        takes=0.0,
        maximum_steps=2,
        more_episodes=('0 anywhere 3', '2 official 4  slide as you  please'),
    )
    seen = [(each.task, each.placement, each.instruction) for each in episodes]
    assert seen == [
        (0, 'state 0 of official', 'slide'),
        (0, 'state 3 of anywhere', 'slide'),
        (2, 'state 4 of official', 'slide as you  please'),
    ]


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', "'TASK PLACEMENTS NUMBER'.*got ''"),
        ('5 anywhere', "got '5 anywhere'"),
        ('five anywhere 0', "got 'five anywhere 0'"),
        ('5 anywhere -1', "got '5 anywhere -1'"),
        ('5 everywhere 0', "official, widened.*got 'everywhere'"),
    ],
)
def test_an_episode_that_cannot_be_read_says_how_one_is_written(text, words):
    with pytest.raises(ValueError, match=words):
        NamedEpisode.read(text)


def test_a_clock_goes_to_its_limit_and_no_farther():
    told = []
    clock = SimulatedClock(told.append)
    clock.limit(1.1)
    clock.start()
    clock.run_to(1.1)
    time.sleep(0.1)
    assert max(told) == pytest.approx(1.1)
    assert len(told) > len({*told}), 'it is told again while it stands'
    clock.run_to(1.3)
    clock.stop()
    assert {round((after - before) / TICK) for before, after in pairwise(told)} <= {0, 1}


def test_an_arm_is_commanded_by_the_clock_that_simulates_it():
    now, sent = [5.0], []

    class Output:
        def publish(self, values, pose, due, reach_time):
            sent.append(due)

        def wait_until_received(self):
            pass

    thread = CommandThread(
        CommandLoop(JOINTS, SO101, CONFIG),
        CONFIG,
        Output(),
        Clocks(lambda: now[0], time.monotonic, simulated=True),
        measured=lambda: Measured(PLACE, now[0]),
        watch=lambda command, view, due: None,
        lead=0.0,
        niceness=0,
    )
    thread.post(Told('go'))
    thread.start()
    for _ in range(100):
        now[0] += 0.01
        time.sleep(0.02)
    wait_until = time.monotonic() + 10
    while sent[-1] < now[0] - 0.021 and time.monotonic() < wait_until:
        time.sleep(0.01)
    assert len(sent) <= 51, 'half of what real time would have given'
    np.testing.assert_allclose(np.mean(np.diff(sent)), CONFIG.period, rtol=0.5)
    # It stands still for good: the arm is stopped by real time.
    count = len(sent)
    assert thread.stop(30.0)
    assert thread.failure is None
    assert len(sent) > count
