# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Camera and joint topics -> commands, the way it is often done: the fault campaign must fail it.

Inference in the picture's callback, the newest message of each topic wins, the first action of
the chunk is sent as it is; no age, no limits, no stop. Never run this on an arm.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from ..acting.command_message import (
    fill_float64_multi_array,
    fill_joint_trajectory,
    fill_pose,
    fill_twist,
    integrate_twist,
    read_pose,
)
from ..bounds import checked, setting
from ..nodes.node_setup import RunnableNode, declare_parameters, read_parameters, run
from ..nodes.topics import LATCHED, NEWEST, NEWEST_RELIABLE
from ..policy.checkpoint import load_checkpoint
from ..seeing.calibration import prepare_image
from ..seeing.camera_message import decode_image, stamp_seconds
from ..seeing.observation import Observation
from .exercise import Exercise
from .exercised_policy_node import MODEL_FAULT


@dataclass(frozen=True)
@checked
class NaiveParameters:
    """What it listens to; the names are those of the policy node."""

    policy: str = setting('', 'Checkpoint folder')
    output: str = setting('', 'As of the policy node')
    camera_topics: tuple[str, ...] = setting((), 'One per camera')
    command_rate: float = setting(
        0.0, 'Predict in a timer; 0: in the callback of each picture', unit='Hz', minimum=0.0
    )


class NaiveReferenceNode(RunnableNode):
    """A node that is like the policy node by its topics, and by nothing else."""

    def __init__(self, **options: Any) -> None:
        super().__init__('policy_node', **options)
        declare_parameters(self, NaiveParameters)
        parameters = read_parameters(self, NaiveParameters)
        policy, _ = load_checkpoint(Path(parameters.policy))
        self._config = policy.config
        self._exercise = Exercise(policy, policy.config)
        self._pictures: dict[str, Any] = {}
        self._joints: Any = None
        self._pose: Any = None
        self._instruction = ''
        for name, topic in zip(policy.config.cameras, parameters.camera_topics, strict=True):
            kind = CompressedImage if topic.endswith('/compressed') else Image
            self.create_subscription(kind, topic, self._taker(name), NEWEST)
        self.create_subscription(JointState, '/joint_states', self._take_joints, NEWEST)
        self.create_subscription(PoseStamped, '/end_effector_pose', self._take_pose, NEWEST)
        self.create_subscription(String, '~/instruction', self._take_instruction, LATCHED)
        self.create_subscription(String, MODEL_FAULT, self._take_fault, LATCHED)
        self._by_joints = policy.config.action_space.kind == 'joint_position'
        self._kind = parameters.output
        kind, topic = {
            'joint_position_array': (Float64MultiArray, '~/joint_positions'),
            'pose': (PoseStamped, '~/pose_command'),
            '': (JointTrajectory, '~/joint_trajectory')
            if self._by_joints
            else (TwistStamped, '~/twist_command'),
        }[self._kind]
        self._output = self.create_publisher(kind, topic, NEWEST_RELIABLE)
        self._by_timer = parameters.command_rate > 0
        if self._by_timer:
            self.create_timer(1 / parameters.command_rate, self._act)

    def _taker(self, name: str) -> Any:
        def take(message: Any) -> None:
            self._pictures[name] = message
            if not self._by_timer:
                self._act()

        return take

    def _take_joints(self, message: Any) -> None:
        self._joints = message

    def _take_pose(self, message: Any) -> None:
        self._pose = message

    def _take_instruction(self, message: Any) -> None:
        self._instruction = message.data

    def _take_fault(self, message: Any) -> None:
        self._exercise.fault = message.data

    def _act(self) -> None:
        config = self._config
        ready = len(self._pictures) == len(config.cameras) and self._instruction
        if not ready or self._joints is None or (config.uses_pose and self._pose is None):
            return
        images = {
            name: prepare_image(decode_image(self._pictures[name]), config.preparation)
            for name in config.cameras
        }
        observation = Observation(
            images,
            # By place instead of by name, as it is often done.
            np.array(self._joints.position[: len(config.joints)]),
            read_pose(self._pose) if config.uses_pose else None,
            self._instruction,
            stamp_seconds(self._pictures[config.cameras[0]].header.stamp),
        )
        action = self._exercise.predict(observation).chunk.targets[0]
        message: Any
        now = self.now()
        if self._kind == 'joint_position_array':
            message = Float64MultiArray()
            fill_float64_multi_array(message, action)
        elif self._kind == 'pose':
            message = PoseStamped()
            pose = integrate_twist(read_pose(self._pose), action[:6], config.period)
            fill_pose(message, pose, config.action_space.frame, now)
        elif self._by_joints:
            message = JointTrajectory()
            names, due = config.action_space.names, np.array([config.period])
            fill_joint_trajectory(message, JointTrajectoryPoint, names, action[None], due)
        else:
            message = TwistStamped()
            fill_twist(message, action[:6], config.action_space.frame, now)
        self._output.publish(message)


def main() -> int:
    """Runs the naive reference."""
    return run(NaiveReferenceNode)


if __name__ == '__main__':
    raise SystemExit(main())
