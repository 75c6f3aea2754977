# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings -> samples to train on, and LeRobot datasets in and out."""
