# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Random measurements by the million through the command loop -> the worst step that it commands.

    python test/measurement_campaign.py build/measurements --sequences 1000000

goes on where it was ended and prints how far it is. Each sequence has a seed, its number: `--only
NUMBER` runs that one again. An arm follows, stays, is said to be at zero, elsewhere, in degrees,
of another sign, wrapped, in two places at once; stamps are old or ahead; people stop, resume and
say other sentences in between.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from command_bench import JOINTS, PANDA, PERIOD, SO101, TWIST, UPRIGHT, Bench

from ros2_gridsampler.benchmarks.limit_excess import TwistExcess

PLACE = np.array([0.9, -0.7, 0.8, 0.6, -1.0, 0.8])
GRIPS = np.array(SO101.joints.grips)
KINDS = ('joints', 'twist', 'pose')
LIES = (
    'follow',
    'follow late',
    'stay',
    'zeros',
    'set',
    'jump',
    'drift',
    'degrees',
    'other signs',
    'wrapped',
    'two',
)


class Judged(Bench):
    """A bench that notes the worst instead of failing.

    Attributes:
        worst: By how much a command is beyond a limit, as a share of it; 0 where none is.
        steps: Commands that were sent.
    """

    def __init__(self, kind, generator):
        by_joints = kind == 'joints'
        self.kind, self.worst, self.steps = kind, 0.0, 0
        self.lied = False
        hand = PANDA.end_effector
        self.most = (hand.max_speed, hand.max_rotation_rate)
        self.twists = TwistExcess(hand, PANDA.gripper, PERIOD)
        self.twists.begin()
        config = {
            'rest_time': float(generator.choice([0.06, 0.2, 0.5])),
            'accept_zero_state': bool(generator.integers(2)),
        }
        if by_joints:
            super().__init__(JOINTS, SO101, PLACE, **config)
        else:
            values = [*UPRIGHT[:3], 0.04]
            super().__init__(TWIST, PANDA, values, UPRIGHT.copy(), kind == 'pose', **config)

    def restart(self):
        """A person activates the node: commands begin wherever the arm is said to be."""
        super().restart()
        self.sent_at, self.desired = -np.inf, None
        self.twists.begin()

    def step(self):
        command = super().step()
        sends = command is not None and command.sends
        if sends and self.kind == 'joints':
            # What a controller does that goes on from what it wanted last.
            goal, due = command.values, max(command.reach_time, PERIOD)
            # It was switched on here and there, where the arm was.
            switched = self.desired is None or (self.steps % 7 == 0 and not self.lied)
            place = self.values if switched else self.where()
            if switched and self.desired is not None:
                # A jaw is taken to hold something while the arm follows.
                place = np.where(GRIPS, self.where(), place)
            self.note(np.max(np.abs(goal - place) / due / self.fastest) - 1)
            self.desired = (place, goal, self.steady, due)
        if command is not None and self.kind == 'twist':
            self.twists.add(command.values[:6])
            self.note(self.twists.worst.share)
        self.steps += sends
        return command

    def where(self):
        place, goal, begun, due = self.desired
        return place + min((self.steady - begun) / due, 1.0) * (goal - place)

    def check_step(self):
        elapsed, self.sent_at = self.steady - self.sent_at, self.steady
        if len(self.sent) < 2 or not np.isfinite(elapsed) or self.kind == 'twist':
            return
        before, after = self.sent[-2:]
        if self.kind == 'joints':
            self.note(np.max(np.abs(after - before) / elapsed / self.fastest) - 1)
        else:
            turned = 2 * np.arccos(min(abs(before[3:] @ after[3:]), 1.0))
            ways = np.array([np.linalg.norm(after[:3] - before[:3]), turned])
            # The angle between nearly equal quaternions is exact to about 1e-8.
            self.note(np.max((ways - 1e-7) / elapsed / self.most) - 1)

    def note(self, share):
        self.worst = (
            max(self.worst, float(share)) if share > 1e-6 or share != share else self.worst
        )


