# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of cameras and joints -> what a policy looks at."""
