# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Steps under way -> a lerobot policy (SmolVLA, pi0, pi0.5) that goes on from them.

Our own heads learn to continue (`action_prefix`). These were not trained for it, so lerobot's
guidance pulls them at inference, in PyTorch alone: a compiled engine has no such step.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..acting.action_chunk import ActionChunk
from ..acting.action_prefix import Prefix


def continues(policy: Any) -> bool:
    """Returns whether lerobot can guide a policy by steps that are given.

    Policies that turn joints of an Aloha into those of pi's own runtime give the chunk in other
    numbers than they compute it in, so there the given steps cannot be told.
    """
    supports = getattr(policy, 'supports_rtc', None)
    turned = getattr(policy.config, 'adapt_to_pi_aloha', False)
    return supports is not None and supports() and not turned


class Guidance:
    """lerobot's real-time chunking, switched on for one prediction.

    Guided (arXiv:2506.07339): each denoising step pulls the steps that are known to what they
    are. A checkpoint that was trained to go on from so many steps (arXiv:2512.05964) is given
    them as they are, where its lerobot can do that. One that chose its own settings keeps them.
    The config is put back afterwards: lerobot's `select_action` refuses a policy that has it.

    Args:
        policy: One that `supports_rtc`.
        known: Steps that are known.
        decided: How many of them will have been commanded before the chunk is there.
    """

    def __init__(self, policy: Any, known: int, decided: int) -> None:
        from lerobot.policies.rtc.configuration_rtc import RTCConfig

        self._policy, self._known, self._decided = policy, known, decided
        config = policy.config
        steps = getattr(config, 'num_steps', getattr(config, 'num_inference_steps', 0))
        # One Euler step moves by 1 / steps: a heavier pull would overshoot what it pulls to.
        usual = RTCConfig(max_guidance_weight=float(steps))
        self._before = config.rtc_config
        chosen = replace(self._before or usual, enabled=True)
        if hasattr(chosen, 'mode'):
            trained = decided <= getattr(config, 'rtc_training_max_delay', 0)
            chosen = replace(chosen, mode='trained' if trained else 'guided')
        self._config = chosen

    def __enter__(self) -> 'Guidance':
        self._set(self._config)
        return self

    def __exit__(self, *error: object) -> None:
        self._set(self._before)
        self._policy.model.rtc_processor = self._policy.rtc_processor

    def arguments(self, known: Tensor) -> dict[str, Any]:
        """Returns what `predict_action_chunk` takes; `known` is as the network gives actions."""
        horizon = min(self._decided + self._config.execution_horizon, self._known)
        return {
            'inference_delay': self._decided,
            'prev_chunk_left_over': known,
            'execution_horizon': horizon,
        }

    def _set(self, config: Any) -> None:
        self._policy.config.rtc_config = config
        self._policy.init_rtc_processor()


def known_steps(
    prefix: Prefix, last: ActionChunk | None, start: float, period: float, chunk: tuple[int, int]
) -> Float[np.ndarray, 'known actions']:
    """Returns the prefix and, after it, what the last chunk says of the steps that follow.

    Args:
        prefix: Steps that are decided, physical units.
        last: The chunk before; None where there is none.
        start: When the first step of the prefix is due [s].
        period: Time between two steps [s].
        chunk: Steps and actions of the chunks.

    Raises:
        ValueError: The prefix has another size than the chunks, or leaves nothing to predict.
    """
    steps, actions = chunk
    if prefix.shape[1:] != (actions,) or len(prefix) >= steps:
        raise ValueError(
            f'A prefix of shape {prefix.shape} was given for chunks of {steps} steps with '
            f'{actions} actions; give fewer steps of as many actions.'
        )
    if last is None or not last.start_time < start:
        return prefix
    times = start + period * np.arange(len(prefix), steps)
    follow = [last.at(float(time)) for time in times[times <= last.end_time]]
    return np.stack([*prefix, *follow])
