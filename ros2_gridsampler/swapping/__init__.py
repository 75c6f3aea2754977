# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Encoders that are served, stored, fitted to a policy, compared, swapped and rolled back."""
