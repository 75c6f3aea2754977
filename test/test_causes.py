# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a person reads first, whatever is wrong: the cause, in a true sentence that is of now."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policies import tiny_policy

pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')

from ros2_gridsampler.nodes.causes import (
    OF_FAULT,
    Arrival,
    Cause,
    Finding,
    in_order,
    why_stamp,
)
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.seeing.stream_health import Fault, StreamBudget

NODE = 'ros2_gridsampler.nodes.policy_node'
NOW = 1.8e9
BUDGET = StreamBudget()


@given(st.lists(st.sampled_from(Cause)))
def test_a_consequence_is_never_told_before_its_cause(causes):
    sentences = in_order(Finding(cause, cause.name) for cause in causes)
    told = [Cause[name] for name in sentences]
    assert told == sorted(set(causes))


@pytest.mark.parametrize(
    ('cause', 'consequence'),
    [
        # A clock that stands still makes every stamp old.
        (Cause.CLOCK, Cause.STAMPS),
        # A blank camera keeps the policy from predicting, whoever says what.
        (Cause.BLANK, Cause.INSTRUCTION),
        # Nothing comes, so it is old.
        (Cause.SILENT, Cause.LATE),
        # It is stamped at 0, so it is old.
        (Cause.STAMPS, Cause.LATE),
        # It cannot be read, so it gets old.
        (Cause.UNUSABLE, Cause.LATE),
        # The arm does not follow, for nobody tells it to.
        (Cause.UNHEARD, Cause.HOLDING),
        (Cause.POLICY, Cause.HOLDING),
        # The node waits for pictures, for a camera is silent.
        (Cause.SILENT, Cause.INACTIVE),
    ],
)
def test_the_order_has_a_reason(cause, consequence):
    assert cause < consequence


def test_every_fault_has_a_place_in_the_order():
    assert set(OF_FAULT) == set(Fault)


@pytest.mark.parametrize(
    ('stamp', 'now', 'arrived', 'simulated', 'words'),
    [
        (0.0, NOW, 0.02, False, 'every picture has the stamp 0'),
        (512.3, NOW, 0.02, False, 'stamped 512.3 s, which is no date'),
        (
            NOW - 7,
            NOW,
            0.02,
            False,
            "is stamped 7.000 s ago; at most 0.500 s .*The driver's clock",
        ),
        (NOW - 7, NOW, 0.02, False, 'Synchronise the clocks of the machines'),
        (NOW - 7, NOW, 0.02, True, 'Everything has to go by one /clock'),
        (NOW + 3, NOW, 0.02, False, 'stamped 3.000 s ahead of the clock'),
        (NOW, 100.0, 0.02, True, 'stamped by the clock of the system, but .* which says 100.0 s'),
        # What is silent is told as silent.
        (NOW - 7, NOW, 7.0, False, None),
        (NOW - 0.4, NOW, 0.02, False, None),
        (NOW + 0.05, NOW, 0.02, False, None),
    ],
)
def test_a_stamp_that_cannot_be_is_told_in_its_own_words(stamp, now, arrived, simulated, words):
    said = why_stamp(
        Arrival("Camera 'front'", 'picture', stamp, arrived), now, BUDGET, simulated=simulated
    )
    if words is None:
        assert said == ''
    else:
        assert re.search(words, said)
        assert said.startswith("Camera 'front': ")


@given(st.floats(0, 4e9), st.floats(0, 4e9), st.floats(0, 100), st.booleans())
def test_a_stamp_is_named_if_and_only_if_it_may_not_be_used(stamp, now, arrived, simulated):
    said = why_stamp(Arrival('Pose', 'pose', stamp, arrived), now, BUDGET, simulated=simulated)
    usable = -BUDGET.max_ahead <= now - stamp <= BUDGET.max_age
    assert bool(said) == (not usable and arrived <= BUDGET.max_age)


def still(value):
    picture = np.full((72, 96, 3), value, np.uint8)
    picture[20:40, 30:60] = (200, 40, 10)
    return picture


