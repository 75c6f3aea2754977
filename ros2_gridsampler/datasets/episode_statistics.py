# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Episodes of a dataset -> smallest, largest, mean and deviation of each of their numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .episode_recording import EpisodeRecording, decode_file
from .lerobot import ACTION, IMAGES, STATE

# Pictures that an episode's statistics are computed from.
_SAMPLED = 20


def episode_statistics(recording: EpisodeRecording) -> dict[str, Any]:
    """Feature -> its statistics in one episode, pictures as [0, 1] per channel."""
    found = {}
    for key, values in ((STATE, recording.state), (ACTION, recording.action)):
        found[key] = _summary(values.astype(float), (0,))
    for camera, files in recording.pictures.items():
        chosen = np.linspace(0, len(files) - 1, min(len(files), _SAMPLED)).astype(int)
        rgb = np.array([decode_file(files[i]) for i in chosen]) / 255
        found[f'{IMAGES}{camera}'] = _summary(rgb.transpose(0, 3, 1, 2), (0, 2, 3), keep=True)
    return found


def _summary(values: NDArray[Any], axes: tuple[int, ...], *, keep: bool = False) -> dict[str, Any]:
    def listed(array: NDArray[Any]) -> Any:
        return (array[0] if keep else array).tolist()

    return {
        **{
            name: listed(np.asarray(getattr(values, name)(axis=axes, keepdims=keep)))
            for name in ('min', 'max', 'mean', 'std')
        },
        'count': [len(values)],
    }


def pooled_statistics(stats: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Statistics of all episodes together."""
    pooled = {}
    for key in stats[0]:
        parts = [each[key] for each in stats]
        counts = np.array([part['count'][0] for part in parts], float)
        means, deviations, lows, highs = (
            np.array([part[name] for part in parts]) for name in ('mean', 'std', 'min', 'max')
        )
        mean = np.average(means, axis=0, weights=counts)
        variance = np.average(deviations**2 + (means - mean) ** 2, axis=0, weights=counts)
        pooled[key] = {
            'min': lows.min(0).tolist(),
            'max': highs.max(0).tolist(),
            'mean': mean.tolist(),
            'std': np.sqrt(variance).tolist(),
            'count': [int(counts.sum())],
        }
    return pooled
