# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Camera topics in, arm commands out: a VLA whose vision keeps few tokens (GridS).

The files of this folder are the stages that an image passes, in this order:
camera_message, calibration, observation, instruction, encoder, grid_sampler, trunk,
action_chunk, action_head, policy, chunk_schedule, safety_filter, command_message.
"""

__version__ = '0.1.0'
