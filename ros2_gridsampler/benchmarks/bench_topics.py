# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The names by which a node under test and the fault bench know each other."""

from dataclasses import dataclass


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
