# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`python -m ros2_gridsampler.command_line` is `gridsampler`."""

from . import main

main()
