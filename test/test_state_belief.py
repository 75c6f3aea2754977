# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Drivers that say what cannot be: nothing that they say makes a command step over a limit."""

import numpy as np
import pytest
from command_bench import (
    JOINTS,
    PANDA,
    PERIOD,
    SO101,
    TWIST,
    UPRIGHT,
    Bench,
    keep_up,
    panda,
    so101,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_gridsampler.acting.action_chunk import ActionSpace
from ros2_gridsampler.acting.command_message import integrate_twist
from ros2_gridsampler.acting.led_pose import pose_difference
from ros2_gridsampler.acting.state_belief import StateBelief, joint_parts

PLACE = np.array([0.9, -0.7, 0.8, 0.6, -1.0, 0.8])
LIES = {
    'zeros': lambda truth: np.zeros(6),
    'another arm': lambda truth: truth[::-1] + 0.5,
    'degrees': lambda truth: np.degrees(truth),
    'other signs': lambda truth: -truth,
    'a wrapped encoder': lambda truth: truth + 2 * np.pi * np.eye(6)[4],
}


def swinging():
    """An arm that is swung by its policy, away from zero."""
    bench = so101()
    bench.values = PLACE.copy()
    bench.wanted = PLACE + 0.3
    bench.run(0.5, bench.follow)
    return bench


def tell(bench, lie, seconds):
    """The arm does what it is told, the driver says something else; where the arm is then."""
    truth = [bench.values.copy()]

    def lying():
        truth[0] = np.array(bench.sent[-1])
        bench.values = lie(truth[0])

    bench.run(seconds, lying)
    return truth[0]


@pytest.mark.parametrize('seconds', [0.2, 0.6, 1.0, 2.0])
@pytest.mark.parametrize('while_it', ['follows', 'holds', 'is stopped'])
@pytest.mark.parametrize('lie', LIES.values(), ids=LIES)
def test_a_driver_that_says_what_cannot_be_moves_no_arm(lie, while_it, seconds):
    bench = swinging()
    if while_it == 'holds':
        bench.obey('')
    if while_it == 'is stopped':
        bench.pause()
    if while_it != 'follows':
        bench.run(1.0, bench.follow)
    before = bench.values.copy()
    truth = tell(bench, lie, seconds)
    assert bench.holding
    if while_it != 'is stopped':
        assert 'not believed' in bench.holding
        assert 'joint' in bench.holding
    farthest = 0.05 if while_it != 'follows' else 0.6
    assert np.abs(truth - before).max() < farthest
    # The truth again: it goes on by itself from where it was.
    bench.values = truth
    bench.obey('go')
    if while_it == 'is stopped':
        bench.resume()
    bench.run(3.0, bench.follow)
    assert not bench.holding


def test_zeros_at_the_start_are_believed_by_a_persons_word_only():
    bench = so101()
    bench.values = np.zeros(6)
    assert not len(bench.run(2.0))
    assert 'exactly 0' in bench.holding
    bench.resume()
    assert len(bench.run(0.5))
    begun = so101(accept_zero_state=True)
    begun.values = np.zeros(6)
    assert len(begun.run(0.5))


def test_the_truth_after_zeros_at_the_start_needs_nobody():
    bench = so101()
    bench.values, bench.wanted = np.zeros(6), PLACE.copy()
    bench.run(1.0)
    bench.values = PLACE.copy()
    sent = bench.run(1.0, bench.follow)
    np.testing.assert_allclose(sent, np.tile(PLACE, (len(sent), 1)), atol=1e-9)
    assert not bench.holding


@pytest.mark.parametrize('seconds', [0.3, 1.0, 1.5, 3.0])
def test_a_pose_that_jumps_leads_nowhere(seconds):
    bench = panda()
    bench.run(0.5, lambda: keep_up(bench))
    truth = bench.pose.copy()
    bench.pose[1] += 0.3
    bench.values[:3] = bench.pose[:3]
    sent = bench.run(seconds)
    assert all(pose_difference(truth, pose)[0] < 0.01 for pose in sent)
    assert 'the end effector went from' in bench.holding
    bench.pose = truth
    bench.run(2.0, lambda: keep_up(bench))
    assert not bench.holding


def test_two_publishers_that_disagree_hold_the_arm():
    bench = swinging()
    turns = iter(range(10**6))
    truth = bench.values.copy()

    def disagree():
        bench.values = truth if next(turns) % 3 else truth * 0.5

    bench.run(3.0, disagree)
    assert 'not believed' in bench.holding


numbers = st.floats(-10, 10) | st.sampled_from([0.0, np.pi, 2 * np.pi, 57.3, 1e6])
stretches = st.tuples(
    st.sampled_from(['follow', 'stay', 'zeros', 'set', 'jump', 'drift', 'wrap', 'two']),
    st.integers(1, 60),
    st.lists(numbers, min_size=6, max_size=6),
    st.sampled_from(['', 'pause', 'resume', 'obey', 'deny']),
)


@settings(max_examples=20)
@given(st.lists(stretches, min_size=1, max_size=6))
def test_no_sequence_of_measurements_makes_a_command_step_over_a_limit(sequence):
    bench = so101()
    bench.values = PLACE.copy()
    for kind, steps, values, act in sequence:
        other = np.array(values)

        def move(kind=kind, other=other):
            if kind == 'follow':
                bench.follow()
            elif kind == 'zeros':
                bench.values = np.zeros(6)
            elif kind == 'set':
                bench.values = other
            elif kind == 'jump':
                bench.values = bench.values + other
            elif kind == 'drift':
                bench.values = bench.values + np.clip(other, -1, 1) * PERIOD
            elif kind == 'wrap':
                bench.values = np.mod(bench.values + 0.05, 2 * np.pi)
            elif kind == 'two':
                bench.values = other if round(bench.steady / PERIOD) % 2 else PLACE

        if act == 'pause':
            bench.pause()
        elif act == 'resume':
            bench.resume()
        elif act:
            bench.obey('go' if act == 'obey' else '')
        bench.wanted = np.clip(other, -1.5, 1.5)
        paused = bench.holding.startswith('Stopped')
        sent = bench.run(steps * PERIOD, move)  # Bench looks at every step.
        # It may still decelerate at first.
        stands = sent[40:]
        if paused and act in ('', 'pause') and len(stands):
            assert np.ptp(stands, axis=0).max() < 1e-5, 'while it is stopped nothing moves'


def test_a_slow_way_is_due_later_for_a_controller_that_begins_elsewhere():
    class Node:
        def create_publisher(self, kind, topic, qos):
            self.sent = []
            publish = {'publish': lambda _, m: self.sent.append(m), 'topic_name': topic}
            return type('Publisher', (), publish)()

    node = Node()
    pytest.importorskip('rclpy')
    from ros2_gridsampler.nodes.command_outputs import JointTrajectoryOutput

    output = JointTrajectoryOutput(node, JOINTS, PERIOD)
    bench = so101()
    bench.values = PLACE.copy()
    bench.run(0.1, bench.follow)
    controller = bench.loop._controller
    for away in (0.0, 0.001, 0.5, 3.0):
        measured = PLACE + away
        controller.measure(measured, bench.now, bench.now)
        bench.steady += 10.0
        reach = controller.reach_time(PLACE, bench.steady, PERIOD, follows=False)
        output.publish(PLACE, None, bench.now, reach)
        due = node.sent[-1].points[0].time_from_start
        seconds = due.sec + due.nanosec * 1e-9
        assert seconds >= PERIOD - 1e-9
        assert (away / seconds <= SO101.joints.max_velocity * (1 + 1e-6)).all()


def believes(belief, state, time):
    """Whether a state is believed of which everything was captured at once."""
    return belief.believe(state, np.full(len(state), time))


def test_a_quaternion_of_the_other_sign_is_the_same_orientation():
    bench = panda()
    parts = bench.loop._controller.parts
    belief = StateBelief(parts, 0.05, 0.5)
    state = np.array([0.5, 0, 0.3, 0.04, 0, 0, 0.6, 0.8])
    assert believes(belief, state, 1.0)
    assert believes(belief, state * [1, 1, 1, 1, -1, -1, -1, -1], 1.02)


@pytest.mark.parametrize('length', [0.9991, 1.0009])
def test_a_quaternion_that_a_driver_rounded_is_no_turn_of_the_hand(length):
    bench = panda()
    bench.wanted = np.array([0.05, 0, 0, 0, 0, 0, 0.04])

    def rounded():
        keep_up(bench)
        bench.pose[3:] *= length / np.linalg.norm(bench.pose[3:])

    bench.run(1.0, rounded)
    bench.pause()
    bench.run(3.0, rounded)
    bench.resume()
    bench.run(1.0, rounded)
    assert (bench.holding, bench.loop.view.doubt) == ('', '')
    assert len(bench.sent) == 250, 'never silent'


def test_an_arm_of_three_joints_whose_policy_reads_its_pose_is_doubted_like_any_other():
    joints = ActionSpace('joint_position', SO101.joints.names[:3])
    bench = Bench(joints, SO101, PLACE[:3], UPRIGHT.copy())
    bench.fastest = SO101.joints.max_velocity[:3]
    bench.wanted = PLACE[:3] + 0.3
    bench.run(0.5, bench.follow)
    bench.values = np.zeros(3)
    bench.run(1.0)
    assert "joint 'shoulder_pan'" in bench.loop.view.doubt


@given(st.lists(st.floats(0.0005, 0.05), min_size=1, max_size=300), st.floats(0, 1))
def test_motion_within_the_limits_is_believed_at_any_rate(gaps, share):
    limits = SO101.joints
    belief = StateBelief(joint_parts(limits), 0.05, 0.5)
    state, time = PLACE.copy(), 0.0
    for gap in gaps:
        time += gap
        state = state + share * limits.max_velocity * gap
        assert believes(belief, state, time), belief.doubt


@given(
    st.lists(st.tuples(st.floats(0.001, 0.05), st.booleans(), st.booleans()), min_size=5),
    st.floats(0.1, 1.0),
)
def test_parts_of_topics_with_rates_of_their_own_are_each_judged_by_their_own_time(steps, share):
    belief = StateBelief(panda().loop._controller.parts, 0.05, 0.5)
    hand, jaw = PANDA.end_effector.max_speed, PANDA.gripper.max_speed
    state, times, now = np.array([0.5, 0, 0.3, 0.0, 0, 0, 0, 1.0]), np.zeros(8), 0.0
    assert belief.believe(state.copy(), times.copy())
    for gap, hand_comes, jaw_comes in steps:
        now += gap
        if hand_comes:
            state[0] = 0.5 + share * hand * now
            times[[0, 1, 2, 4, 5, 6, 7]] = now
        if jaw_comes:
            state[3] = share * jaw * now
            times[3] = now
        assert belief.believe(state.copy(), times.copy()), belief.doubt


def test_a_hand_that_jumps_while_only_the_gripper_is_measured_anew_is_not_believed():
    belief = StateBelief(panda().loop._controller.parts, 0.05, 0.5)
    state, times = np.array([0.5, 0, 0.3, 0.0, 0, 0, 0, 1.0]), np.zeros(8)
    assert belief.believe(state, times)
    jumped = state + np.eye(8)[0] * 0.2
    assert not belief.believe(jumped, times + np.eye(8)[3])
    assert 'in 0.000 s' in belief.doubt


def test_a_gripper_that_is_measured_seldom_does_not_hold_a_hand_that_moves_fast():
    bench = panda()
    bench.run(0.5, lambda: keep_up(bench))
    bench.wanted[1] = -0.9
    jaw, start = [bench.now], bench.values[1]

    def move():
        keep_up(bench)
        if bench.now - jaw[0] > 0.09:
            jaw[0] = bench.now
        bench.times = np.array([bench.now] * 3 + [jaw[0]])

    bench.run(0.5, move)
    assert not bench.holding
    assert bench.values[1] - start < -0.15


@given(st.floats(3.0, 50.0))
def test_a_joint_does_not_get_away_by_many_small_steps(times):
    limits = SO101.joints
    belief = StateBelief(joint_parts(limits), 0.05, 0.5)
    state = PLACE.copy()
    believed = 0
    for tick in range(2000):
        state = state + times * limits.max_velocity * 0.001
        if not believes(belief, state, tick * 0.001):
            break
        believed += 1
    assert believed < 200


def jaw_closes(share, gap, start=0.04):
    """Whether every state of a Franka Hand is believed that closes at a share of its speed."""
    bench = panda()
    belief = StateBelief(bench.loop._controller.parts, 0.05, 0.5)
    opening, time = start, 0.0
    while time < 1.0:
        if not believes(belief, np.array([0.5, 0, 0.3, opening, 0, 0, 0, 1.0]), time):
            return False
        opening = max(opening - share * PANDA.gripper.max_speed * gap, 0.0)
        time += gap
    return True


@given(st.floats(0.1, 1.9), st.floats(0.002, 0.2))
def test_a_gripper_that_closes_as_fast_as_its_limits_say_is_believed(share, gap):
    assert jaw_closes(share, gap, start=0.08)


def test_a_gripper_that_is_shut_from_one_message_to_the_next_is_not():
    assert not jaw_closes(20.0, 0.02)


@pytest.mark.parametrize(('silence', 'believed'), [(0.1, False), (0.5, True), (8.6, True)])
def test_after_a_silence_as_long_as_its_way_a_gripper_may_be_anywhere(silence, believed):
    belief = StateBelief(panda().loop._controller.parts, 0.05, 0.5)
    assert believes(belief, np.array([0.5, 0, 0.3, 0.0, 0, 0, 0, 1.0]), 10.0)
    moved = np.array([0.5, 0, 0.3, 0.08, 0, 0, 0, 1.0])
    assert believes(belief, moved, 10.0 + silence) is believed


@pytest.mark.parametrize('seconds', [0.3, 1.0, 3.0])
def test_a_gripper_that_says_0_holds_the_arm_until_the_truth_comes(seconds):
    bench = panda()
    bench.wanted[6] = 0.04
    bench.run(0.5, lambda: keep_up(bench))
    bench.values[3] = 0.0
    bench.run(seconds, lambda: keep_up(bench))
    assert 'the gripper went from 0.040 to 0.000 m' in bench.holding
    bench.values[3] = 0.04
    bench.run(1.5, lambda: keep_up(bench))
    assert not bench.holding


def test_a_gripper_that_is_measured_late_is_believed_where_it_was_told_to_be():
    bench = panda()
    bench.wanted[6] = 0.04
    bench.run(0.5, lambda: keep_up(bench))
    bench.wanted[6] = 0.0
    bench.run(0.6, lambda: keep_up(bench))
    bench.values[3] = 0.0
    bench.run(0.1, lambda: keep_up(bench))
    assert 'the gripper' in bench.holding
    bench.run(2.0, lambda: keep_up(bench))
    assert not bench.holding


def test_a_hand_at_exactly_0_at_the_start_is_not_commanded_there():
    bench = panda()
    truth = bench.pose.copy()
    bench.pose, bench.values = np.array([0, 0, 0, 0, 0, 0, 1.0]), np.array([0, 0, 0, 0.04])
    assert not len(bench.run(1.0))
    assert 'exactly 0: the end effector' in bench.holding
    bench.pose, bench.values[:3] = truth, truth[:3]
    sent = bench.run(1.0, lambda: keep_up(bench))
    np.testing.assert_allclose(sent, np.tile(truth, (len(sent), 1)), atol=1e-9)
    assert not bench.holding


@pytest.mark.parametrize('apart', [False, True])
def test_zeros_of_one_of_several_drivers_are_not_believed_at_the_start(apart):
    bench = so101()
    bench.values = np.array([0, 0, 0, 0, 0, 0.5])
    if apart:
        bench.values[2:5] = PLACE[2:5]
        bench.times = np.full(6, bench.now)

    def say():
        if apart:
            bench.times = bench.now - np.array([0.001, 0.001, 0, 0, 0, 0])

    assert not len(bench.run(1.0, say))
    assert "exactly 0: joint 'shoulder_pan', joint 'shoulder_lift'" in bench.holding
    assert 'gripper' not in bench.holding
    bench.values, bench.times = PLACE.copy(), None
    assert len(bench.run(0.5, bench.follow))


def test_a_shut_jaw_beside_an_arm_that_is_measured_is_no_driver_without_an_arm():
    bench = so101()
    bench.values = np.array([*PLACE[:5], 0.0])
    assert len(bench.run(0.5))


@pytest.mark.parametrize(
    ('make', 'factor', 'named'),
    [(so101, 180 / np.pi, "joint 'shoulder_pan' is at"), (panda, 1e3, 'the end effector is at')],
)
def test_a_first_state_far_outside_of_the_limits_needs_a_persons_word(make, factor, named):
    bench = make()
    if make is so101:
        bench.values = PLACE.copy()
    truth = bench.values.copy()
    bench.values[:3] *= factor
    assert not len(bench.run(1.0))
    assert named in bench.holding
    bench.values = truth
    assert len(bench.run(0.5)), 'the truth needs nobody'


def test_an_arm_that_stands_a_little_outside_of_its_limits_is_believed():
    bench = so101()
    bench.values = SO101.joints.max_position + 0.1
    assert len(bench.run(0.5))


@pytest.mark.parametrize('goes_on', [0.0, 0.25])
@pytest.mark.parametrize('speed', [0.4, -0.4])
def test_a_hand_that_goes_on_while_its_pose_is_doubted_is_believed_where_its_twists_led(
    speed, goes_on
):
    """By the way of the stop, or of a controller that ends the last twist by its timeout."""
    bench = Bench(TWIST, PANDA, [*UPRIGHT[:3], 0.04], UPRIGHT.copy())
    bench.wanted = np.array([0, speed, 0, 0, 0, speed, 0.04])
    truth, jump, off = UPRIGHT.copy(), 0.0, np.inf

    def move():
        nonlocal truth
        twist = bench.sent[-1][:6] if bench.sent else np.zeros(6)
        if bench.steady > off:
            twist = last if bench.steady < off + goes_on else np.zeros(6)
        truth = integrate_twist(truth, twist, PERIOD)
        bench.pose = truth + jump * np.eye(7)[1]
        bench.values[:3] = bench.pose[:3]

    bench.run(0.6, move)
    last, jump = bench.sent[-1][:6], 0.3
    off = bench.steady if goes_on else np.inf
    bench.run(1.0, move)
    assert 'not believed' in bench.holding
    jump = 0.0
    bench.run(1.0, move)
    off = np.inf
    bench.run(1.0, move)
    assert (bench.loop.view.doubt, bench.holding) == ('', '')


def test_a_hand_that_comes_back_where_no_twist_led_it_needs_a_persons_word():
    bench = Bench(TWIST, PANDA, [*UPRIGHT[:3], 0.04], UPRIGHT.copy())
    bench.wanted = np.array([0, 0.1, 0, 0, 0, 0, 0.04])
    bench.run(0.6)
    bench.pose[0] += 0.3
    bench.values[:3] = bench.pose[:3]
    bench.run(3.0)
    assert 'the end effector went from' in bench.holding
