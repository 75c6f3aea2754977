# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the policy node, with units and bounds, and which change while it runs."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..acting.loop_config import LoopConfig
from ..bounds import checked, setting
from ..calibrating.camera_agreement import MAX_DIFFERENCE
from ..calibrating.mount_drift import DriftLimits
from ..encoders.swap_config import SwapConfig
from ..engines.engine import Settings
from ..engines.table import Choice
from ..policy.signature import Precision

GripperKind = Literal['float64_multi_array', 'float64', 'joint_state', 'gripper_command']
GripperState = Literal['joint_state', 'float64']
Output = Literal['', 'twist', 'pose', 'joint_trajectory', 'joint_position_array']


@dataclass(frozen=True)
@checked
class CameraCheckConfig:
    """Whether the cameras are those of the training, and where they were."""

    info_topics: tuple[str, ...] = setting(
        (), 'CameraInfo of each camera; by default camera_info beside its pictures'
    )
    info_timeout: float = setting(
        1.0,
        'Longest wait for CameraInfo at configure; without it a camera is not checked, and one '
        'whose pictures are rectified is refused',
        unit='s',
        minimum=0.0,
        maximum=60.0,
    )
    calibrations: tuple[str, ...] = setting(
        (),
        'camera_info YAML file of each camera, or its name in calibration/; an empty '
        'string for a camera without one',
    )
    max_difference: float = setting(
        MAX_DIFFERENCE,
        'Largest distance between where CameraInfo, and the calibration file or the CameraInfo '
        'of the training, see the same ray',
        unit='px',
        minimum=0.0,
    )
    check_mounts: bool = setting(
        True,
        'Compare the cameras with the reference views of the checkpoint at activate, '
        'and refuse if one has moved',
    )
    picture_timeout: float = setting(
        3.0,
        'Longest wait at activate for the pictures to compare; no older one counts',
        unit='s',
        minimum=0.1,
        maximum=60.0,
    )
    mounts: DriftLimits = field(default_factory=DriftLimits)


