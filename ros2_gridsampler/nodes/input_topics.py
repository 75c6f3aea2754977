# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Camera, joint, pose and instruction topics -> the buffer of the inference thread."""

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from std_msgs.msg import String

from .camera_topics import CameraTopics
from .causes import Arrival
from .rclpy_repairs import subscribe_to_all
from .silent_topics import Listener
from .state_topics import MeasuredArm, StateTopics
from .topics import LATCHED, STATE


class InputTopics:
    """The subscriptions of the policy node.

    Args:
        listener: What they need.
        arm: What has to be known of the arm.
        on_instruction: Called with every new, usable sentence, or '' for an unusable one.
        check_instruction: See `DeployedPolicy`.
    """

    def __init__(
        self,
        listener: Listener,
        arm: MeasuredArm,
        *,
        on_instruction: Callable[[str], None],
        check_instruction: Callable[[str], object],
    ) -> None:
        self._node = listener.node
        self._inference = listener.inference
        self._problems = listener.problems
        self._on_instruction = on_instruction
        self._check_instruction = check_instruction
        self._instruction = self._refused = ''
        self._heard = False
        self._reads_instruction = listener.config.uses_instruction
        self._destroyed = False
        self._subscriptions: list[Any] = []
        self.cameras = CameraTopics(listener)
        try:
            self.states = StateTopics(listener, arm)
        except Exception:
            self.cameras.destroy()
            raise
        try:
            # What was said before is heard of whoever latches it, what is said now of everybody:
            # `ros2 topic pub` does not latch. Heard twice, the same sentence changes nothing.
            if self._reads_instruction:
                self._subscriptions += [self._listen(qos) for qos in (LATCHED, STATE)]
        except Exception:
            self.destroy()
            raise

    def destroy(self) -> None:
        """Takes the subscriptions back."""
        self._destroyed = True
        self.cameras.destroy()
        self.states.destroy()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def silent(self) -> list[str]:
        """Returns what is wrong with each topic from which nothing has come for a while."""
        return [*self.cameras.silent(), *self.states.silent()]

    def arrivals(self) -> list[Arrival]:
        """Returns the newest stamp of each stream, and how long ago it came."""
        return [*self.cameras.arrivals(), *self.states.arrivals()]

    def why_no_instruction(self) -> str:
        """Returns why no sentence is obeyed and what to do; '' where one is, or none is read."""
        if self._instruction or not self._reads_instruction:
            return ''
        if self._refused:
            return f'{self._refused} The arm holds until a usable instruction comes.'
        topic = self._subscriptions[0].topic_name
        publishers = self._node.get_publishers_info_by_topic(topic)
        if not publishers:
            return (
                f'No instruction has come on {topic}, which nobody publishes; publish a String '
                'there, or set the parameter instruction.'
            )
        profiles = [info.qos_profile for info in publishers]
        if all(each.reliability == ReliabilityPolicy.BEST_EFFORT for each in profiles):
            return (
                f'No instruction can come on {topic}, which is published best effort; publish it '
                'reliably, or set the parameter instruction.'
            )
        if not any(each.durability == DurabilityPolicy.TRANSIENT_LOCAL for each in profiles):
            return (
                f'No instruction has come on {topic} since this node listens. Its publisher does '
                'not latch (transient_local), so what it said before is lost: say it again.'
            )
        if self._heard:
            return f'The instruction was withdrawn on {topic}; say another sentence there.'
        return f'No instruction has come on {topic} yet, which somebody publishes; say a sentence.'

    def _listen(self, qos: Any) -> Any:
        # That a latched subscription does not fit a volatile publisher is no fault: the other one
        # hears it.
        silent = SubscriptionEventCallbacks(use_default_callbacks=qos is not LATCHED)
        return subscribe_to_all(
            self._node,
            String,
            '~/instruction',
            self._hear,
            qos,
            lambda: not self._destroyed,
            event_callbacks=silent,
        )

    def refusal_of_instruction(self, sentence: str) -> str:
        """Returns why a sentence cannot be obeyed; empty where it can."""
        sentence = sentence.strip()
        if not sentence:
            return ''
        if not self._reads_instruction:
            return 'This policy reads no instruction; leave it empty.'
        try:
            self._check_instruction(sentence)
        except ValueError as error:
            return str(error)
        return ''

    def instruct(self, sentence: str) -> None:
        """Obeys a sentence that is not refused, from now on; '' holds the arm."""
        self._obey(sentence.strip())

    def _hear(self, message: Any) -> None:
        self._heard = True
        if refusal := self.refusal_of_instruction(message.data):
            # Whoever sent it does not want the old instruction any more.
            self._problems.report(
                'instruction', f'{refusal} The arm holds until a usable one comes.'
            )
            self._obey('', refusal)
        else:
            self.instruct(message.data)

    def _obey(self, sentence: str, refused: str = '') -> None:
        self._instruction, self._refused = sentence, refused
        # First, so that no prediction for the new sentence goes on from a chunk for the old one.
        self._on_instruction(sentence)
        self._inference.set_instruction(sentence)