class Bench:
    """An arm that can be spoiled, and whoever else is at it."""

    def __init__(self, watcher, arm, node):
        from geometry_msgs.msg import TwistStamped
        from std_msgs.msg import Float64MultiArray

        self.watcher, self.arm, self.node = watcher, arm, node
        self.kind = TwistStamped
        self.twists = watcher.node.create_subscription(TwistStamped, TWIST, lambda m: None, 10)
        watcher.node.create_subscription(
            Float64MultiArray, '/policy_node/gripper_command', lambda m: None, 10
        )
        self.rival = None

    def call(self, service):
        from std_srvs.srv import Trigger

        name = f'/policy_node/{service}'
        assert self.watcher.call(Trigger, name, Trigger.Request(), self.node).success

    def compete(self, *, begin):
        node = self.watcher.node
        if begin:
            self.rival = node.create_publisher(self.kind, TWIST, 10)
        else:
            node.destroy_publisher(self.rival)

    def look_elsewhere(self, *, begin):
        """A second camera on the topic of the first."""
        from sensor_msgs.msg import Image

        node = self.watcher.node
        if begin:
            self.camera = node.create_publisher(Image, '/front/image', 10)
        else:
            node.destroy_publisher(self.camera)

    def listen(self, *, begin):
        node = self.watcher.node
        if begin:
            self.twists = node.create_subscription(self.kind, TWIST, lambda m: None, 10)
        else:
            node.destroy_subscription(self.twists)

    def move(self, *, begin):
        """The arm moves, and its camera always shows the same."""
        self.arm.scenes = {'wrist': still(90)} if begin else {}
        self.swing = begin
        if begin:
            count = itertools.count()
            self.watcher.node.create_timer(0.05, lambda: self._swing(next(count)))

    def _swing(self, count):
        if self.swing:
            self.arm.position[0] = 0.5 + 0.02 * (count % 2)


TWIST = '/policy_node/twist_command'


def put(**values):
    """Spoils attributes of the arm, and mends them."""

    def act(bench, begin):
        for name, value in values.items():
            if begin:
                bench.before = {**getattr(bench, 'before', {}), name: getattr(bench.arm, name)}
            setattr(bench.arm, name, value if begin else bench.before[name])

    return act


def say(sentence):
    return lambda bench, begin: bench.arm.say(sentence if begin else 'Lift the cup.')


def both(*acts):
    def act(bench, begin):
        for each in acts:
            each(bench, begin)

    return act


BLANK = put(scenes={'wrist': np.full((72, 96, 3), 90, np.uint8)})
SITUATIONS = {
    'a camera falls silent': (
        put(muted={'wrist'}),
        r"^Camera 'wrist': no picture has come for \d",
    ),
    'a blank picture': (BLANK, r"^Camera 'wrist' shows nothing: its pixels differ by 0.00"),
    'a frozen picture': (
        lambda bench, begin: bench.move(begin=begin),
        r"^Camera 'wrist' repeats one picture while the arm moves",
    ),
    'numbers for colours': (put(encoding='32FC1'), r"^Camera 'front': .*'32FC1' is not supported"),
    'depth for colours': (put(encoding='16UC1'), r"^Camera 'front': .*'16UC1' is not supported"),
    'a cut picture': (put(cut=100), r"^Camera 'front': .*the message was cut short"),
    'another size': (put(size=(64, 48)), r"^Camera 'front' publishes 64x48 pictures; .* 96x72"),
    'two cameras on one topic': (
        lambda bench, begin: bench.look_elsewhere(begin=begin),
        r"^Camera 'front': /front/image has 2 publishers",
    ),
    'no stamps': (
        put(stamped={'wrist': lambda t: 0.0}),
        r"^Camera 'wrist': every picture has the",
    ),
    'stamps since boot': (
        put(stamped={'wrist': lambda t: t % 1e6}),
        r"^Camera 'wrist': the newest picture is stamped [\d.]+ s, which is no date",
    ),
    'a clock behind': (
        put(stamped={'wrist': lambda t: t - 7}),
        r"^Camera 'wrist': .* and is stamped 7\.\d+ s ago; .*The driver's clock is behind",
    ),
    'a clock ahead': (
        put(stamped={'wrist': lambda t: t + 3}),
        r"^Camera 'wrist': the newest picture is stamped \d\.\d+ s ahead of the clock",
    ),
    'no joints': (put(muted={'joints'}), r'^Joint states: no joint state has come for \d'),
    'joints of no number': (
        put(joint_positions=[float('nan'), 0.1]),
        r"^JointState gives a position that is not finite for joint 'finger'",
    ),
    'a joint twice': (put(joint_names=['finger', 'finger']), r'^JointState names a joint twice'),
    'a joint that is missing': (
        put(joint_names=['thumb', 'other']),
        r"^joint states is \d+\.\d+ s old|^joint states of \['finger'\]",
    ),
    'joints without stamps': (
        put(stamped={'joints': lambda t: 0.0}),
        r'^Joint states: every joint state has the stamp 0',
    ),
    'a pose of another frame': (put(frame='world'), r"^Expected a message in frame 'panda_link0'"),
    'no pose': (put(muted={'pose'}), r'^End-effector pose: no pose has come for \d'),
    'a pose of another clock': (
        put(stamped={'pose': lambda t: t - 7}),
        r'^End-effector pose: the newest pose came .* stamped 7\.\d+ s ago',
    ),
    'an instruction withdrawn': (
        say(''),
        r'^The instruction was withdrawn on /instruction',
    ),
    'an instruction of no words': (say('?!'), r'^An instruction needs at least one word, got'),
    'an instruction too long': (
        say('go ' * 21),
        r'^The instruction has 21 words, and this policy',
    ),
    'another commander': (
        lambda bench, begin: bench.compete(begin=begin),
        r'^/policy_node/twist_command has 1 more publisher',
    ),
    'a person stopped it': (
        lambda bench, begin: bench.call('stop' if begin else 'resume'),
        r'^Stopped by ~/stop; call ~/resume',
    ),
    'nobody executes': (
        lambda bench, begin: bench.listen(begin=not begin),
        r'^/policy_node/twist_command has no subscriber',
    ),
    # Two at once: the cause, and not what follows from it or is as wrong.
    'blank and told nothing': (both(BLANK, say('')), r"^Camera 'wrist' shows nothing"),
    'small and no joints': (
        both(put(size=(64, 48)), put(muted={'joints'})),
        r'^Joint states: no joint state has come',
    ),
}


