# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`/tf` and `/tf_static` -> PoseStamped of the hand, for drivers that publish none."""

import importlib
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from ..acting.arm_limits import load_arm
from ..acting.command_message import fill_pose
from ..bounds import checked, setting
from ..files import find
from ..seeing.newest_transforms import NewestTransforms
from .node_setup import BadParameter, RunnableNode, declare_parameters, read_parameters, run
from .problems import Problems
from .topics import EVERY, STATE

# Several nodes say where fixed frames are, each once.
_FIXED = QoSProfile(
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


@dataclass(frozen=True)
@checked
class PoseFromTfParameters:
    """See the fields' help."""

    arm: str = setting(
        '',
        'YAML with the limits of the arm, or the name of one in calibration/: the '
        'pose is in its base_frame',
        read_only=True,
    )
    frame: str = setting('', 'Frame of the hand, like tool0', read_only=True)
    pose_topic: str = setting(
        'end_effector_pose',
        'PoseStamped that is published; relative to the namespace of the node',
        read_only=True,
    )


class PoseFromTfNode(RunnableNode):
    """Says where the hand is whenever `/tf` does, with the stamp of the joints behind it."""

    def __init__(self, **options: Any) -> None:
        super().__init__('pose_from_tf', **options)
        declare_parameters(self, PoseFromTfParameters)
        self._parameters = parameters = read_parameters(self, PoseFromTfParameters)
        if not parameters.frame:
            raise BadParameter('Set the parameter frame to the frame of the hand, like tool0.')
        try:
            self._base = load_arm(find('calibration', parameters.arm, '.yaml')).base_frame
            kind = importlib.import_module('tf2_msgs.msg').TFMessage
        except ImportError as error:
            raise BadParameter(
                'TF needs tf2_msgs, which comes with a ROS 2 installation (ros-DISTRO-tf2-msgs); '
                'where the policy node runs without one, run this node on the machine of the '
                'driver.'
            ) from error
        except (ValueError, OSError) as error:
            raise BadParameter(f'Parameter arm: {error}') from error
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._problems = Problems(
            self.get_logger(), lambda: float(self._steady.now().nanoseconds * 1e-9)
        )
        self._tree, self._last = NewestTransforms(), 0.0
        self._publisher = self.create_publisher(PoseStamped, parameters.pose_topic, STATE)
        self.create_subscription(kind, '/tf_static', lambda m: self._take(m, fixed=True), _FIXED)
        self.create_subscription(kind, '/tf', lambda m: self._take(m, fixed=False), EVERY)

    def _take(self, message: Any, *, fixed: bool) -> None:
        try:
            self._tree.add(message.transforms, fixed=fixed)
            if fixed:
                return
            time, pose = self._tree.pose(self._base, self._parameters.frame)
        except ValueError as error:
            self._problems.report('tf', str(error))
            return
        if not time:
            # Published all the same, so that whoever reads it says so too.
            self._problems.report(
                'tf',
                f'A transform between {self._base!r} and {self._parameters.frame!r} has the stamp '
                '0, so nobody knows when the hand was there. Let the driver stamp what it '
                'publishes.',
            )
        # Other nodes move other frames.
        if time != self._last or not time:
            self._last = time
            said = PoseStamped()
            fill_pose(said, pose, self._base, time)
            self._publisher.publish(said)


def main() -> int:
    """Runs the node."""
    return run(PoseFromTfNode)


if __name__ == '__main__':
    raise SystemExit(main())