@dataclass(frozen=True)
@checked
class PolicyParameters(LoopConfig):
    """Read when the node is configured; see the fields' help."""

    policy: str = setting(
        '',
        'Checkpoint folder, the name of one under models/, or ws://HOST:PORT of a policy server',
    )
    remote_robot: str = setting(
        '',
        'YAML file that says what a policy server is told and what its actions mean; '
        'empty for a server that says so itself, as that of gridsampler serve does',
    )
    encoder: str = setting(
        '',
        'Encoder folder or name; empty for the encoder of the checkpoint. May be set '
        'while the node runs',
    )
    encoder_server: str = setting(
        '', 'Node whose active encoder is followed, like /encoder_server; or empty'
    )
    arm: str = setting('', 'YAML with the limits of the arm, or the name of one in calibration/')
    instruction: str = setting(
        '',
        'Sentence to obey until another one comes on ~/instruction; empty to wait for '
        'one. May be set while the node runs',
    )
    backend: Choice = setting(
        'automatic',
        'Engine that computes the policy; automatic takes the first of tensorrt, '
        'openvino, onnxruntime and eager (PyTorch) that is installed and agrees with PyTorch',
    )
    precision: Precision = setting(
        'fp32', 'Arithmetic of the engine; fewer bits than fp32 are approximations'
    )
    device: str = setting(
        'auto', 'Where the engine computes: auto, cpu, cuda, or cuda:1 for the second GPU'
    )
    torch_threads: int = setting(1, 'CPU threads of one inference', minimum=1, maximum=256)
    camera_topics: tuple[str, ...] = setting(
        (),
        "One topic per camera of the checkpoint, in its order; '/compressed' at the "
        'end means CompressedImage, else Image',
    )
    reliable_streams: bool = setting(
        False, 'Subscribe reliably; then cameras, joints and pose must be published reliably'
    )
    camera_silence_timeout: float = setting(
        2.0, 'Time without a picture before a warning', unit='s', minimum=0.1
    )
    joint_states_topic: str = setting(
        'joint_states',
        'JointState of the arm, whole or in parts, each with some of the joints; '
        'relative to the namespace of the node',
    )
    gripper_state_topic: str = setting(
        '',
        'State of a gripper that is not on joint_states_topic; empty for none; '
        'relative to the namespace of the node',
    )
    gripper_state_type: GripperState = setting(
        'joint_state',
        'Message on gripper_state_topic: joint_state, or float64 with the position of '
        'the one joint of separate_joints (for twists: of gripper_joints); its time is that '
        'of its arrival',
    )
    gripper_command_type: GripperKind = setting(
        'float64_multi_array',
        'Message on ~/gripper_command; gripper_command is that of control_msgs, as '
        'position controllers of grippers take it',
    )
    gripper_max_effort: float = setting(
        0.0, 'max_effort of a GripperCommand; 0 leaves it to the controller', unit='N', minimum=0.0
    )
    joint_names: tuple[str, ...] = setting(
        (),
        'What the robot calls joints of the policy, in states and commands, each like '
        'elbow=elbow_joint; those that are not named are called alike',
    )
    joint_prefix: str = setting('', "Before every joint of the robot, like 'left_'")
    pose_topic: str = setting(
        'end_effector_pose',
        'PoseStamped of the end effector in the base frame of the arm; relative to '
        'the namespace of the node',
    )
    gripper_joints: tuple[str, ...] = setting(
        ('panda_finger_joint1', 'panda_finger_joint2'),
        'Joints whose positions add up to the opening of the gripper [m], or by '
        "scale and offset in the arm's file make it; needed for a checkpoint of twists",
    )
    output: Output = setting('', "Kind of command; empty for what suits the checkpoint's actions")
    separate_joints: tuple[str, ...] = setting(
        (),
        'Commanded joints that another controller owns (a gripper): sent as '
        'Float64MultiArray on ~/gripper_command instead of with the others',
    )
    command_lead: float = setting(
        0.004,
        'How long before its due time a command is computed (at most half a period), so that '
        'computing does not delay it; what arrives meanwhile counts for the next one',
        unit='s',
        minimum=0.0,
    )
    command_niceness: int = setting(
        -10,
        'Niceness of the command thread; below 0 has no effect without the right to '
        'it (CAP_SYS_NICE, or nice in limits.conf)',
        minimum=-20,
        maximum=19,
    )
    watchdog_timeout: float = setting(
        0.2,
        'The watchdog stops the arm when the command thread has been silent for this time and '
        'for two periods',
        unit='s',
        minimum=0.02,
    )
    autostart: bool = setting(True, 'Configure and activate without a lifecycle manager')
    cameras: CameraCheckConfig = field(default_factory=CameraCheckConfig)
    swap: SwapConfig = field(default_factory=SwapConfig)

    @property
    def settings(self) -> Settings:
        """How the engine computes.

        Raises:
            ValueError: There is no such device.
        """
        return Settings(self.precision, self.torch_threads, self.device)


@dataclass(frozen=True)
class LiveParameter:
    """A parameter that may be set while the node is configured.

    Attributes:
        refusal: Returns why it cannot be set, given the values of all parameters that are set
            together with it; empty where it can. Changes nothing.
        take: Does what follows from the new value; called only if nothing was refused.
    """

    refusal: Callable[[Mapping[str, Any]], str]
    take: Callable[[Any], object]


def refusal_of_change(
    values: Mapping[str, Any],
    live: Mapping[str, LiveParameter],
    read_by_configure: Collection[str],
    state: str,
) -> str:
    """Returns why parameters cannot be set together; empty where they can.

    Nothing is changed: whoever sets them hears of a refusal before anything has begun.

    Args:
        values: New value of each parameter.
        live: Parameters that may be set while the node is configured.
        read_by_configure: Names of the parameters that configure reads.
        state: State of the node.
    """
    if state == 'unconfigured':
        return ''
    # What was refused by the one time could go on by the other.
    fixed = ({*read_by_configure, 'use_sim_time'} - live.keys()) & values.keys()
    if fixed:
        return f'{sorted(fixed)} are read by configure; deactivate and clean up the node first.'
    reasons = (each.refusal(values) for name, each in live.items() if name in values)
    return ' '.join(filter(None, reasons))


def take_change(values: Mapping[str, Any], live: Mapping[str, LiveParameter]) -> None:
    """Does what follows from parameters that were set together, in the order of `live`."""
    for name, each in live.items():
        if name in values:
            each.take(values[name])
