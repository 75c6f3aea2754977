# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the policy node, with units and bounds; `ros2 param describe` shows them."""

from dataclasses import dataclass, field
from typing import Literal

from ..acting.chunk_schedule import ScheduleConfig
from ..bounds import checked
from ..calibrating.camera_agreement import MAX_DIFFERENCE
from ..calibrating.mount_drift import DriftLimits
from ..encoders.swap_config import SwapConfig
from ..engines.engine import Settings
from ..engines.table import Choice
from ..policy.signature import Precision
from ..seeing.stream_budget import StreamBudget
from ..seeing.stream_health import LadderConfig

Output = Literal['', 'twist', 'pose', 'joint_trajectory', 'joint_position_array']


@dataclass(frozen=True)
@checked
class CameraCheckConfig:
    """Whether the cameras are those of the training, and where they were."""

    info_topics: tuple[str, ...] = field(
        default=(),
        metadata={'help': 'CameraInfo of each camera; by default camera_info beside its pictures'},
    )
    info_timeout: float = field(
        default=1.0,
        metadata={
            'help': 'So long configure waits for CameraInfo; without it a camera is not checked, '
            'and one whose pictures are rectified is refused',
            'unit': 's',
            'minimum': 0.0,
            'maximum': 60.0,
        },
    )
    calibrations: tuple[str, ...] = field(
        default=(),
        metadata={
            'help': 'camera_info YAML file of each camera, or its name in calibration/; an empty '
            'string for a camera without one'
        },
    )
    max_difference: float = field(
        default=MAX_DIFFERENCE,
        metadata={
            'help': 'So far apart may CameraInfo and calibration file, or the CameraInfo of the '
            'training, see the same ray',
            'unit': 'px',
            'minimum': 0.0,
        },
    )
    check_mounts: bool = field(
        default=True,
        metadata={
            'help': 'Compare the cameras with the reference views of the checkpoint at activate, '
            'and refuse if one has moved'
        },
    )
    picture_timeout: float = field(
        default=3.0,
        metadata={
            'help': 'So long activate waits for the pictures to compare; no older one counts',
            'unit': 's',
            'minimum': 0.1,
            'maximum': 60.0,
        },
    )
    mounts: DriftLimits = field(default_factory=DriftLimits)


