# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Swaps while an arm is driven, seen from another process: nothing but good commands."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from policies import tiny_policy
from test_encoder_swap import keep_encoder

from ros2_gridsampler.encoders.encoder_checkpoint import ENCODER_WEIGHTS
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.policy.encoder import Encoder
from ros2_gridsampler.policy.policy import Policy

TWIST = '/policy_node/twist_command'
PERIOD = 0.02
# What gives way to all others may take long on a busy machine [s].
SETTLED = 900.0
# Requests to swap; what is published has 50.
SWAPS = int(os.environ.get('GRIDSAMPLER_SWAPS', '20'))
# Commands without a swap before every one, at least.
QUIET = 40
PARAMETERS = {
    'arm': 'panda',
    'camera_topics': '[/front/image, /wrist/image]',
    'gripper_joints': '[finger]',
    'backend': 'eager',
    'swap__allow_unvalidated': True,
    'swap__shadow_observations': 4,
    # The policy hardly depends on what it sees; a stranger is off by much more than this.
    'swap__max_deviation': 0.01,
    'swap__trial_time': 0.2,
    'swap__trial_commands': 10,
    # The machine of a test is busy: a latency says nothing there.
    'swap__max_latency_ratio': 1000.0,
    'swap__max_latency': 100.0,
    # Nor does a command thread that waits for the processor: what is judged is the gaps.
    'watchdog_timeout': 2.0,
    'streams__max_age': 2.0,
    'streams__max_skew': 1.0,
}


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """A policy that goes up at about 0.1 m/s, and encoders for it, good and bad."""
    root = tmp_path_factory.mktemp('swaps')
    # A chunk of two seconds outlasts the stalls of a busy machine; what is judged is the swaps.
    torch.manual_seed(0)
    policy = Policy(replace(tiny_policy(sample_after=3).config, steps=40)).eval()
    with torch.no_grad():
        policy.action_head.units.mean[2] = 0.1
        policy.action_head.units.scale[:] = 0.02
    save_checkpoint(policy, root / 'policy', training={}, results={})
    config = policy.config.encoder

    def keep(name, change=lambda encoder: None, changed=config):
        torch.manual_seed(len(name))
        encoder = Encoder(changed)
        if changed == config:
            encoder.load_state_dict(policy.encoder.state_dict())
        with torch.no_grad():
            change(encoder)
        keep_encoder(encoder.eval(), root / name)

    def shake(encoder):
        for parameter in encoder.parameters():
            parameter.add_(1e-3 * torch.randn_like(parameter))

    def scramble(encoder):
        for parameter in encoder.parameters():
            parameter.copy_(torch.randn_like(parameter))

    keep('good')
    keep('better', shake)
    keep('stranger', scramble)
    keep('flipped')
    keep('nan', lambda encoder: encoder.norm.weight.fill_(float('nan')))
    keep('wide', changed=replace(config, width=64))
    weights = root / 'flipped' / ENCODER_WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-100] ^= 1
    weights.write_bytes(data)
    return root


@pytest.fixture
def arm(watcher):
    from ros_watcher import FakeArm

    return FakeArm(watcher)


@pytest.fixture
def twists(watcher):
    """Stamp [s] and twist of every command."""
    from geometry_msgs.msg import TwistStamped
    from ros_watcher import ALL

    from ros2_gridsampler.acting.command_message import read_twist
    from ros2_gridsampler.seeing.camera_message import stamp_seconds

    seen = []
    watcher.node.create_subscription(
        TwistStamped,
        TWIST,
        lambda m: seen.append((stamp_seconds(m.header.stamp), read_twist(m, 'panda_link0'))),
        ALL,
    )
    return seen