@pytest.mark.timeout(900)
def test_the_first_sentence_of_the_diagnostics_is_the_cause(start_node, tmp_path, watcher):
    from diagnostic_msgs.msg import DiagnosticArray
    from ros_watcher import ALL, FakeArm

    assert len(SITUATIONS) >= 25
    save_checkpoint(tiny_policy(), tmp_path / 'policy', training={}, results={})
    node = start_node(
        NODE,
        '-r',
        '~/instruction:=/instruction',
        policy=tmp_path / 'policy',
        arm='panda',
        camera_topics='[/front/image, /wrist/image]',
        gripper_joints='[finger]',
        backend='eager',
        camera_silence_timeout=1.0,
        # A machine that is busy with other things is none of the situations.
        streams__max_skew=0.4,
    )
    bench = Bench(watcher, FakeArm(watcher), node)
    said = watcher.collect(DiagnosticArray, '/diagnostics', ALL)

    def first():
        return said[-1].status[0].message if said else ''

    wrong = {}
    bench.arm.say('Lift the cup.')
    watcher.until(lambda: first() == 'active', node)
    for name, (act, expected) in SITUATIONS.items():
        act(bench, True)
        try:
            watcher.until(lambda expected=expected: re.search(expected, first()), node, 30.0)
        except AssertionError:
            wrong[name] = first()
        if r'\d' in expected and name not in wrong and 'stamped 7' not in (told := first()):
            # A number that stands still is none of now.
            watcher.until(lambda told=told: first() != told, node, 30.0)
        act(bench, False)
        watcher.until(lambda expected=expected: not re.search(expected, first()), node, 60.0)
    assert not wrong
    watcher.until(lambda: first() == 'active', node)
    assert node.end() == 0
    assert 'Traceback' not in node.text


def test_a_simulated_clock_that_does_not_run_is_the_first_thing_to_be_told(
    start_node, tmp_path, watcher
):
    from diagnostic_msgs.msg import DiagnosticArray
    from ros_watcher import ALL

    save_checkpoint(tiny_policy(), tmp_path / 'policy', training={}, results={})
    node = start_node(
        NODE,
        policy=tmp_path / 'policy',
        arm='panda',
        camera_topics='[/front/image, /wrist/image]',
        gripper_joints='[finger]',
        backend='eager',
        use_sim_time=True,
    )
    said = watcher.collect(DiagnosticArray, '/diagnostics', ALL)
    expected = (
        'use_sim_time is set, and the clock stands still at 0.000 s: /clock is published by nobody'
    )
    watcher.until(lambda: said and said[-1].status[0].message.startswith(expected), node)
    assert node.end() == 0
