# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An arm that holds something, is blocked, or is moved by hand: what it is commanded then."""

import logging

import numpy as np
import pytest
from command_bench import CALIBRATION, PERIOD, SO101, UPRIGHT, Bench, keep_up, panda, so101
from scipy.spatial.transform import Rotation

from ros2_gridsampler.acting.action_chunk import ActionChunk, ActionSpace
from ros2_gridsampler.acting.arm_limits import load_arm
from ros2_gridsampler.acting.chunk_schedule import ScheduleConfig
from ros2_gridsampler.acting.controller import Controller
from ros2_gridsampler.acting.loop_config import LoopConfig
from ros2_gridsampler.acting.loop_events import Instant, Measured, Predicted
from ros2_gridsampler.acting.safety_filter import SafeCommand
from ros2_gridsampler.acting.tracking import TrackingWatch
from ros2_gridsampler.bags.bag_reader import read_messages
from ros2_gridsampler.seeing.camera_message import stamp_seconds
from ros2_gridsampler.seeing.stream_health import LadderConfig, Rung

LAG = LoopConfig().max_lag + PERIOD


def lead(arm):
    """So far from an arm that stands may its joints be commanded: what is commanded until that is
    seen, at full speed, and the stop."""
    joints = arm.joints
    stop = (
        joints.max_velocity / joints.max_acceleration + joints.max_acceleration / joints.max_jerk
    )
    seen = 2 * LoopConfig().max_tracking_error + joints.max_velocity * (LAG + PERIOD)
    return seen + joints.max_velocity * stop / 2


@pytest.mark.parametrize('restarts', [False, True])
def test_a_hand_that_holds_something_does_not_let_go_after_a_hold(restarts):
    bench = so101()
    bench.wanted[5] = -0.125

    def squeeze():
        bench.follow()
        bench.values[5] = max(bench.values[5], 0.225)

    assert bench.run(2.0, squeeze)[-1][5] == pytest.approx(-0.125)
    bench.pause()
    bench.run(2.0, squeeze)
    bench.resume()
    if restarts:
        bench.pause()
        bench.run(0.5)
        bench.restart()
        bench.obey('go')
    after = bench.run(2.0, squeeze)
    assert len(after) > 50
    assert after[:, 5] == pytest.approx(-0.125)


@pytest.mark.parametrize('restarts', [False, True])
def test_a_jaw_that_was_opened_meanwhile_is_not_shut_at_once(restarts):
    bench = so101()
    bench.wanted[5] = -0.125

    def squeeze():
        bench.follow()
        bench.values[5] = max(bench.values[5], 0.225)

    def opened():
        bench.follow()
        bench.values[5] = 1.6

    bench.run(2.0, squeeze)
    bench.pause()
    bench.run(2.0, squeeze)
    if restarts:
        bench.pause()
        bench.run(0.5)
        bench.values[5] = 1.6
        bench.now += 60
        bench.steady += 60
        bench.restart()
        bench.obey('go')
    else:
        # While it is held open it is not pulled at.
        bench.run(0.1, opened)
        assert not len(bench.run(2.0, opened))
        bench.resume()
    first = np.empty((0, 6))
    while not len(first):
        first = bench.run(PERIOD)
    jaw = np.concatenate([first, bench.run(2.0, bench.follow)])[:, 5]
    assert jaw[0] == pytest.approx(1.6, abs=0.01)
    fastest = SO101.joints.max_velocity[5] * PERIOD
    assert np.abs(np.diff(jaw)).max() < fastest * (1 + 1e-9)
    assert jaw[-1] == pytest.approx(-0.125)


def test_a_joint_that_is_blocked_stops_the_others_and_goes_on_when_it_is_free():
    bench = so101()
    bench.run(0.5, bench.follow)
    bench.wanted[0] = 1.5

    def blocked():
        bench.follow()
        bench.values[0] = 0.0

    sent = bench.run(4.0, blocked)
    assert 'behind its command' in bench.holding
    assert sent[:, 0].max() < lead(SO101)[0]
    # It began anew where it stands, and leans on what is in its way only as far as tells.
    before = sent[-1]
    assert 0.05 < before[0] < 0.05 * 1.1 + 1e-6
    np.testing.assert_allclose(bench.run(1.0, blocked), [before] * 50)
    bench.run(2.0, bench.follow)
    assert not bench.holding
    assert bench.sent[-1][0] == pytest.approx(1.5)