class Swaps:
    """Asks a node for encoders and hears what came of it."""

    def __init__(self, watcher, node):
        from std_msgs.msg import String

        from ros2_gridsampler.nodes.topics import LATCHED

        self.watcher, self.node = watcher, node
        self.said = watcher.collect(String, '/policy_node/encoder', LATCHED)

    @property
    def about(self):
        return json.loads(self.said[-1].data) if self.said else {}

    def set(self, folder):
        """Whether the parameter was taken, and why not."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        message = Parameter('encoder', value=str(folder)).to_parameter_msg()
        request = SetParameters.Request(parameters=[message])
        service = '/policy_node/set_parameters'
        result = self.watcher.call(SetParameters, service, request, self.node).results[0]
        return result.successful, result.reason

    def set_together(self, **values):
        """Whether all parameters were taken, and why none was."""
        from rcl_interfaces.srv import SetParametersAtomically
        from rclpy.parameter import Parameter

        messages = [
            Parameter(name.replace('__', '.'), value=value).to_parameter_msg()
            for name, value in values.items()
        ]
        request = SetParametersAtomically.Request(parameters=messages)
        service = '/policy_node/set_parameters_atomically'
        answer = self.watcher.call(SetParametersAtomically, service, request, self.node)
        return answer.result.successful, answer.result.reason

    def settle(self, name):
        """What came of a wish, when it is known."""
        self.watcher.until(
            lambda: (
                self.about.get('tried') == str(name)
                and self.about['state'] == 'idle'
                and self.about['outcome']
            ),
            self.node,
            SETTLED,
        )
        return self.about

    def parameter(self):
        from rcl_interfaces.srv import GetParameters

        service = '/policy_node/get_parameters'
        request = GetParameters.Request(names=['encoder'])
        answer = self.watcher.call(GetParameters, service, request, self.node)
        return answer.values[0].string_value


def moves(twists):
    return len(twists) > 3 and all(twist[2] > 0.05 for _, twist in twists[-3:])


class Gaps:
    """Between the stamps of neighbouring commands [periods], by what went on meanwhile."""

    def __init__(self, twists):
        self.twists = twists
        self.found = {'quiet': [], 'swaps': []}
        self.seen = len(twists)

    def end(self, what):
        """Since the last end it was that."""
        stamps = [stamp for stamp, _ in self.twists[self.seen - 1 :]]
        self.found[what] += list(np.diff(stamps) / PERIOD)
        self.seen = len(self.twists)

    def largest(self, what):
        """In descending order."""
        return sorted(self.found[what], reverse=True)

    def figures(self):
        return {
            f'gap {name}, {what}': round(float(f(gaps)), 2)
            for what, gaps in self.found.items()
            for name, f in STATISTICS.items()
        } | {f'commands, {what}': len(gaps) for what, gaps in self.found.items()}


def test_an_encoder_is_swapped_in_at_launch_or_refused_with_what_would_fit(
    start_node, folders, arm, watcher, twists
):
    module = 'ros2_gridsampler.nodes.policy_node'
    remap = ('-r', '~/instruction:=/instruction')
    parameters = {**PARAMETERS, 'policy': folders / 'policy'}
    refused = start_node(module, *remap, **parameters, encoder=folders / 'wide')
    watcher.until(lambda: 'Cannot configure' in refused.text, refused)
    assert 'width is 64 instead of 32' in refused.text
    assert 'No encoder that is here would fit.' in refused.text
    # A node that cannot configure itself ends, and says so by its exit code.
    assert refused.wait() == 1
    strict = {**parameters, 'swap__allow_unvalidated': False}
    unknown = start_node(module, *remap, **strict, encoder=folders / 'stranger')
    watcher.until(lambda: 'was never measured with this policy' in unknown.text, unknown)
    assert unknown.wait() == 1
    node = start_node(module, *remap, **parameters, encoder=folders / 'better')
    swaps = Swaps(watcher, node)
    arm.say('Lift the cup.')
    watcher.until(lambda: moves(twists) and swaps.about, node)
    assert swaps.about['encoder'] == str(folders / 'better')
    assert node.end() == 0


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(('backend', 'wanted'), [('eager', SWAPS), ('openvino', 6)])
def test_swaps_good_and_bad_are_invisible_in_the_commands(
    start_node, folders, arm, watcher, twists, backend, wanted
):
    pytest.importorskip(backend if backend != 'eager' else 'torch')
    from diagnostic_msgs.msg import DiagnosticArray
    from std_srvs.srv import Trigger

    from ros2_gridsampler.acting.arm_limits import load_arm
    from ros2_gridsampler.files import find
    from ros2_gridsampler.nodes.topics import STATE

    reports = watcher.collect(DiagnosticArray, '/diagnostics', STATE)

    def value(part, key):
        found = {pair.key: pair.value for pair in reports[-1].status[part].values}
        return int(found[key])

    node = start_node(
        'ros2_gridsampler.nodes.policy_node',
        *('-r', '~/instruction:=/instruction'),
        **{**PARAMETERS, 'backend': backend},
        policy=folders / 'policy',
    )
    swaps = Swaps(watcher, node)
    arm.say('Lift the cup.')
    watcher.until(lambda: moves(twists) and swaps.about and reports, node)
    begin, gaps, quiet = len(twists), Gaps(twists), QUIET
    outcomes = []
    wishes = ('good', 'wide', 'better', 'stranger', 'nan', 'good', 'flipped', '', 'stranger')
    for number in range(wanted):
        # Between swaps, for as long as the last one took: the machine is as busy then as now.
        watcher.until(lambda end=gaps.seen + quiet: len(twists) >= end, node)
        gaps.end('quiet')
        name = wishes[number % len(wishes)]
        folder = folders / name if name else ''
        before = swaps.about['encoder']
        taken, reason = swaps.set(folder)
        if not taken:
            assert name in ('wide', 'nan')
            assert 'does not fit' in reason or 'lacks fields' in reason
            gaps.end('swaps')
            outcomes.append((name, 'refused'))
            continue
        about = swaps.settle(folder or 'own')
        outcomes.append((name, about['outcome']))
        good = name in ('good', 'better', '')
        assert about['outcome'] == ('accepted' if good else 'refused'), about
        assert about['encoder'] == (str(folder or 'own') if good else before)
        if number % 10 == 9 and about['encoder before'] != 'none':
            answer = watcher.call(Trigger, '/policy_node/rollback', Trigger.Request(), node)
            assert answer.success, answer.message
            watcher.until(lambda: swaps.about['outcome'] == 'rolled back', node)
            outcomes.append((name, 'rolled back'))
        quiet = max(len(twists) - gaps.seen, QUIET)
        gaps.end('swaps')
    figures = {
        'swaps': outcomes.count(('good', 'accepted')) + outcomes.count(('better', 'accepted')),
        'refused': sum(outcome == 'refused' for _, outcome in outcomes),
        'rolled back': sum(outcome == 'rolled back' for _, outcome in outcomes),
        **gaps.figures(),
    }
    print(json.dumps(figures))  # noqa: T201 - the figures of the documentation
    refused = watcher.call(Trigger, '/policy_node/rollback', Trigger.Request(), node)
    refused = watcher.call(Trigger, '/policy_node/rollback', Trigger.Request(), node)
    assert not refused.success
    assert 'no encoder to go back to' in refused.message
    count, heard = len(reports), len(twists)
    watcher.until(lambda: len(reports) > count + 1, node)
    # Every command that the node says it sent before was heard here, and none was a hold.
    assert value(0, 'commands') >= heard
    assert value(0, 'commands') <= len(twists) + 1
    slow = sum(twist[2] <= 0.05 for _, twist in twists[begin:])
    assert not slow, f'{slow} commands were holds:\n{node.text}'
    limits = load_arm(find('calibration', 'panda', '.yaml')).end_effector
    changes = np.diff([twist[:3] for _, twist in twists[begin:]], axis=0)
    assert np.linalg.norm(changes, axis=1).max() <= limits.max_acceleration * PERIOD + 1e-9
    assert 'Traceback' not in node.text
    # Two gaps of a run may be another program's doing, whenever they come.
    assert gaps.largest('swaps')[2] <= 3 * gaps.largest('quiet')[0], figures
    assert node.end() == 0


STATISTICS = {
    'p50': lambda x: np.percentile(x, 50),
    'p99': lambda x: np.percentile(x, 99),
    'max': np.max,
}


def test_an_encoder_and_the_leave_to_try_it_are_set_together_or_not_at_all(
    start_node, folders, arm, watcher, twists
):
    node = start_node(
        'ros2_gridsampler.nodes.policy_node',
        *('-r', '~/instruction:=/instruction'),
        **{**PARAMETERS, 'swap__allow_unvalidated': False},
        policy=folders / 'policy',
    )
    swaps = Swaps(watcher, node)
    arm.say('Lift the cup.')
    watcher.until(lambda: moves(twists) and swaps.about, node)
    better = str(folders / 'better')
    taken, reason = swaps.set_together(
        encoder=better, swap__allow_unvalidated=True, instruction='lift ' * 21
    )
    assert not taken
    assert 'has 21 words' in reason
    taken, reason = swaps.set_together(encoder=better)
    assert not taken
    assert 'was never measured with this policy' in reason
    assert (swaps.about['tried'], swaps.parameter()) == ('', '')
    assert swaps.set_together(encoder=better, swap__allow_unvalidated=True) == (True, '')
    assert swaps.settle(better)['outcome'] == 'accepted'
    assert swaps.parameter() == better
    assert node.end() == 0


def test_an_encoder_that_fails_on_trial_is_rolled_back_by_itself(
    start_node, folders, arm, watcher, twists
):
    from std_msgs.msg import String

    from ros2_gridsampler.nodes.topics import LATCHED

    fault = watcher.node.create_publisher(String, '/fault_bench/model', LATCHED)
    node = start_node(
        'ros2_gridsampler.benchmarks.exercised_policy_node',
        *('-r', '~/instruction:=/instruction'),
        **{**PARAMETERS, 'swap__trial_time': 60.0},
        policy=folders / 'policy',
    )
    swaps = Swaps(watcher, node)
    arm.say('Lift the cup.')
    watcher.until(lambda: len(twists) > 50 and swaps.about, node)
    assert swaps.set(folders / 'good') == (True, '')
    watcher.until(lambda: swaps.about['state'] == 'trial', node)
    assert swaps.about['encoder'] == str(folders / 'good')
    # Only the engine that was made last obeys: the one on trial.
    fault.publish(String(data='nan'))
    about = swaps.settle(folders / 'good')
    assert about['outcome'] == 'rolled back'
    assert 'failed' in about['reason']
    assert about['encoder'] == 'own'
    watcher.until(lambda: swaps.parameter() == '', node)
    count = len(twists)
    watcher.until(lambda: len(twists) > count + 50, node)
    assert 'Traceback' not in node.text
    assert node.end() == 0
