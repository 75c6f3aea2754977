# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Commands of any node -> the streams of an arm that follows them, spoiled on demand."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from ..acting.arm_limits import ArmLimits
from ..acting.command_message import fill_joint_trajectory, fill_twist
from ..nodes.rclpy_repairs import take_waiting
from ..nodes.topics import LATCHED, NEWEST_RELIABLE, STATE, ros_time
from ..seeing.camera_message import encode_jpeg
from ..simulation.kinematic_arm import KinematicArm
from .campaign_config import BenchTopics, CommandKind
from .command_judge import CommandJudge
from .controller_models import ForwardController, TrajectoryController
from .exercise import CAMERAS, FINGERS, FRAME, HAND, JOINTS, RESOLUTION, REST
from .exercised_policy_node import MODEL_FAULT
from .exercised_policy_server import ExercisedPolicyServer

_ALL = QoSProfile(depth=5000, reliability=ReliabilityPolicy.RELIABLE)
_STEP, _FRAME = 0.02, 0.05
# Between two updates of a controller [s].
_UPDATE = 0.004

Numbers = NDArray[np.float64]


@dataclass
class Spoil:
    """What is wrong with the streams now; all of it can be together."""

    silent: set[str] = field(default_factory=set)
    """Streams that say nothing, of 'front', 'wrist', 'joints'."""
    delay: dict[str, float] = field(default_factory=dict)
    """Camera -> how late its pictures come [s]."""
    skew_rate: float = 0.0
    """How much older the wrist's pictures get, per second."""
    frozen: set[str] = field(default_factory=set)
    black: set[str] = field(default_factory=set)
    small: set[str] = field(default_factory=set)
    cut: bool = False
    """The compressed picture is cut in the middle."""
    nan_joints: bool = False
    zero_joints: bool = False
    """Every joint says 0, as drivers do that have lost their arm."""
    pose_jump: float = 0.0
    """How far to the side the end effector is said to be [m]."""
    reversed_joints: bool = False
    missing_joint: bool = False
    clock_offset: float = 0.0
    """Shift of all stamps [s]."""
    every_step: list[Callable[[], None]] = field(default_factory=list)
    """Called every 20 ms."""


