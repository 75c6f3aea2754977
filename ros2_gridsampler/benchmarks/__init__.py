# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a user measures on his own machine and node: faults, engines, timing, FLOP."""