def spoil(bench, lie, generator, turn):
    """Sets what the driver says next."""
    bench.lied = bench.lied or not lie.startswith(('follow', 'stay')) or bool(bench.age)
    values, other = bench.values, bench.other
    if lie.startswith('follow') and bench.sent:
        late = 1 if lie == 'follow' else 5
        sent = bench.sent[-min(late, len(bench.sent))]
        if bench.kind == 'joints':
            values = np.array(sent)
        elif bench.kind == 'pose':
            values = np.array([*sent[:3], values[3]])
            bench.pose = np.array(sent)
    elif lie == 'zeros':
        values = np.zeros_like(values)
    elif lie == 'set':
        values = other
    elif lie == 'jump':
        values = values + other * generator.normal()
    elif lie == 'drift':
        values = values + np.clip(other, -1, 1) * PERIOD
    elif lie == 'degrees':
        values = np.degrees(bench.truth)
    elif lie == 'other signs':
        values = -bench.truth
    elif lie == 'wrapped':
        values = np.mod(values + 0.05, 2 * np.pi)
    elif lie == 'two':
        values = other if turn % 2 else bench.truth
    bench.values = np.array(values, float)
    if bench.kind != 'joints':
        bench.values[3] = np.clip(bench.values[3], -0.004, 0.084)
        if not lie.startswith('follow'):
            bench.pose = np.array([*bench.values[:3], *bench.pose[3:]])
            if lie in ('set', 'jump') and turn % 5 == 0:
                turned = bench.pose[3:] + generator.normal(size=4)
                bench.pose[3:] = turned / np.linalg.norm(turned)


def sequence(number):
    """Runs one sequence; returns the bench."""
    generator = np.random.default_rng(number)
    bench = Judged(KINDS[number % 3], generator)
    lie, turn = 'follow', 0
    for _ in range(int(generator.integers(2, 5))):
        bench.truth = bench.values.copy()
        wild = generator.choice([0.0, 0.05, 0.5, 3.0, 50.0])
        bench.other = bench.truth + wild * generator.normal(size=bench.truth.shape)
        wanted = generator.normal(size=bench.wanted.shape)
        bench.wanted = np.clip(wanted, -1.5, 1.5)
        if bench.kind != 'joints':
            bench.wanted = 0.3 * bench.wanted
            bench.wanted[6] = abs(bench.wanted[6]) % 0.08
        act = generator.choice(['', '', '', 'pause', 'resume', 'go', 'deny', 'restart'])
        if act in ('go', 'deny'):
            bench.obey('go' if act == 'go' else '')
        elif act:
            getattr(bench, act)()
        bench.age = float(generator.choice([0.0, 0.0, 0.0, 0.03, 0.4, 10.0, -1.0]))

        def move(lie=lie):
            nonlocal turn
            turn += 1
            spoil(bench, lie, generator, turn)

        bench.run(PERIOD * int(generator.integers(2, 18)), move)
        lie = str(generator.choice(LIES))
    return bench


def say(text):
    sys.stdout.write(text + '\n')
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--sequences', type=int, default=1_000_000)
    parser.add_argument('--only', type=int, help='run this one alone and print its worst excess')
    options = parser.parse_args()
    if options.only is not None:
        say(f'sequence {options.only}: worst excess {sequence(options.only).worst:.3g}')
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / 'worst.json'
    state = {'done': 0, 'commands': 0, 'worst': dict.fromkeys(KINDS, 0.0), 'worst_sequence': {}}
    if file.exists():
        state = json.loads(file.read_text())
    begin, first = time.monotonic(), state['done']
    while state['done'] < options.sequences:
        number = state['done']
        bench = sequence(number)
        state['done'] += 1
        state['commands'] += bench.steps
        if not bench.worst <= state['worst'][bench.kind]:
            state['worst'][bench.kind] = bench.worst
            state['worst_sequence'][bench.kind] = number
        if state['done'] % 500 == 0 or state['done'] == options.sequences:
            part = file.with_suffix('.part')
            part.write_text(json.dumps(state, indent=1))
            part.replace(file)
            rate = (state['done'] - first) / (time.monotonic() - begin)
            say(
                f'{state["done"]} of {options.sequences} sequences, {state["commands"]} commands, '
                f'{rate:.1f} a second, worst excess {state["worst"]}'
            )


if __name__ == '__main__':
    main()