@dataclass(frozen=True)
@checked
class PolicyParameters:
    """Read when the node is configured; see the fields' help."""

    policy: str = field(
        default='', metadata={'help': 'Checkpoint folder, or the name of one under models/'}
    )
    encoder: str = field(
        default='',
        metadata={
            'help': 'Encoder folder or name; empty for the encoder of the checkpoint. May be set '
            'while the node runs'
        },
    )
    encoder_server: str = field(
        default='',
        metadata={'help': 'Node whose active encoder is followed, like /encoder_server; or empty'},
    )
    arm: str = field(
        default='',
        metadata={'help': 'YAML with the limits of the arm, or the name of one in calibration/'},
    )
    backend: Choice = field(
        default='automatic',
        metadata={
            'help': 'Engine that computes the policy; automatic takes the first of tensorrt, '
            'openvino, onnxruntime and eager (PyTorch) that is installed and agrees with PyTorch'
        },
    )
    precision: Precision = field(
        default='fp32',
        metadata={'help': 'Arithmetic of the engine; fewer bits than fp32 are approximations'},
    )
    device: str = field(
        default='auto',
        metadata={
            'help': 'Where the engine computes: auto, cpu, cuda, or cuda:1 for the second GPU'
        },
    )
    torch_threads: int = field(
        default=1,
        metadata={'help': 'CPU threads of one inference', 'minimum': 1, 'maximum': 256},
    )
    camera_topics: tuple[str, ...] = field(
        default=(),
        metadata={
            'help': "One topic per camera of the checkpoint, in its order; '/compressed' at the "
            'end means CompressedImage, else Image'
        },
    )
    reliable_streams: bool = field(
        default=False,
        metadata={
            'help': 'Subscribe reliably; then cameras, joints and pose must be published reliably'
        },
    )
    camera_silence_timeout: float = field(
        default=2.0,
        metadata={'help': 'Without a picture for so long: warn', 'unit': 's', 'minimum': 0.1},
    )
    joint_states_topic: str = field(
        default='/joint_states', metadata={'help': 'JointState with all joints of the checkpoint'}
    )
    pose_topic: str = field(
        default='/end_effector_pose',
        metadata={'help': 'PoseStamped of the end effector in the base frame of the arm'},
    )
    gripper_joints: tuple[str, ...] = field(
        default=('panda_finger_joint1', 'panda_finger_joint2'),
        metadata={
            'help': 'Joints whose positions add up to the opening of the gripper [m], or by '
            "scale and offset in the arm's file make it; needed for a checkpoint of twists",
        },
    )
    output: Output = field(
        default='',
        metadata={'help': "Kind of command; empty for what suits the checkpoint's actions"},
    )
    separate_joints: tuple[str, ...] = field(
        default=(),
        metadata={
            'help': 'Commanded joints that another controller owns (a gripper): sent as '
            'Float64MultiArray on ~/gripper_command instead of with the others'
        },
    )
    max_lead: float = field(
        default=0.1,
        metadata={
            'help': 'How far a commanded pose may be ahead of the arm before it waits',
            'unit': 'm',
            'minimum': 0.001,
        },
    )
    max_lead_angle: float = field(
        default=0.5,
        metadata={
            'help': 'The same for its orientation',
            'unit': 'rad',
            'minimum': 0.01,
        },
    )
    max_joint_lead: float = field(
        default=0.5,
        metadata={
            'help': 'The same for each commanded joint, but for those that hold things (grips in '
            "the arm's file)",
            'unit': 'rad, m',
            'minimum': 0.01,
        },
    )
    check_following: bool = field(
        default=True,
        metadata={
            'help': 'Hold an arm that does not follow or was moved. False for a recording, whose '
            'arm obeys nobody; refused without use_sim_time'
        },
    )
    command_rate: float = field(
        default=50.0,
        metadata={'help': 'Commands per second', 'unit': 'Hz', 'minimum': 1.0, 'maximum': 1000.0},
    )
    stop_time: float = field(
        default=5.0,
        metadata={
            'help': 'Longest deceleration before the node lets go',
            'unit': 's',
            'minimum': 0.1,
        },
    )
    command_lead: float = field(
        default=0.004,
        metadata={
            'help': 'So long before a command is due it is begun, at most half a period, so that '
            'what making it takes does not shift it; what comes in between waits for the next',
            'unit': 's',
            'minimum': 0.0,
        },
    )
    command_niceness: int = field(
        default=-10,
        metadata={
            'help': 'Niceness of the command thread; below 0 has no effect without the right to '
            'it (CAP_SYS_NICE, or nice in limits.conf)',
            'minimum': -20,
            'maximum': 19,
        },
    )
    watchdog_timeout: float = field(
        default=0.2,
        metadata={
            'help': 'The command thread is silent for so long, and for two periods: the watchdog '
            'stops the arm',
            'unit': 's',
            'minimum': 0.02,
        },
    )
    max_clock_jump: float = field(
        default=1.0,
        metadata={
            'help': 'How far the clock may go ahead of a steady one between two commands',
            'unit': 's',
            'minimum': 0.01,
        },
    )
    clock_patience: float = field(
        default=0.5,
        metadata={
            'help': 'So long may simulated time stand still before the arm is stopped',
            'unit': 's',
            'minimum': 0.01,
        },
    )
    max_tracking_error: float = field(
        default=0.05,
        metadata={
            'help': 'An arm that stands farther than this from what a hold commands was moved, or '
            'kept from moving: commands begin where it is. More than it hangs by its weight',
            'unit': 'rad, m',
            'minimum': 0.005,
        },
    )
    rest_time: float = field(
        default=0.5,
        metadata={
            'help': 'So long an arm that was commanded to rest, and seems to, has to do so until '
            'it is believed to stand',
            'unit': 's',
            'minimum': 0.0,
        },
    )
    accept_zero_state: bool = field(
        default=False,
        metadata={
            'help': 'Believe a first state of the arm in which every joint is exactly 0, which '
            'drivers say that have no arm yet. For simulated arms that begin there'
        },
    )
    max_excess: float = field(
        default=1.0,
        metadata={
            'help': 'A prediction beyond the limits by more than this share of their span is '
            'refused; what is nearer is brought back',
            'minimum': 0.0,
        },
    )
    autostart: bool = field(
        default=True,
        metadata={'help': 'Configure and activate without a lifecycle manager'},
    )
    cameras: CameraCheckConfig = field(default_factory=CameraCheckConfig)
    streams: StreamBudget = field(default_factory=StreamBudget)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    ladder: LadderConfig = field(default_factory=LadderConfig)
    swap: SwapConfig = field(default_factory=SwapConfig)

    @property
    def settings(self) -> Settings:
        """How the engine computes.

        Raises:
            ValueError: There is no such device.
        """
        return Settings(self.precision, self.torch_threads, self.device)