def test_a_recorded_arm_that_obeys_nobody_is_commanded_on_inside_the_limits():
    bench = so101(check_following=False)
    bench.run(0.5, bench.follow)
    bench.wanted[0] = 1.5

    def elsewhere():
        bench.values = np.array([-0.4 + 0.01 * np.sin(bench.now), 0.3, 0, 0, 0, 1.2])

    sent = bench.run(4.0, elsewhere)
    assert not bench.holding
    assert sent[-1][0] == pytest.approx(1.5)
    bench.pause()
    sent = np.concatenate([sent, bench.run(2.0, elsewhere)])
    bench.resume()
    bench.wanted[0] = 1.0
    sent = np.concatenate([sent, bench.run(2.0, elsewhere)])
    assert sent[-1][0] == pytest.approx(1.0)
    speeds = np.abs(np.diff(sent, axis=0)) / PERIOD
    assert (speeds <= SO101.joints.max_velocity * (1 + 1e-6)).all()


def test_an_arm_that_is_still_being_moved_by_hand_is_waited_for():
    bench = so101()
    bench.run(0.5, bench.follow)
    bench.pause()
    bench.run(1.0, bench.follow)
    bench.values[0] = 0.6
    bench.run(0.2)
    bench.resume()

    def by_hand():
        bench.values[0] += 0.004

    assert not len(bench.run(1.0, by_hand)), 'it would be pulled out of the hand'
    assert 'waiting until it stands' in bench.holding
    stopped = bench.values[0]
    sent = bench.run(0.2 + LoopConfig().rest_time)
    assert sent[0][0] == pytest.approx(stopped, abs=0.01)
    sent = bench.run(2.0, bench.follow)
    assert sent[-1][0] == pytest.approx(0.0, abs=1e-3)
    assert not bench.holding


UR5E = load_arm(CALIBRATION / 'ur5e.yaml')


def test_an_arm_that_was_stopped_by_its_own_controller_does_not_jump_when_it_is_let_go():
    bench = Bench(ActionSpace('joint_position', UR5E.joints.names), UR5E, [0, 0, 0, 0, 0, 0.1])
    bench.wanted[5] = 0.1
    bench.run(0.5, bench.follow)
    bench.wanted[:2] = 1.5, -0.3
    sent = bench.run(20.0)
    assert (np.abs(sent) < lead(UR5E)).all(), 'it was wound up'
    # Once it was seen to stand, it is hardly led at all.
    (begun,) = 1 + np.flatnonzero((sent[1:, :5] == 0.0).all(1) & (sent[:-1, :5] != 0.0).any(1))
    assert begun * PERIOD < 2.0 + LoopConfig().rest_time
    assert np.abs(sent[begun:, :5]).max() < 1.1 * LoopConfig().max_tracking_error + 1e-6
    assert 'behind its command' in bench.holding
    sent = bench.run(4.0, bench.follow)
    assert not bench.holding
    assert sent[-1][:2] == pytest.approx([1.5, -0.3])


@pytest.mark.parametrize('reason', ['stopped', 'without instruction'])
def test_an_arm_that_was_moved_while_it_holds_is_held_where_it_was_left(reason):
    bench = so101()
    if reason == 'stopped':
        bench.run(0.5, bench.follow)
        bench.pause()
    else:
        bench.obey('')
    bench.run(1.0, bench.follow)
    before = bench.sent[-1][0]
    for place in (1.2, 0.9, 0.2):
        sent = bench.run(3.0, to(bench, place))
        assert bench.holding
        assert set(sent[:, 0]) <= {before, place}, 'nothing between the two is commanded'
        if reason == 'stopped':
            assert place not in sent[:, 0], 'while it is stopped, nothing is begun'
        else:
            assert sent[-1][0] == place
            before = place
    bench.resume()
    bench.obey('go')
    assert bench.run(2.0)[0][0] == pytest.approx(0.2, abs=0.01)


