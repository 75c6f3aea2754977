# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""OpenCV, where it is installed -> its module; else what to install.

A robot that gets raw RGB pictures at the policy's size needs none, and OpenCV is large.
"""

from functools import cache
from typing import Any


class MissingOpenCv(ValueError):
    """Something needs OpenCV, and it is not installed."""


def opencv() -> Any:
    """The module `cv2`.

    Raises:
        MissingOpenCv: It is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingOpenCv(
            'OpenCV is not installed: pictures that are compressed, not RGB, or of another size '
            "than the policy's cannot be used. apt install python3-opencv, or pip install "
            "'opencv-python-headless>=4.10,<5'."
        ) from error
    return cv2


@cache
def has_opencv() -> bool:
    """Whether it is installed."""
    try:
        opencv()
    except MissingOpenCv:
        return False
    return True
