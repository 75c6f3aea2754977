# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A running policy -> everything that is wrong with it now; `causes` says what is told first."""

from collections.abc import Callable
from typing import Any

from ..acting.command_loop import LoopView
from ..seeing.stream_health import Fault, Rung
from .causes import OF_FAULT, Cause, Finding, why_stamp
from .controller_watch import ControllerWatch
from .inference_thread import InferenceThread
from .input_topics import InputTopics
from .output_topics import CommandOutput
from .policy_parameters import PolicyParameters

# Simulated time may stand still for so long; another node's command is told of for so long [s].
_STILL, _RIVAL = 1.0, 1.5
# A prediction takes no longer than this by itself [s].
_BUSY = 1.0


class LoopFindings:
    """Looks at the parts of a `PolicyLoop`, once a second, in the ROS thread.

    Every sentence is made when it is asked for, so its numbers are those of now.

    Args:
        node: Whose clock and topics these are.
        parameters: Budgets.
        view: Gives what the last step of the command loop left.
        inference: Predicts.
        inputs: Receive.
        output: Sends.
        steady: Steady time [s].
    """

    def __init__(
        self,
        node: Any,
        parameters: PolicyParameters,
        *,
        view: Callable[[], LoopView],
        inference: InferenceThread,
        inputs: InputTopics,
        output: CommandOutput,
        steady: Callable[[], float],
    ) -> None:
        self._node = node
        self._parameters = parameters
        self._budget = parameters.streams
        self._view = view
        self._inference = inference
        self._inputs = inputs
        self._output = output
        self._steady = steady
        self._controllers = ControllerWatch(node, output.joints)
        self._rivals = ('', float('-inf'))
        self._delivered = steady()
        self._clock = (-1.0, steady())
        self.stopped = False
        """Whether a person stopped the arm."""

    def rivals(self, text: str) -> None:
        """Notes that another node was seen to command the arm."""
        self._rivals = (text, self._steady())

    def destroy(self) -> None:
        """Ends the watch of the controllers."""
        self._controllers.destroy()

    def delivered(self) -> None:
        """Notes that a prediction has come."""
        self._delivered = self._steady()

    def look(self, active: bool) -> list[Finding]:
        """Returns what is wrong, in no order.

        Args:
            active: Whether the arm is commanded.
        """
        found = [Finding(Cause.SILENT, text) for text in self._inputs.silent()]
        unusable = [*self._inputs.states.unusable(), *self._inputs.cameras.shared()]
        found += [Finding(Cause.UNUSABLE, text) for text in unusable]
        found += self._clock_and_stamps()
        why = self._controllers.look(self._steady())
        found += [Finding(Cause.CONTROLLER, text) for text in why]
        if not active:
            return found + self._inputs.cameras.look(self._budget.min_contrast)
        text, time = self._rivals
        if self._steady() - time < _RIVAL:
            found.append(Finding(Cause.RIVAL, text))
        if self.stopped:
            found.append(Finding(Cause.STOPPED, 'Stopped by ~/stop; call ~/resume.'))
        # No hold: nothing moves anyway, and who only watches what would be commanded may.
        for topic in self._output.unheard:
            text = (
                f'{topic} has no subscriber: nobody executes the commands; check the remapping, '
                'that the controller is active, and its QoS.'
            )
            found.append(Finding(Cause.UNHEARD, text))
        return found + self._why_not_following()

    def _clock_and_stamps(self) -> list[Finding]:
        now, steady = self._node.get_clock().now().nanoseconds * 1e-9, self._steady()
        if now != self._clock[0]:
            self._clock = (now, steady)
        simulated = bool(self._node.get_parameter('use_sim_time').value)
        still = steady - self._clock[1]
        if simulated and (now == 0 or still > max(_STILL, self._parameters.clock_patience)):
            publishers = self._node.count_publishers('/clock')
            who = f'has {publishers} publisher(s)' if publishers else 'is published by nobody'
            text = (
                f'use_sim_time is set, and the clock stands still at {now:.3f} s: /clock {who}. '
                'Start the simulation or the recording, or set use_sim_time to false.'
            )
            # Every stamp is wrong by a clock that is.
            return [Finding(Cause.CLOCK, text)]
        texts = [
            why_stamp(sample, now, self._budget, simulated=simulated)
            for sample in self._inputs.arrivals()
        ]
        return [Finding(Cause.STAMPS, text) for text in texts if text]

    def _why_not_following(self) -> list[Finding]:
        view, inference = self._view(), self._inference
        holding = view.holding
        found = []
        if view.doubt:
            found.append(Finding(Cause.DOUBTED, f'{view.doubt} {self._who_measures()}'.rstrip()))
        if text := self._inputs.why_no_instruction():
            found.append(Finding(Cause.INSTRUCTION, text))
        if view.rung is Rung.FOLLOW and not holding:
            return found
        found += self._inputs.cameras.look(self._budget.min_contrast)
        fault = inference.reason_fault
        # Where nobody has said anything, `why_no_instruction` knows more.
        if inference.reason and fault is not None and fault is not Fault.NO_INSTRUCTION:
            found.append(Finding(OF_FAULT[fault], inference.reason))
        if Fault.CHUNK_OVER.value in view.streams.get('arm', ''):
            found += self._why_no_prediction()
        if holding:
            found.append(Finding(Cause.HOLDING, holding))
        return found

    def _who_measures(self) -> str:
        """Whoever says where the arm is, where more than one does."""
        names = self._inputs.states.publishers()
        topics = [name.split(' by ')[0] for name in names]
        twice = [
            name for name, topic in zip(names, topics, strict=True) if topics.count(topic) > 1
        ]
        return f'More than one node says where it is: {", ".join(twice)}.' if twice else ''

    def _why_no_prediction(self) -> list[Finding]:
        busy, silence = self._inference.busy, self._steady() - self._delivered
        if busy > _BUSY:
            text = (
                f'The policy has been computing one prediction for {busy:.1f} s, and the chunk '
                'before it is over; use a faster backend, or a checkpoint of fewer tokens.'
            )
        elif silence > _BUSY:
            text = f'No prediction has come for {silence:.1f} s, and the last chunk is over.'
        else:
            return []
        return [Finding(Cause.POLICY, text)]