def test_an_arm_that_hangs_lower_than_the_bound_does_not_sink_and_sink():
    bench = so101()
    hangs = LoopConfig().max_tracking_error + 0.01

    def hang():
        bench.follow()
        bench.values[1] -= hangs

    bench.run(1.0, hang)
    bench.pause()
    sent = bench.run(20.0, hang)
    assert sent[:, 1].min() > sent[0, 1] - 1.01 * hangs


def test_only_the_joint_that_was_moved_begins_anew():
    bench = so101()
    hanging = [0, 0.03, 0, 0, 0, 0.5]

    def sag():
        bench.follow()
        bench.values[1] += 0.03

    bench.values = np.array(hanging)
    bench.run(1.0, sag)
    bench.pause()
    bench.run(1.0)
    bench.values[0] = 0.6
    bench.run(1.0)
    bench.resume()
    bench.wanted = np.array(bench.sent[-1])
    bench.wanted[0] = 0.6
    sent = bench.run(1.0)
    assert sent[-1][0] == pytest.approx(0.6, abs=1e-3)
    assert np.ptp(sent[:, 1]) < 1e-9, 'it would sink by what it hangs'


@pytest.mark.parametrize('age', [10.0, -10.0, 100.0])
def test_an_arm_whose_stamps_are_of_another_time_is_not_one_that_nobody_measures(age):
    bench = so101()
    bench.age = age
    assert not len(bench.run(0.1))
    assert f'is {age:.3f} s old' in bench.holding
    assert 'use_sim_time' in bench.holding
    assert 'waiting for' not in bench.holding
    bench.age = 0.0
    assert len(bench.run(0.1))


def test_noise_of_an_encoder_is_no_motion():
    bench = so101(max_tracking_error=0.005)
    generator = np.random.default_rng(0)
    bench.run(0.5, bench.follow)
    bench.pause()
    bench.run(1.0, bench.follow)
    place = bench.values.copy()
    place[0] = 0.6

    def noise():
        bench.values = place + generator.normal(size=6) * 2e-4

    bench.run(1.0, noise)
    bench.resume()
    assert bench.run(2.0, noise)[0][0] == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize(
    'moved',
    [
        np.array([0.5, 0.2, 0.3, 0, 0, 0, 1]),
        np.array([*UPRIGHT[:3], *Rotation.from_rotvec([0, 0, np.pi / 2]).as_quat()]),
    ],
    ids=['moved', 'turned in place'],
)
def test_a_hand_that_was_moved_or_turned_in_a_pause_goes_on_from_there(moved):
    bench = panda()
    bench.run(0.5, lambda: keep_up(bench))
    bench.pause()
    bench.run(1.0, lambda: keep_up(bench))
    bench.pose, bench.values[:3] = moved, moved[:3]
    bench.run(1.0)
    bench.resume()
    sent = bench.run(1.0)
    assert not bench.holding
    np.testing.assert_allclose(sent[-1], moved, atol=1e-3)


def test_a_pose_is_not_held_far_from_a_hand_that_stands():
    bench = panda()
    bench.run(0.5, lambda: keep_up(bench))
    bench.wanted[2] = 0.3
    sent = bench.run(10.0)
    away = np.linalg.norm(sent[:, :3] - UPRIGHT[:3], axis=1)
    assert away.max() < 0.1 + 0.3 * (LAG + PERIOD) + 0.01, 'the stop comes on top'
    (begun,) = 1 + np.flatnonzero((away[1:] == 0) & (away[:-1] > 0))
    np.testing.assert_array_equal(sent[begun], UPRIGHT)
    assert 0.05 < away[-1] < 0.05 + 0.02
    assert 'behind the commanded pose' in bench.holding
    bench.wanted[2] = 0.0
    bench.run(2.0, lambda: keep_up(bench))
    assert not bench.holding


