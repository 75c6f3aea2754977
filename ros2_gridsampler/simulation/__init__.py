# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The LIBERO benchmark as a robot: cameras, joints, an end-effector controller, demonstrators."""
