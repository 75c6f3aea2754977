# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""This machine -> the words without which a timing means nothing."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ('torch', 'numpy', 'mujoco')


def describe_hardware() -> Mapping[str, str]:
    """Processor, cores, load, and the versions that decide how fast things are."""
    return {
        'processor': _processor(),
        'cores': str(len(os.sched_getaffinity(0))),
        'load': f'{os.getloadavg()[0]:.1f} processes in the last minute',
        'system': f'{platform.system()} {platform.release()} {platform.machine()}',
        'python': platform.python_version(),
        **{name: _version(name) for name in _LIBRARIES},
    }


def _processor() -> str:
    path = Path('/proc/cpuinfo')
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return models[0] if models else platform.processor() or 'unknown'


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return 'not installed'
