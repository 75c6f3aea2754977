# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks become commands only while chunks and the arm's state are fresh; else the arm holds."""

from pathlib import Path

import numpy as np
import pytest

from ros2_gridsampler.acting.action_chunk import TWIST_NAMES, ActionChunk, ActionSpace
from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.acting.chunk_schedule import ScheduleConfig
from ros2_gridsampler.acting.controller import Controller, ImplausibleChunk
from ros2_gridsampler.acting.grip_watch import GripWatch
from ros2_gridsampler.seeing.stream_health import Fault

CALIBRATION = Path(__file__).parents[1] / 'calibration'
PANDA = load_arm(CALIBRATION / 'panda.yaml')
TWIST = ActionSpace('end_effector_twist', TWIST_NAMES, 'panda_link0')
JOINTS = ActionSpace('joint_position', tuple(f'panda_joint{i}' for i in range(1, 8)))
REST = np.array([0.0, 0.0, 0.0, -1.5, 0.0, 1.5, 0.0])
HAND = np.array([0.5, 0.0, 0.3, 0.04])
PERIOD = 0.02


def make(space=TWIST, max_state_age=0.2):
    return Controller(space, PANDA, ScheduleConfig(), max_state_age)


def upwards(start, gripper=0.04, steps=10):
    """A chunk that goes up at 0.1 m/s."""
    targets = np.tile([0, 0, 0.1, 0, 0, 0, gripper], (steps, 1))
    return ActionChunk(start, 0.05, targets.astype(float))


def run(controller, begin, duration, state=HAND):
    """Commands over some time, the state measured with each."""
    commands = []
    for now in np.arange(begin, begin + duration, PERIOD):
        controller.measure(state, now, now)
        commands.append(controller.command(now, PERIOD))
    return commands


def test_nothing_is_commanded_before_the_arm_was_measured():
    controller = make()
    controller.add(upwards(1.0), 1.0)
    with pytest.raises(ValueError, match='not measured yet'):
        controller.command(1.0, PERIOD)


def test_a_chunk_is_followed_and_its_end_holds_the_arm():
    controller = make()
    controller.add(upwards(1.0), 1.0)
    commands = run(controller, 1.0, 1.2)
    assert max(command.values[2] for command in commands) == pytest.approx(0.1)
    assert not commands[5].holding
    assert 'The last chunk is over' in commands[-1].holding
    assert commands[-1].at_rest
    assert not commands[-1].values[:6].any()


def test_the_arm_is_stopped_when_nobody_says_where_it_is():
    controller = make(max_state_age=0.1)
    controller.add(upwards(1.0, steps=100), 1.0)
    run(controller, 1.0, 0.5)
    commands = [controller.command(now, PERIOD) for now in np.arange(1.5, 2.5, PERIOD)]
    assert not commands[0].holding
    assert 'measured state of the arm is' in commands[-1].holding
    assert commands[-1].at_rest


def test_chunks_for_another_instruction_move_nothing():
    controller = make()
    controller.add(upwards(1.0), 1.0)
    run(controller, 1.0, 0.1)
    controller.forget()
    assert all(command.holding for command in run(controller, 1.1, 0.1))


def test_joints_hold_where_they_were_measured_until_a_chunk_comes():
    controller = make(JOINTS)
    commands = run(controller, 1.0, 0.2, REST)
    for command in commands:
        assert command.holding
        assert command.values == pytest.approx(REST)


def test_commands_do_not_start_from_where_the_arm_was_long_ago():
    controller = make(JOINTS, max_state_age=0.2)
    controller.measure(REST, 1.0, 9.0)
    assert not controller.started
    controller.measure(REST + 0.3, 9.0, 9.0)
    assert controller.command(9.0, PERIOD).values == pytest.approx(REST + 0.3)


def test_after_a_restart_joints_start_from_where_they_are_then():
    controller = make(JOINTS)
    run(controller, 1.0, 0.2, REST)
    controller.restart()
    assert not controller.started
    elsewhere = REST + 0.3
    assert run(controller, 5.0, 0.1, elsewhere)[0].values == pytest.approx(elsewhere)


def test_a_gripper_that_holds_something_goes_on_squeezing_after_a_restart():
    controller = make()
    controller.add(upwards(1.0, gripper=0.0), 1.0)
    assert run(controller, 1.0, 0.9)[-1].values[6] == pytest.approx(0.0)
    controller.restart()
    # The fingers stand at 0.04 m, because something is between them.
    assert run(controller, 2.0, 0.1)[0].values[6] == pytest.approx(0.0)


def test_a_gripper_that_was_opened_meanwhile_begins_where_it_is():
    controller = make()
    controller.add(upwards(1.0, gripper=0.0), 1.0)
    run(controller, 1.0, 0.9)
    controller.restart()
    opened = np.array([*HAND[:3], 0.075])
    assert run(controller, 2.0, 0.1, opened)[0].values[6] == pytest.approx(0.075)


def test_a_jaw_that_was_still_closing_when_it_stopped_is_seen_to_be_opened_all_the_same():
    controller = make()
    controller.add(upwards(1.0, gripper=0.0), 1.0)
    run(controller, 1.0, 0.9, np.array([*HAND[:3], 0.06]))
    for now in np.arange(1.9, 2.5, PERIOD):
        controller.measure(np.array([*HAND[:3], 0.01]), now, now)
        controller.hold('', PERIOD)
    assert not controller.opened
    controller.measure(np.array([*HAND[:3], 0.03]), 2.5, 2.5)
    assert controller.opened


