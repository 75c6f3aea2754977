# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a fault campaign does to which node."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from ..bounds import checked, setting

Tested = Literal['policy', 'remote', 'naive', 'running']
CommandKind = Literal['joints', 'twist', 'positions', 'pose']


@dataclass(frozen=True)
class BenchTopics:
    """Names in the graph; the node under test has to use them."""

    cameras: tuple[str, str] = ('/bench/front/image', '/bench/wrist/image/compressed')
    joint_states: str = '/joint_states'
    pose: str = '/end_effector_pose'
    instruction: str = '/bench/instruction'
    joint_command: str = '/bench/joint_trajectory'
    twist_command: str = '/bench/twist_command'
    positions_command: str = '/bench/joint_positions'
    pose_command: str = '/bench/pose_command'


@dataclass(frozen=True)
@checked
class CampaignConfig:
    """What to do to which node; the flags of `gridsampler faults` are made from it.

    Attributes:
        node: 'policy' is ours, 'remote' ours with its policy on a server, 'naive' the reference
            that must fail, 'running' whatever runs already in this ROS domain and uses the
            bench's topics.
        kind: 'joints' (JointTrajectory), 'twist' (TwistStamped), 'positions' (Float64MultiArray)
            or 'pose' (PoseStamped).
        faults: Names of faults; all that the node can be made to have if empty.
        pairs: How many random pairs of these faults to inject besides.
        seed: Seed of the pairs and of the random steps.
        arm: Arm whose limits count, a name in calibration/ or a YAML file.
        rate: Commands per second of the node [Hz].
        duration: How long each fault lasts [s].
        patience: How long to wait for a hold, or for the recovery from a fault [s].
        start_patience: How long to wait for the first motion of a new process [s].
        node_name: Name of the node, for its lifecycle.
        topics: Topics of the bench.
    """

    node: Tested = 'policy'
    kind: Annotated[CommandKind, tyro.conf.Suppress] = 'joints'
    faults: tuple[str, ...] = ()
    pairs: int = setting(0, minimum=0)
    seed: int = setting(0, minimum=0)
    arm: str = 'panda'
    rate: float = setting(50.0, unit='Hz', minimum=1, maximum=2000)
    duration: float = setting(4.0, unit='s', above=0)
    patience: float = setting(30.0, unit='s', above=0)
    start_patience: float = setting(120.0, unit='s', above=0)
    node_name: str = '/policy_node'
    topics: Annotated[BenchTopics, tyro.conf.Suppress] = field(default_factory=BenchTopics)

    def __post_init__(self) -> None:
        if self.faults:
            # The table of faults needs ROS, which `--help` does not.
            from .fault_table import faults_of

            possible = faults_of(self.node)
            if unknown := [name for name in self.faults if name not in possible]:
                raise ValueError(
                    f'There are no faults {unknown} for a {self.node} node; choose some of '
                    f'{list(possible)}.'
                )

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names of the faults to inject, of those that such commands can have."""
        from .fault_table import FAULTS, faults_of

        named = self.faults or faults_of(self.node)
        return tuple(name for name in named if self.kind in FAULTS[name].kinds)
