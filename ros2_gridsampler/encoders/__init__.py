# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Vision encoders as files: stored, sent, compared and swapped while an arm works."""
