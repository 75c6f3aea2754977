# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes measured as processes: when commands leave, how long encoders travel."""
