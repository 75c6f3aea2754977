# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The pipeline on ROS 2 topics; ROS lives here and nowhere else."""

import importlib.util
from pathlib import Path


def _refuse_humble() -> None:
    """Refuses an rclpy that lacks what the nodes are made of, without importing it."""
    found = importlib.util.find_spec('rclpy')
    places = found.submodule_search_locations if found else None
    if places and not any(Path(place, 'event_handler.py').exists() for place in places):
        raise ImportError(
            f'The rclpy in {places[0]} is that of ROS 2 Humble, or older: it lacks '
            'rclpy.event_handler and callbacks after parameters were set. Nodes of this package '
            'run on Jazzy and Kilted; recordings made on Humble are read all the same.'
        )


_refuse_humble()
