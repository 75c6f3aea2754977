# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""rosbag2 recordings: written, read through the live code, scored."""
