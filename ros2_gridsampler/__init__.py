# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Camera topics in, arm commands out: a VLA whose vision keeps few tokens (GridS).

An image passes three folders: seeing (messages -> observation), policy on one of the engines
(observation -> chunk of actions), acting (chunk -> commands). Node and evaluator drive these.
"""

__version__ = '0.2.0'
