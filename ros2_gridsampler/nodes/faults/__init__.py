# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Faults injected into any node over DDS, an arm that follows it, and a judge of its commands."""
