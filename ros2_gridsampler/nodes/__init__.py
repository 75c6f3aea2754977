# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The pipeline on ROS 2 topics; ROS lives here and nowhere else."""