class FaultBench(Node):
    """Arm, cameras and watcher in one.

    Args:
        kind: Kind of commands, see `CampaignConfig`.
        limits: That no command may exceed.
        period: Between two commands of the node under test [s].
        topics: Topics of the node.
        resolution: Width and height of the pictures [px].
        options: Those of rclpy's Node.
    """

    def __init__(
        self,
        kind: CommandKind,
        limits: ArmLimits,
        period: float,
        topics: BenchTopics,
        resolution: tuple[int, int] = RESOLUTION,
        **options: Any,
    ) -> None:
        super().__init__('fault_bench', **options)
        self.kind, self.topics = kind, topics
        self.arm = KinematicArm(REST, HAND)
        self.spoil = Spoil()
        self.judge = CommandJudge(kind, limits, period, self.arm.lag)
        self._lag = self.arm.lag
        self._controller: TrajectoryController | ForwardController | None = None
        if kind == 'joints':
            # As docs/explanation/safety.md asks for.
            self._controller = TrajectoryController(_UPDATE, from_desired=True)
        elif kind == 'positions':
            self._controller = ForwardController()
        self.server: ExercisedPolicyServer | None = None
        """Whom the node under test asks for its chunks; None where it computes them itself."""
        self.executes = True
        """Whether somebody executes the commands."""
        self.execute()
        self._resolution = resolution
        self._began = time.monotonic()
        self._skewed_since = self._began
        self._late: deque[tuple[float, Any, Any]] = deque()
        self._frozen: dict[str, Any] = {}
        self._outputs = {
            'front': self.create_publisher(Image, topics.cameras[0], STATE),
            'wrist': self.create_publisher(CompressedImage, topics.cameras[1], STATE),
            'joints': self.create_publisher(JointState, topics.joint_states, STATE),
        }
        self._pose = self.create_publisher(PoseStamped, topics.pose, STATE)
        self._sentence = self.create_publisher(String, topics.instruction, LATCHED)
        self._model = self.create_publisher(String, MODEL_FAULT, LATCHED)
        command, name = {
            'joints': (JointTrajectory, topics.joint_command),
            'twist': (TwistStamped, topics.twist_command),
            'positions': (Float64MultiArray, topics.positions_command),
            'pose': (PoseStamped, topics.pose_command),
        }[kind]
        self._inbox = self.create_subscription(command, name, self._ignore, _ALL)
        self._rival_kind, self._rival_topic = command, name
        self._stepped = self._due = self._shown = time.monotonic()
        self.captured = self.now()

    @property
    def by_joints(self) -> bool:
        """Whether joints are commanded, and not the hand."""
        return self._controller is not None

    def execute(self, executes: bool = True) -> None:
        """Switches the controller on, with the arm where it is now, or off."""
        self.executes = executes
        if self._controller is not None and executes:
            # A driver that switches to a controller sets its commands to where the arm is.
            self._controller.command = None
            self._controller.activate(self.arm.joints)
        elif self._controller is not None:
            self._controller.deactivate()
        if executes:
            self.judge.activate(self.arm)

    def push(self, way: Numbers) -> None:
        """Moves the arm as by hand: joints [rad], or for commands of the hand that [m]."""
        if self._controller is None:
            self.arm.move_hand(self.arm.position + way)
        else:
            self.arm.move(self.arm.joints + way)

    def be_slow(self, times: float) -> None:
        """An arm with a time constant of so many times its own; infinite: it does not move."""
        self.arm.lag = times * self._lag

    def say(self, sentence: str) -> None:
        """Tells the node what to do."""
        self._sentence.publish(String(data=sentence))

    def spoil_model(self, fault: str) -> None:
        """See `Exercise.fault` and `ExercisedPolicyServer.spoil`; other nodes do not listen."""
        self._model.publish(String(data=fault))
        if self.server is not None:
            self.server.spoil(fault)

    def begin_skew(self) -> None:
        """The skew grows from now on."""
        self._skewed_since = time.monotonic()

    def publish_garbage(self) -> None:
        """Bytes that are no message, on every input."""
        for publisher in (*self._outputs.values(), self._pose):
            publisher.publish(b'\x00\x01\x00\x00\xff\xff\xff\x7f\x01')

    def publish_joints(self, stamp: float) -> None:
        """Joint states at `stamp` [s]."""
        positions = [*self.arm.joints.tolist(), 0.02, 0.02]
        names = [*JOINTS, *FINGERS]
        if self.spoil.missing_joint:
            names, positions = names[1:-1], positions[1:-1]
        if self.spoil.zero_joints:
            positions = [0.0] * len(positions)
        if self.spoil.nan_joints:
            positions = [float('nan')] * len(positions)
        if self.spoil.reversed_joints:
            names, positions = names[::-1], positions[::-1]
        message = JointState(name=names, position=positions)
        message.header.stamp = ros_time(stamp)
        self._outputs['joints'].publish(message)

    def make_rival(self) -> Callable[[], None]:
        """Makes another publisher of commands, `rival`; returns what sends."""
        rival = self.rival = self.create_publisher(
            self._rival_kind, self._rival_topic, NEWEST_RELIABLE
        )

        def send() -> None:
            wild = REST + np.random.default_rng().normal(size=7)
            values = wild if self.kind == 'joints' else wild[:6]
            self.judge.disregard(values)
            message = self._rival_kind()
            if self.kind == 'joints':
                due = np.array([0.02])
                fill_joint_trajectory(message, JointTrajectoryPoint, JOINTS, values[None], due)
            else:
                fill_twist(message, values, FRAME, self.now())
            rival.publish(message)

        return send

    def tick(self, patience: float) -> None:
        """Applies the commands, moves and shows the arm; returns when the next tick is due.

        Nothing of this runs in an executor: on a busy machine the commands would queue up, and
        the arm would be one with a delay of seconds.

        Args:
            patience: Longest sleep [s].
        """
        now = time.monotonic()
        if now < self._due:
            time.sleep(min(self._due - now, patience))
            return
        self._due = max(self._due + _STEP, now)
        for taken in take_waiting(self._inbox):
            self._take(*taken)
        pictures: dict[str, Any] = {}
        if now - self._shown >= _FRAME:
            self._shown = now
            shown = (name for name in CAMERAS if name not in self.spoil.silent)
            pictures = {name: self._picture(name) for name in shown}
        self._step(pictures)

    def _ignore(self, message: Any) -> None:
        """`tick` takes the messages."""

    def now(self) -> float:
        """Returns the time that the streams are stamped with [s]."""
        return float(self.get_clock().now().nanoseconds * 1e-9)

    def _step(self, pictures: dict[str, Any]) -> None:
        """All that is shown was captured at the same moment, now, except where it is spoiled."""
        # Read together: where the arm is told to have been later than it was, the way to the next
        # place is too quick for it, and rightly not believed.
        now, stamp = time.monotonic(), self.now() + self.spoil.clock_offset
        self.captured = stamp
        self._move(now)
        # First: a node that keeps the newest message only could not see what comes before them.
        for act in self.spoil.every_step:
            act()
        if 'joints' not in self.spoil.silent:
            self.publish_joints(stamp)
        pose = PoseStamped()
        pose.header.stamp, pose.header.frame_id = ros_time(stamp), FRAME
        at = pose.pose.position
        at.x, at.y, at.z = self.arm.position.tolist()
        at.y += self.spoil.pose_jump
        turned = pose.pose.orientation
        turned.x, turned.y, turned.z, turned.w = self.arm.orientation.tolist()
        if 'joints' not in self.spoil.silent:
            self._pose.publish(pose)
        for name, picture in pictures.items():
            skew = self.spoil.skew_rate * (now - self._skewed_since) if name == 'wrist' else 0.0
            picture.header.stamp = ros_time(stamp - skew)
            late = self.spoil.delay.get(name, 0.0)
            self._late.append((now + late, self._outputs[name], picture))
        # Those that are late must not hold up the others.
        self._late = deque(sorted(self._late, key=lambda entry: entry[0]))
        while self._late and self._late[0][0] <= now:
            _, publisher, message = self._late.popleft()
            publisher.publish(message)

    def _picture(self, name: str) -> Any:
        if name in self.spoil.frozen and name in self._frozen:
            return self._frozen[name]
        width, height = self._resolution
        if name in self.spoil.small:
            width, height = width // 2, height // 2
        rgb = self.arm.picture(width, height)
        if name in self.spoil.black:
            rgb[:] = 0
        if name == 'front':
            message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
            message.data = rgb.tobytes()
        else:
            data = encode_jpeg(rgb)
            message = CompressedImage(format='jpeg')
            message.data = data[: len(data) // 2] if self.spoil.cut else data
        self._frozen[name] = message
        return message

    def _take(self, message: Any, info: Any) -> None:
        spoil = self.spoil
        watched = self.executes or not ('joints' in spoil.silent or spoil.nan_joints)
        taken = self.judge.take(message, info, self.arm, watched)
        if taken is None or not self.executes:
            return
        values, duration = taken
        if self._controller is not None:
            self._controller.take(values, duration)
        else:
            self.arm.command(self.kind, values, time.monotonic())

    def _move(self, now: float) -> None:
        """The arm goes on until `now`, behind its controller where it has one."""
        if self._controller is None:
            self.arm.step(now, now - self._stepped)
            self._stepped = now
            return
        while self._stepped + _UPDATE <= now:
            self._stepped += _UPDATE
            told = self._controller.update(self.arm.joints)
            if told is not None and self.executes:
                self.arm.command('joints', told, self._stepped)
            self.arm.step(self._stepped, _UPDATE)
