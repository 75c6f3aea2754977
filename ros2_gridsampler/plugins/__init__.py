# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A model that its user already has -> the same model on few visual tokens."""
