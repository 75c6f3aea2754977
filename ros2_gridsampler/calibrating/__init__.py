# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures, poses and arm states -> calibrations, and whether they still hold."""
