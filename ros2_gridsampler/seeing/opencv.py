# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""OpenCV, where it is installed -> its module; else what to install.

A robot that gets raw RGB pictures at the policy's size needs none, and OpenCV is large.
"""

import os
from functools import cache
from typing import Any

MOST_PIXELS = 8192 * 8192
"""Of a picture that is decoded, where this package loads OpenCV."""


class MissingOpenCv(ValueError):
    """Something needs OpenCV, and it is not installed."""


def opencv() -> Any:
    """The module `cv2`.

    Raises:
        MissingOpenCv: It is not installed.
    """
    # A file of some kilobytes may claim to be a picture of gigabytes. Read when it is loaded.
    os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(MOST_PIXELS))
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
