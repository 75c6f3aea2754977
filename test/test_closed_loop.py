# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Any simulator is driven through the code that runs live: one of this test, pure kinematics."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from policies import tiny_policy

from ros2_gridsampler.acting.action_chunk import TWIST_NAMES, ActionChunk, ActionSpace
from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.policy.prediction import Prediction
from ros2_gridsampler.simulation.arm_state import ArmState
from ros2_gridsampler.simulation.closed_loop import LoopConfig, drive, measure_success
from ros2_gridsampler.simulation.solved_states import try_states

LIMITS = load_arm(Path(__file__).parents[1] / 'calibration' / 'panda.yaml')
# One finger, and a base frame that is not the Panda's own.
JOINTS = ('slide', 'finger')
SIDE = 64


class Slide:
    """A hand in space that obeys every twist at once; the task is to bring it to a mark."""

    period = 0.05
    instruction = 'go to the mark'

    def __init__(self):
        self.begin('near', 0)

    def begin(self, placements, number):
        self.time, self.opening = 0.0, 0.04
        self.position = np.array([0.45, 0.0, 0.3])
        distance = {'near': 0.03, 'far': 0.06}[placements]
        angle = 2.4 * number
        self.mark = self.position + distance * np.array([np.cos(angle), np.sin(angle), 0.2])
        return f'{placements} {number}'

    def perturb(self, kind, seed):
        return {'none': self.instruction, 'paraphrase': 'reach the mark'}[kind]

    def observe(self, images=True):
        picture = np.full((SIDE, SIDE, 3), 60, np.uint8)
        # The mark as the camera on the hand sees it: a square at its direction.
        row, column = np.clip((self.mark - self.position)[:2] * 300 + SIDE / 2, 3, SIDE - 4)
        picture[int(row) - 3 : int(row) + 3, int(column) - 3 : int(column) + 3] = (250, 40, 40)
        return ArmState(
            images={'front': picture, 'wrist': picture} if images else {},
            joint_names=JOINTS,
            joint_positions=np.array([self.position[0], self.opening]),
            joint_velocities=np.zeros(2),
            pose=np.array([*self.position, 1.0, 0.0, 0.0, 0.0]),
            time=self.time,
            fingers=1,
        )

    def step(self, twist, gripper):
        self.position = self.position + twist[:3] * self.period
        self.opening = gripper
        self.time += self.period

    def success(self):
        return bool(np.linalg.norm(self.mark - self.position) < 0.008)

    def camera_intrinsics(self, camera):
        return np.array([[SIDE, 0, SIDE / 2], [0, SIDE, SIDE / 2], [0, 0, 1.0]])

    def close(self):
        self.position = np.full(3, np.nan)


class Slides:
    """Two equal tasks; knows which arm is open."""

    name, rendering, cameras, joints = 'slides', 'flat', ('front', 'wrist'), JOINTS

    def __init__(self):
        self.states = {'near': 3, 'far': 5}

    def check_tasks(self, tasks):
        if not set(tasks) <= {0, 1}:
            raise ValueError(f'There are the tasks 0 and 1, got {tasks}.')

    def open(self, task, image_size):
        assert image_size == SIDE
        self.arm = Slide()
        return self.arm


class Servo:
    """A policy of hand: looks where the red square is, and goes there at a constant speed."""

    def __init__(self, config, gain=1.0):
        self.config, self.gain, self.told = config, gain, set()

    def predict(self, observation, prefix=None):
        self.told.add(observation.instruction)
        red = observation.images['front'][..., 0].astype(float) > 150
        rows, columns = np.nonzero(red)
        offset = (np.array([rows.mean(), columns.mean()]) + 0.5 - SIDE / 2) / 300
        # The height cannot be seen; it is a fifth of the distance.
        away = np.array([*offset, 0.0])
        start = np.array([0.45, 0.0, 0.3])
        away[2] = 0.2 * np.linalg.norm((observation.pose[:3] + away - start)[:2])
        away[2] -= observation.pose[2] - start[2]
        twist = np.concatenate([self.gain * 1.2 * away, np.zeros(3), [0.04]])
        chunk = ActionChunk(observation.time, self.config.period, np.tile(twist, (8, 1)))
        return Prediction(chunk, {})


