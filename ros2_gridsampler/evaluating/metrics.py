# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The metrics of a report in their order; here are those of the commands.

Those of predictions have files of their own: they are larger, and stand beside baselines.
"""

from collections import deque
from typing import Any, ClassVar

import numpy as np

from ..acting.loop_states import LoopState
from .action_errors import ActionErrors
from .critical_error import CriticalError
from .gripper_events import GripperEvents
from .metric import Metric, Numbers, Report, Row, Setting, some

# Fewer of the commands changed by the filter need no action.
_CHANGED = 0.01
# A smaller share of commands for which the arm stands is a start and an end.
_HELD = 0.05
# Times the operator's jerk.
_ROUGH = 2.0


class Smoothness:
    """Root mean square jerk of a sampled signal, in units of `action_scale` per s^3.

    Args:
        scale: Unit of each entry.
        order: Differences to take: 3 of positions, 2 of velocities.
    """

    def __init__(self, scale: Numbers, order: int) -> None:
        self._scale = scale
        self._order = order
        self._samples: deque[tuple[float, Numbers]] = deque(maxlen=order + 1)
        self._sum, self._count = 0.0, 0

    def add(self, time: float, value: Numbers) -> None:
        """Adds the signal at `time` [s]; a pause or a step back starts anew."""
        if self._samples and not 0 < time - self._samples[-1][0] < 0.5:
            self._samples.clear()
        self._samples.append((time, value / self._scale))
        if len(self._samples) > self._order:
            times = np.array([at for at, _ in self._samples])
            period = (times[-1] - times[0]) / self._order
            values = np.array([value for _, value in self._samples])
            jerk = np.diff(values, self._order, axis=0)[-1] / period**self._order
            self._sum += float((jerk**2).mean())
            self._count += 1

    def cut(self) -> None:
        """Starts anew with the next sample."""
        self._samples.clear()

    def value(self) -> float | None:
        """Returns the root mean square; None where there were too few samples."""
        return float(np.sqrt(self._sum / self._count)) if self._count else None


class Seams(Metric):
    """How far apart two chunks are where one takes over from the other."""

    keys: ClassVar = {
        'seams': 'Their number, and the largest difference of two chunks where the newer one '
        'takes over, in units of the arm.'
    }

    def summary(self) -> dict[str, Any]:
        return {'seams': self.setting.main.summary()['seams']}

    @classmethod
    def rows(cls, report: Report) -> list[Row]:
        jump = report['seams']['jump']
        text = None if jump is None else ' / '.join(f'{jump[k]:.3g}' for k in jump)
        return [Row('jump between two chunks, p50 / p99 / max [u]', text)]


class Jerk(Metric):
    """How jerky the commands are, and the operator's beside them."""

    keys: ClassVar = {
        'jerk': "Of the commands and of the operator's actions, in units of the arm per s^3, and "
        'their ratio.'
    }

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        order = setting.space.means.jerk_order
        self._commanded, self._recorded = (Smoothness(setting.scale, order) for _ in range(2))

    def cut(self) -> None:
        self._commanded.cut()
        self._recorded.cut()

    def command(self, time: float, operator: Numbers, commanded: Numbers | None) -> None:
        self._recorded.add(time, operator)
        if commanded is not None:
            self._commanded.add(time, commanded)

    def summary(self) -> dict[str, Any]:
        """Returns the root mean square of both in units of the arm per s^3, and their ratio."""
        jerk, recorded = self._commanded.value(), self._recorded.value()
        ratio = jerk / recorded if jerk is not None and recorded else None
        return {'jerk': {'commanded': jerk, 'recorded': recorded, 'ratio': ratio}}

    @classmethod
    def rows(cls, report: Report) -> list[Row]:
        ratio = report['jerk']['ratio']
        text = None if ratio is None else f'{ratio:.3g} \u00d7'
        return [Row('jerk of the commands against the operator\u2019s', text)]

    @classmethod
    def findings(cls, report: Report) -> list[str]:
        """Returns whether the commands are much rougher than the operator's."""
        ratio = report['jerk']['ratio']
        if ratio is None or ratio <= _ROUGH:
            return []
        return [
            f'The commands jerk {ratio:.1f} times as much as the operator: blend chunks for '
            'longer, or train for longer.'
        ]