def test_an_arm_without_limits_for_the_actions_is_refused():
    with pytest.raises(ValueError, match='has no limits for both'):
        Controller(TWIST, load_arm(CALIBRATION / 'ur5e.yaml'), ScheduleConfig(), 0.2)
    with pytest.raises(ValueError, match='panda_joint9'):
        make(ActionSpace('joint_position', ('panda_joint9',)))
    with pytest.raises(ValueError, match="'world'"):
        make(ActionSpace('end_effector_twist', TWIST_NAMES, 'world'))


def resting(state=REST):
    """A controller of joints that has moved and then held."""
    controller = make(JOINTS)
    run(controller, 1.0, 0.2, state)
    return controller


def test_an_arm_that_was_moved_by_hand_goes_on_from_where_it_is():
    controller = resting()
    elsewhere = REST + 0.3
    controller.measure(elsewhere, 2.0, 2.0)
    assert controller.start_from_measured(0.05)
    assert controller.command(2.0, PERIOD).values == pytest.approx(elsewhere)


def test_an_arm_that_hangs_a_little_does_not_sink_with_every_hold():
    controller = resting()
    controller.measure(REST - 0.01, 2.0, 2.0)
    assert not controller.start_from_measured(0.05)
    assert controller.command(2.0, PERIOD).values == pytest.approx(REST)


def test_a_moving_arm_is_not_restarted():
    controller = make(JOINTS)
    run(controller, 1.0, 0.04, REST)
    targets = REST + np.linspace(0, 0.5, 20)[:, None]
    controller.add(ActionChunk(1.0, 0.05, targets), 1.0)
    run(controller, 1.04, 0.2, REST)
    with pytest.raises(ValueError, match='still moves'):
        controller.start_from_measured(0.05)


@pytest.mark.parametrize(
    ('space', 'target'),
    [
        (JOINTS, REST + 20.0),
        (TWIST, np.array([9.0, 0, 0, 0, 0, 0, 0.04])),
        (TWIST, np.array([0, 0, 0, 0, 30.0, 0, 0.04])),
        (TWIST, np.array([0, 0, 0, 0, 0, 0, 4.0])),
    ],
)
def test_a_prediction_far_beyond_the_limits_is_refused(space, target):
    controller = make(space)
    with pytest.raises(ImplausibleChunk, match='check units'):
        controller.add(ActionChunk(1.0, 0.05, np.tile(target, (5, 1))), 1.0)


@pytest.mark.parametrize('gap', [0, 5], ids=['in time', 'with a gap of 100 ms'])
@pytest.mark.parametrize(('delay', 'age'), [(0.0, 0.16), (0.24, 0.0), (0.1, 0.1)])
def test_a_hand_that_is_measured_late_stays_above_the_floor(delay, age, gap):
    controller = Controller(TWIST, PANDA, ScheduleConfig(actuation_delay=delay), 0.2)
    down = np.tile([0, 0, -1.0, 0, 0, 0, 0.04], (100, 1))
    controller.add(ActionChunk(1.0, 0.05, down), 1.0)
    heights, sent = [0.5] * 20, [0.0] * 20
    for step, now in enumerate(np.arange(1.0, 4.0, PERIOD)):
        if 9 <= step < 9 + gap:
            # Nothing is sent: the arm's controller goes on with what it was told last.
            sent.append(sent[-1])
        else:
            seen = heights[-1 - round(age / PERIOD)]
            controller.measure(np.array([0.5, 0.0, seen, 0.04]), now - age, now)
            sent.append(controller.command(now, PERIOD).values[2])
        heights.append(heights[-1] + PERIOD * sent[-1 - round(delay / PERIOD)])
    floor = PANDA.end_effector.workspace_min[2]
    assert min(heights) > floor - 1e-6
    assert heights[-1] < floor + 0.02


def test_the_fault_of_a_hold_is_named():
    controller = make()
    assert run(controller, 1.0, 0.04)[-1].fault is None, 'it waits for a first chunk'
    controller.add(upwards(1.0), 1.0)
    assert run(controller, 1.0, 1.2)[-1].fault is Fault.CHUNK_OVER
    assert controller.command(9.0, PERIOD).fault is Fault.STATE_OLD


def test_a_jaw_that_was_told_nothing_was_not_opened_and_begins_where_it_is():
    watch = GripWatch(np.array([1]), np.array([1]), np.array([0.1]))
    state = np.array([0.5, 0.07])
    assert not watch.opened(state).any()
    assert watch.start(state) is state


def test_of_an_arm_that_was_not_measured_nothing_is_known_and_nothing_begins():
    controller = make(JOINTS)
    assert controller.reach_time(REST, 1.0, PERIOD, follows=True) == 0.0
    assert controller.return_time() == 0.0
    assert not controller.gaps.any()
    assert controller.commanded is None
    with pytest.raises(ValueError, match='not measured yet'):
        controller.start_from_measured(0.05)


def test_a_hand_measured_at_what_is_no_number_is_stopped():
    controller = make()
    controller.add(upwards(1.0, steps=100), 1.0)
    assert not run(controller, 1.0, 0.4)[-1].holding
    lost = run(controller, 1.4, 1.0, np.array([0.5, np.nan, 0.3, 0.04]))
    assert lost[0].fault is Fault.STATE_OLD
    assert 'must be finite' in lost[0].holding
    assert lost[-1].at_rest
    assert np.isfinite([each.values for each in lost]).all()