def test_a_hand_that_cannot_turn_is_not_turned_farther():
    bench = panda()
    bench.run(0.5, lambda: keep_up(bench))
    bench.wanted[5] = 1.0
    sent = bench.run(3.0)
    assert 'turned' in bench.holding
    turned = 2 * np.arccos(np.clip(np.abs(sent[:, 3:] @ UPRIGHT[3:]), 0, 1))
    assert turned.max() < 0.5 + 0.3


@pytest.mark.parametrize('stiffness', [2, 5, 10, 15])
@pytest.mark.parametrize('sag', [0.0, 0.03])
def test_what_springs_back_is_no_arm_that_goes_on(stiffness, sag):
    bench = so101()
    bench.run(0.5, bench.follow)
    bench.wanted[0] = 1.5

    def lean():
        """Something gives way beyond 0 a little; what hangs, hangs lower."""
        bench.follow()
        if bench.values[0] > 0:
            bench.values[0] /= 1 + stiffness
        bench.values[0] -= sag

    sent = bench.run(8.0, lean)[:, 0]
    ahead = sent - (np.where(sent > 0, sent / (1 + stiffness), sent) - sag)
    assert np.flatnonzero((ahead[1:] > 0.2) & (ahead[:-1] <= 0.2)).size == 1
    assert 'behind its command' in bench.holding
    bench.wanted[0] = 0.3
    assert bench.run(3.0, bench.follow)[-1][0] == pytest.approx(0.3, abs=1e-3), 'it is free'


def to(bench, place):
    """A hand moves joint 0 to `place` at 1 rad/s."""
    return lambda: bench.values.__setitem__(
        0, bench.values[0] + np.clip(place - bench.values[0], -0.02, 0.02)
    )


@pytest.mark.parametrize('rest', [0.4, 0.7, 0.9, 1.0, 1.2])
def test_an_arm_that_is_moved_twice_in_a_hold_is_met_where_it_was_left_last(rest):
    bench = so101()
    bench.run(0.5, bench.follow)
    bench.pause()
    bench.run(1.0, bench.follow)
    bench.run(60 * PERIOD + rest, to(bench, 1.2))
    bench.run(1.0, to(bench, 0.9))
    bench.resume()
    bench.wanted[0] = 0.9
    assert bench.run(5.0)[0][0] == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize('late', [-4, 0, 2, 4])
def test_a_hold_while_a_jaw_closes_on_something_keeps_squeezing(late):
    bench = so101()
    bench.values[5] = bench.wanted[5] = 1.6
    bench.run(1.0, bench.follow)
    bench.wanted[5] = -0.125

    def squeeze():
        bench.follow()
        bench.values[5] = max(bench.values[5], 0.6)

    while bench.sent[-1][5] > 0.6 - 0.02 * late:
        bench.run(PERIOD, squeeze)
    bench.pause()
    sent = bench.run(3.0, squeeze)[:, 5]
    assert sent[-1] == sent.min()
    assert sent[-1] < 0.6 - 0.02 * late


def test_an_arm_that_hangs_does_not_sink_while_a_prediction_is_awaited():
    bench = so101()

    def hang():
        bench.follow()
        bench.values[1] -= 0.06

    bench.run(1.0, hang)
    bench.pause()
    bench.run(3.0, hang)
    before = bench.sent[-1][1]
    bench.resume()
    for _ in range(150):
        hang()
        bench.step()
    assert bench.sent[-1][1] >= before - 0.061


def test_a_gripper_that_is_opened_by_hand_does_not_let_the_hand_sink():
    bench = panda()
    bench.wanted[6] = 0.04

    def sag():
        if bench.sent:
            bench.pose = np.array(bench.sent[-1])
            bench.pose[2] -= 0.04
            bench.values[:3] = bench.pose[:3]

    bench.run(1.0, sag)
    bench.pause()
    bench.run(2.0, sag)
    before = bench.sent[-1].copy()
    for opening in (0.06, 0.03, 0.06, 0.03):
        bench.values[3] = opening
        bench.run(2.0, sag)
    np.testing.assert_allclose(bench.sent[-1], before)