class FilterInterventions(Metric):
    """Which commands the safety filter changed."""

    keys: ClassVar = {
        'filter_interventions': 'Commands that the safety filter changed; also by limit and by '
        'entry of the action.'
    }

    def summary(self) -> dict[str, Any]:
        """Returns counts: of commands, by limit and by entry of the action."""
        return {'filter_interventions': self.setting.main.summary()['filter_interventions']}

    @classmethod
    def rows(cls, report: Report) -> list[Row]:
        return [
            Row(
                'commands changed by the safety filter',
                report['filter_interventions']['commands'],
                column='filtered',
                meaning='commands that the safety filter changed',
            )
        ]

    @classmethod
    def findings(cls, report: Report) -> list[str]:
        """Returns what the filter changes most, where that is not the gripper alone."""
        interventions = report['filter_interventions']
        # A gripper is told to be open or closed and takes its time: nothing is wrong with that.
        entries = {k: v for k, v in interventions['by_entry'].items() if k != 'gripper'}
        changed = min(interventions['commands'], sum(entries.values()))
        commands = next(iter(report['deadlines'].values()))['commands']
        if changed <= _CHANGED * commands:
            return []
        ordered = sorted(entries.items(), key=lambda item: -item[1])
        named = [' of '.join(part for part in name.split(':') if part) for name, _ in ordered]
        beside = 'up to ' if len(entries) < len(interventions['by_entry']) else ''
        return [
            f'The safety filter changes {beside}{changed} of {commands} commands '
            f'({changed / commands:.0%}), most often {some(named)}: see whether the limits of '
            f'{report["arm"]} are right, and whether the recordings keep them.'
        ]


class Deadlines(Metric):
    """What becomes of the commands at each latency."""

    keys: ClassVar = {
        'deadlines': 'For each latency [ms]: commands, `deadline_misses` (commands for which no '
        'chunk said anything any more), `misses_without_frame` (those of them that no engine '
        'could have saved, as no frame had come for so long), frames skipped while the engine was '
        'busy, and the age of the first command after its capture.'
    }

    def summary(self) -> dict[str, Any]:
        """Returns, by latency in ms: commands, misses, skipped frames and ages."""
        return {
            'deadlines': {
                f'{1e3 * latency:g}': {
                    key: value
                    for key, value in replay.summary().items()
                    if key not in ('seams', 'filter_interventions')
                }
                for latency, replay in self.setting.replays.items()
            }
        }

    @classmethod
    def findings(cls, report: Report) -> list[str]:
        """Returns how fast inference has to be, and where no engine would have helped."""
        rows = sorted(report['deadlines'].items(), key=lambda item: float(item[0]))
        found, fine = [], ''
        for latency, row in rows:
            late = row['deadline_misses'] - row['misses_without_frame']
            if late:
                share = f'{late} of {row["commands"]} commands have no action'
                found = [f'At {latency} ms of inference {share}: use a faster engine.']
                if fine:
                    found = [f'Keep inference under {fine} ms: at {latency} ms {share}.']
                break
            fine = latency
        if starved := rows[0][1]['misses_without_frame']:
            share = f'{starved} of {rows[0][1]["commands"]} commands'
            found.append(
                f'For {share} no frame had come for so long that no engine has an action: look at '
                'the gaps of the streams.'
            )
        return found


class Holds(Metric):
    """How long the live node's command loop would have held the arm, and why."""

    keys: ClassVar = {
        'holds': 'Commands by the state of the loop, and how often each fault of a stream began '
        'and each step on the ladder was made.'
    }

    def summary(self) -> dict[str, Any]:
        """Returns commands by the state of the loop, and how often each fault began."""
        loop = self.setting.loop
        return {
            'holds': {
                'commands': {state.name: loop.states[state] for state in LoopState},
                'began': dict(sorted(loop.counts.items())),
            }
        }

    @classmethod
    def rows(cls, report: Report) -> list[Row]:
        """Returns the share of commands that followed the policy."""
        commands = report['holds']['commands']
        followed, all_of_them = commands[LoopState.FOLLOWING.name], sum(commands.values())
        text = f'{followed} of {all_of_them}' if all_of_them else None
        return [Row('commands that follow the policy, by the live command loop', text)]

    @classmethod
    def findings(cls, report: Report) -> list[str]:
        """Returns why the arm would have held, where that is more than its start."""
        holds = report['holds']
        stood = sum(v for k, v in holds['commands'].items() if k != LoopState.FOLLOWING.name)
        commands = sum(holds['commands'].values())
        faults = {k: v for k, v in holds['began'].items() if ' -> ' not in k}
        if not faults or stood <= _HELD * commands:
            return []
        named = [f'{k} ({v})' for k, v in sorted(faults.items(), key=lambda item: -item[1])]
        return [
            f'The live node would have held the arm for {stood} of {commands} commands '
            f'({stood / commands:.0%}): {some(named)}.'
        ]


METRICS: tuple[type[Metric], ...] = (
    ActionErrors,
    CriticalError,
    GripperEvents,
    Deadlines,
    Holds,
    FilterInterventions,
    Seams,
    Jerk,
)
"""In the order of their findings. To add a metric, write its class and name it here."""
