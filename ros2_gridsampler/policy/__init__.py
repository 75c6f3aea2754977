# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Observation -> chunk of actions: encoder, token reducers, trunk, heads, checkpoint."""