@pytest.mark.parametrize('back', [0.0, 30.0, 1000.0])
def test_a_clock_that_was_set_back_does_not_keep_an_arm_from_standing(back):
    bench = so101()
    bench.now = 5000.0
    bench.restart()
    bench.run(0.5, bench.follow)
    bench.pause()
    bench.run(1.0, bench.follow)
    bench.values[0] = 0.3
    bench.run(0.2)
    # What was measured before comes once more afterwards.
    old, now = bench.measured(), bench.measured
    bench.now -= back
    bench.measured = lambda: old
    bench.run(PERIOD)
    bench.measured = now
    assert not len(bench.run(5.0))
    bench.resume()
    assert bench.run(2.0)[0][0] == pytest.approx(0.3, abs=0.01)
    bench.run(1.0, bench.follow)
    assert not bench.holding


def test_the_sign_of_a_quaternion_is_no_motion():
    bench = panda()
    bench.pose = np.array([0.5, 0, 0.3, 1, 0, 0, 0.0])
    bench.run(0.5, lambda: keep_up(bench))
    bench.pause()
    bench.run(1.0, lambda: keep_up(bench))
    place = bench.pose.copy()
    place[1] += 0.2
    bench.values[:3] = place[:3]
    signs = iter(range(10**6))

    def flicker():
        bench.pose = place.copy()
        bench.pose[3:] *= -1 if next(signs) % 7 == 0 else 1

    bench.run(3.0, flicker)
    bench.resume()
    assert bench.run(3.0, flicker)[-1][1] == pytest.approx(place[1])


def test_an_arm_that_never_stands_is_given_up_in_the_end():
    bench = so101(ladder=LadderConfig(deactivate_after=10.0))
    bench.run(0.5, bench.follow)
    bench.pause()
    bench.run(1.0, bench.follow)
    bench.resume()
    steps = iter(range(10**6))

    def shake():
        bench.values[0] = 0.3 + 0.05 * (next(steps) % 2)

    bench.run(11.0, shake)
    assert bench.loop.view.rung is Rung.DEACTIVATE


@pytest.mark.parametrize('speed', [0.1, 0.5, 1.0, 2.0])
def test_an_arm_that_stands_is_led_by_the_way_commanded_in_the_lag_and_no_farther(speed):
    bench = so101()
    bench.run(0.5, bench.follow)
    begun = bench.now

    def creep():
        bench.wanted[0] = speed * (bench.now - begun)

    sent = bench.run(3.0, creep)
    assert 'behind its command' in bench.holding
    way = 2 * LoopConfig().max_tracking_error + speed * (LAG + 4 * PERIOD) + 0.1 * speed
    assert 0.1 < sent[:, 0].max() < way


def late_by(bench, seconds):
    """A swinging arm that is where it was commanded so long ago; what the loop said."""
    bench.wanted[5] = 0.5
    bench.run(1.0, bench.follow)
    behind, said = round(seconds / PERIOD), set()

    def late():
        bench.wanted[0] = 1.2 * np.sin(3.0 * bench.now)
        bench.values = np.array(bench.sent[-behind])
        said.add(bench.holding)

    bench.run(4.0, late)
    return said


@pytest.mark.parametrize('delay', [0.0, 0.2])
def test_an_arm_that_is_late_by_its_delay_and_less_than_the_margin_is_not_held(delay):
    bench = so101(schedule=ScheduleConfig(actuation_delay=delay))
    assert late_by(bench, delay + 0.1) == {''}


def test_an_arm_that_is_later_than_the_margin_is_held():
    assert any('behind its command' in said for said in late_by(so101(), 0.4))


