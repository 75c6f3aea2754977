# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings and policies -> how good a policy is, as numbers, page and verdict."""
