# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Camera, joint, pose and instruction topics -> the buffer of the inference thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from ..acting.arm_limits import GripperLimits
from ..acting.command_message import read_pose
from ..policy.instruction import tokenise
from ..seeing.camera_message import stamp_seconds
from ..seeing.observation import ObservationConfig
from .camera_topics import CameraTopics
from .inference_thread import InferenceThread
from .policy_parameters import PolicyParameters
from .problems import Problems
from .topics import EVERY, LATCHED, STATE


@dataclass(frozen=True)
class Measured:
    """Where the arm is.

    Attributes:
        values: Positions of the joints that were asked for, or the opening of the gripper that
            they make; or the end-effector pose.
        time: Capture time [s].
    """

    values: NDArray[np.float64]
    time: float


class InputTopics:
    """The subscriptions of the policy node.

    Args:
        node: Owns the subscriptions.
        parameters: Topics and QoS.
        config: What the policy reads.
        measured_joints: Joints whose positions the safety filter has to know.
        gripper: Whose joints these are; then the end-effector pose has to be known too.
        base_frame: Frame that poses must be in.
        inference: Gets everything.
        problems: Gets what cannot be used.
        steady: Steady time [s].
        on_instruction: Called with every new, usable sentence, or '' for an unusable one.
    """

    def __init__(
        self,
        node: Any,
        parameters: PolicyParameters,
        *,
        config: ObservationConfig,
        measured_joints: Sequence[str],
        gripper: GripperLimits | None,
        base_frame: str,
        inference: InferenceThread,
        problems: Problems,
        steady: Callable[[], float],
        on_instruction: Callable[[str], None],
    ) -> None:
        """Subscribe."""
        self._node = node
        self._config = config
        self._needed_joints = measured_joints
        self._base_frame = base_frame
        self._inference = inference
        self._problems = problems
        self._on_instruction = on_instruction
        self._gripper = gripper
        self._needs_pose = needs_pose = gripper is not None
        self._destroyed = False
        self._measured_joints: Measured | None = None
        self.measured_pose: Measured | None = None
        self.cameras = CameraTopics(
            node, parameters, config=config, inference=inference, problems=problems, steady=steady
        )
        samples = STATE if parameters.reliable_streams else EVERY
        wanted: list[tuple[Any, str, Callable[[Any], None], Any]] = [
            (String, '~/instruction', self._set_instruction, qos)
            # What was said before is heard of whoever latches it, what is said now of everybody:
            # `ros2 topic pub` does not latch. Heard twice, the same sentence changes nothing.
            for qos in (LATCHED, STATE)
        ]
        if config.joints or measured_joints:
            topic = parameters.joint_states_topic
            wanted.append((JointState, topic, self._add_joints, samples))
        if config.uses_pose or needs_pose:
            wanted.append((PoseStamped, parameters.pose_topic, self._add_pose, samples))
        self._subscriptions: list[Any] = []
        try:
            for each in wanted:
                self._subscriptions.append(self._subscribe(*each))
        except Exception:
            self.destroy()
            raise

    def destroy(self) -> None:
        """Unsubscribe."""
        self._destroyed = True
        self.cameras.destroy()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    @property
    def needed(self) -> str:
        """What `measured` waits for."""
        return 'joint states and end-effector pose' if self._needs_pose else 'joint states'

    def measured(self) -> Measured | None:
        """What the safety filter has to know of the arm; None before all of it has come.

        Joint positions; or the hand's x y z and the gripper's opening [m].
        """
        joints, pose = self._measured_joints, self.measured_pose
        if joints is None or not self._needs_pose:
            return joints
        if pose is None:
            return None
        state = np.array([*pose.values[:3], *joints.values])
        return Measured(state, min(pose.time, joints.time))

    def _subscribe(self, kind: Any, topic: str, add: Callable[[Any], None], qos: Any) -> Any:
        """Take all that waits at once.

        The executor takes one message each time that it looks, which costs more than the message:
        on a busy machine it would fall behind, and the state of the arm with it.
        """

        def take(message: Any) -> None:
            if self._destroyed:  # a message that the executor had seen before
                return
            add(message)
            with subscription.handle:
                for _ in range(qos.depth):
                    taken = subscription.handle.take_message(kind, False)
                    if taken is None:
                        return
                    add(taken[0])

        subscription = self._node.create_subscription(kind, topic, take, qos)
        return subscription

    def _add_joints(self, message: Any) -> None:
        time = stamp_seconds(message.header.stamp)
        try:
            if self._config.joints:
                self._inference.add_joints(message.name, message.position, time)
            if self._needed_joints:
                positions = order_positions(message.name, message.position, self._needed_joints)
                if self._gripper is not None:
                    positions = np.array([self._gripper.opening(positions)])
                self._measured_joints = Measured(positions, time)
        except ValueError as error:
            self._problems.report('joint_states', str(error))

    def _add_pose(self, message: Any) -> None:
        time = stamp_seconds(message.header.stamp)
        try:
            pose = read_pose(message, self._base_frame)
            self._inference.add_pose(pose[:3].tolist(), pose[3:].tolist(), time)
        except ValueError as error:
            self._problems.report('pose', str(error))
        else:
            self.measured_pose = Measured(pose, time)

    def _set_instruction(self, message: Any) -> None:
        sentence = message.data.strip()
        try:
            tokenise(sentence)
        except ValueError as error:
            # Whoever sent it does not want the old instruction any more.
            self._problems.report(
                'instruction', f'{error} The arm holds until a usable one comes.'
            )
            sentence = ''
        # First, so that no prediction for the new sentence goes on from a chunk for the old one.
        self._on_instruction(sentence)
        self._inference.set_instruction(sentence)


def order_positions(
    names: Sequence[str], positions: Sequence[float], wanted: Sequence[str]
) -> NDArray[np.float64]:
    """The positions of `wanted`, in that order.

    Raises:
        ValueError: One is missing, twice there, or not finite.
    """
    if len(names) != len(positions) or len(set(names)) != len(names):
        raise ValueError(
            f'JointState has {len(positions)} positions for the names {list(names)}; every joint '
            'must be there once, with one position.'
        )
    index = {name: i for i, name in enumerate(names)}
    missing = [name for name in wanted if name not in index]
    if missing:
        raise ValueError(
            f'JointState lacks {missing}, which the safety filter must know; it has '
            f'{list(names)}. Set gripper_joints, or publish all joints in one message.'
        )
    ordered = np.array([positions[index[name]] for name in wanted], np.float64)
    if not np.isfinite(ordered).all():
        bad = wanted[int(np.argmin(np.isfinite(ordered)))]
        raise ValueError(f'JointState gives a position that is not finite for joint {bad!r}.')
    return ordered
