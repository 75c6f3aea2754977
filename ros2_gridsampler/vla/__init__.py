# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Other people's policies: on lerobot, on towers of transformers, with GridS attached."""
