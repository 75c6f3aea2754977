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
    are. Its config is put back afterwards, because a policy that is saved with it cannot be
    stepped by lerobot's `select_action`. A checkpoint that chose its own settings keeps them,
    trained real-time chunking among them where its lerobot has it.

    Args:
        policy: One that `supports_rtc`.
        known: Steps that are known.
    """

    def __init__(self, policy: Any, known: int) -> None:
        from lerobot.policies.rtc.configuration_rtc import RTCConfig

        self._policy, self._known = policy, known
        config = policy.config
        steps = getattr(config, 'num_steps', getattr(config, 'num_inference_steps', 0))
        # One Euler step moves by 1 / steps: a heavier pull would overshoot what it pulls to.
        usual = RTCConfig(max_guidance_weight=float(steps))
        self._before = config.rtc_config
        self._config = replace(self._before or usual, enabled=True)

    def __enter__(self) -> 'Guidance':
        self._set(self._config)
        return self

    def __exit__(self, *error: object) -> None:
        self._set(self._before)
        self._policy.model.rtc_processor = self._policy.rtc_processor

    def arguments(self, known: Tensor, decided: int) -> dict[str, Any]:
        """Returns what `predict_action_chunk` takes.

        Args:
            known: The first steps, as the network gives them; the last of them softly.
            decided: How many of them will have been commanded before the chunk is there.
        """
        horizon = min(decided + self._config.execution_horizon, self._known)
        return {
            'inference_delay': decided,
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