@pytest.mark.parametrize('episode', ['010', '020', '024', '028'])
def test_a_real_arm_with_its_recorded_commands_is_never_taken_for_one_that_does_not_follow(
    episode, shared_bag
):
    bag = shared_bag(f'g1_real_bottle_{episode}')
    arm = load_arm(CALIBRATION / 'g1.yaml')
    times, names, commands, states = recorded_motion(bag, arm)
    config = LoopConfig(command_rate=30.0)
    space = ActionSpace('joint_position', names)
    controller = Controller(space, arm, config.schedule, max_state_age=0.5)
    watch = TrackingWatch(controller, None, config)
    behind = []
    for time, command, state in zip(times, commands, states, strict=True):
        controller.measure(state, time)
        watch.measure(Measured(state, time))
        assert not watch.kept_from_following(held=False)
        behind.append(watch._behind.max())
        controller._note(SafeCommand(command, (), at_rest=False), moves=True)
        watch.command(holds_still=False, time=time, follows=True)
    logging.getLogger(__name__).info(
        '%s: %d states, p50 and largest distance from the commands of the lag %.3f, %.3f rad',
        episode,
        len(behind),
        np.median(behind),
        np.max(behind),
    )


def recorded_motion(bag, arm):
    """Times, names of joints that hold nothing, commands and measured states of one episode."""
    states, commands = {}, {}
    for recorded in read_messages(bag):
        message = recorded.message
        if recorded.topic == '/joint_states':
            positions = dict(zip(message.name, message.position, strict=True))
            states[stamp_seconds(message.header.stamp)] = positions
        elif recorded.topic.endswith('/joint_trajectory'):
            positions = message.points[0].positions
            named = dict(zip(message.joint_names, positions, strict=True))
            commands[stamp_seconds(message.header.stamp)] = named
    joints = arm.joints
    grips = dict(zip(joints.names, joints.grips, strict=True))
    names = tuple(name for name in next(iter(commands.values())) if grips.get(name) is False)
    times = sorted(states.keys() & commands.keys())
    rows = [
        np.array([[by[t][name] for name in names] for t in times]) for by in (commands, states)
    ]
    return times, names, *rows


@pytest.mark.parametrize('begins', [0.0, PERIOD])
def test_the_command_of_the_moment_in_which_the_clock_goes_back_is_no_rest_of_the_future(begins):
    bench = so101()
    bench.run(0.5, bench.follow)
    bench.pause()
    bench.run(1.0, bench.follow)
    # Due by a clock that ran for long, and begins again now.
    bench.steady += PERIOD
    ran, bench.now = bench.now + PERIOD, begins
    bench.loop.step(Instant(begins, bench.steady, ran), [bench.measured()])
    bench.values[0] = 0.3
    bench.run(0.1)
    bench.resume()
    # It is met where it stands.
    assert bench.run(2.0)[0][0] == pytest.approx(0.3, abs=0.01)
    bench.run(1.0, bench.follow)
    assert not bench.holding


@pytest.mark.parametrize('begins', [-PERIOD, 0.5])
def test_a_prediction_from_before_the_clock_was_set_back_moves_nothing(begins):
    bench = so101()
    bench.now = 3.0
    bench.wanted[0] = 0.2
    bench.run(1.0, bench.follow)
    before = bench.now
    bench.now = begins
    bench.step()
    late = ActionChunk(before, 0.05, np.tile(np.eye(6)[1], (200, 1)))
    bench.inbox.append(Predicted(late, 'go'))
    sent = bench.run(2.0, bench.follow)
    assert np.abs(sent[:, 1]).max() < 1e-6
    assert (bench.holding, bench.loop.view.rung) == ('', Rung.FOLLOW)
    assert bench.loop.view.information_time <= bench.now < before


def test_an_arm_that_was_measured_long_before_commands_begin_may_be_elsewhere_by_then():
    bench = so101()
    bench.age, bench.values[:5] = 10.0, -1.5
    bench.run(1.0)
    assert '10.000 s old' in bench.holding
    bench.age, bench.values[:5] = 0.0, 1.5
    assert bench.run(1.0, bench.follow)[0][:5] == pytest.approx(1.5, abs=0.05)
    assert not bench.loop.view.doubt


@pytest.mark.parametrize('begins', [0.0, 5.0])
def test_a_clock_that_begins_again_is_a_jump_also_where_that_is_at_0(begins):
    bench = so101()
    bench.run(0.1)
    bench.now = begins - PERIOD
    bench.step()
    assert 'the clock jumped' in bench.loop.view.streams['clock']