@pytest.fixture(scope='module')
def config():
    return dataclasses.replace(
        tiny_policy(steps=8).config,
        resolution=(SIDE, SIDE),
        action_space=ActionSpace('end_effector_twist', TWIST_NAMES, 'panda_link0'),
    )


def measured(config, policy, **options):
    given = {'tasks': [0, 1], 'episodes': 2, 'placements': 'near'} | options
    return measure_success(
        policy, config, LIMITS, Slides(), name='servo', weights_sha256='aa', **given
    )


@pytest.mark.parametrize('placements', ['near', 'far'])
def test_a_policy_that_sees_the_mark_reaches_it_and_one_that_does_not_move_fails(
    config, placements
):
    result = measured(config, Servo(config), placements=placements)
    assert (result.successes, result.episodes) == (4, 4)
    found = json.loads(result.to_json())
    assert (found['suite'], found['rendering'], found['placements']) == (
        'slides',
        'flat',
        placements,
    )
    assert found['per_task'] == {'go to the mark': [2, 2], 'go to the mark (task 1)': [2, 2]}
    still = measured(config, Servo(config, gain=0.0), loop=LoopConfig(maximum_steps=20))
    assert still.successes == 0


class Reckless:
    """Wants to go forward much faster than the arm may."""

    def predict(self, observation, prefix=None):
        twist = np.array([2.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.04])
        return Prediction(ActionChunk(observation.time, 0.05, np.tile(twist, (8, 1))), {})


def test_every_command_has_gone_through_the_safety_filter(config):
    arm, fastest = Slide(), LIMITS.end_effector.max_speed
    arm.begin('far', 0)
    loop = LoopConfig(maximum_steps=12)
    steps = drive(Reckless(), config, LIMITS, arm, loop, 'go')
    places = [step[0].pose[:3] for step in steps if step is not None]
    speeds = np.linalg.norm(np.diff(places, axis=0), axis=1) / arm.period
    assert 0.1 < speeds.max() <= fastest * (1 + 1e-6) < 2.5
    assert places[-1][0] <= LIMITS.end_effector.workspace_max[0] + 1e-6


def test_the_instruction_is_the_one_that_the_perturbation_gives(config):
    policy = Servo(config)
    measured(config, policy, perturbation='paraphrase', tasks=[0], episodes=1)
    assert policy.told == {'reach the mark'}


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'episodes': 4}, "There are 3 evaluation states 'near' per task, .* got 4 episodes"),
        ({'episodes': 2, 'first': 2}, 'per task, 1 of them from number 2 on; got 2 episodes'),
        ({'first': 3}, 'numbered from 0; got 3 as the first one'),
        (
            {'episodes': 4, 'placements': 'off'},
            r"no placements 'off'; choose one of \['near', 'far",
        ),
        ({'tasks': [2]}, 'There are the tasks 0 and 1'),
    ],
)
def test_what_a_simulator_does_not_have_is_refused(config, options, words):
    with pytest.raises(ValueError, match=words):
        measured(config, Servo(config), **options)


def test_the_states_from_the_first_one_on_are_tried(config):
    class Watching(Slide):
        def begin(self, placements, number):
            begun.append((placements, number))
            return super().begin(placements, number)

    class WatchedSlides(Slides):
        def open(self, task, image_size):
            return Watching()

    begun = []
    solved = try_states(
        lambda arm, number: begun[-1] == ('far', number),
        WatchedSlides(),
        tasks=[0],
        episodes=2,
        placements='far',
        first=3,
    )
    assert solved == {'go to the mark': (True, True)}
    assert [number for _, number in begun[-2:]] == [3, 4]


def test_a_policy_of_another_arm_is_refused(config):
    other = dataclasses.replace(config, cameras=('front', 'ceiling'))
    with pytest.raises(ValueError, match=r"sees \['front', 'ceiling'\], the simulated arm takes"):
        measured(other, Servo(other))
