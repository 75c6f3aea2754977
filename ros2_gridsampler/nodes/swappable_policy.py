# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the policy node -> a warm policy, and what changes its encoder while it runs."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engines.compiled_policy import Backend, CompiledPolicy
from ..engines.converted_policy import is_converted
from ..files import find
from ..vla.deployed_policy import DeployedPolicy, load_policy, require_torch
from .policy_parameters import PolicyParameters

if TYPE_CHECKING:
    from .encoder_swaps import EncoderSwaps


@dataclass(frozen=True)
class SwappablePolicy:
    """What `load_swappable` gives.

    Attributes:
        folder: Where the policy lies.
        policy: Verified, and warm.
        swaps: None for a converted policy, which keeps its encoder.
        duration: Of one prediction [s].
    """

    folder: Path
    policy: DeployedPolicy
    swaps: 'EncoderSwaps | None'
    duration: float


def load_swappable(
    node: Any,
    parameters: PolicyParameters,
    announce: Callable[[CompiledPolicy], Backend],
    steady: Callable[[], float],
) -> SwappablePolicy:
    """Load the policy that the parameters name, verified, and warm it up.

    Args:
        node: Owns what the swaps need of ROS.
        parameters: Of the policy node.
        announce: Told of every engine that was made; gives what predicts.
        steady: Steady time [s].

    Raises:
        ValueError: The policy cannot be used so; the text says why.
        OSError: It cannot be read.
    """
    folder = find('models', parameters.policy)
    swaps = _swaps(node, folder, parameters, announce, steady)
    policy = load_policy(
        folder,
        parameters.backend,
        None if swaps is None else swaps.compute,
        parameters.settings,
    )
    for _ in range(2):
        begin = time.monotonic()
        policy.backend.predict(policy.example)
    return SwappablePolicy(folder, policy, swaps, time.monotonic() - begin)


def refuse_while_configured(
    parameters: Sequence[Any], names: Collection[str], state: str, swaps: 'EncoderSwaps | None'
) -> str:
    """Why parameters of the node cannot be set now; '' after the encoder was taken on trial.

    Args:
        parameters: What somebody sets.
        names: Of those that configure reads.
        state: Of the node.
        swaps: Change the encoder of the node, where it has them.
    """
    fixed = [p.name for p in parameters if p.name in names]
    fixed = [name for name in fixed if name != 'encoder' or swaps is None]
    # What was refused by the one time could go on by the other.
    fixed += [p.name for p in parameters if p.name == 'use_sim_time']
    if state != 'unconfigured' and fixed:
        return f'{fixed} are read by configure; deactivate and clean up the node first.'
    if swaps is None:
        return ''
    return ' '.join(swaps.request(p.value) for p in parameters if p.name == 'encoder')


def _swaps(
    node: Any,
    folder: Path,
    parameters: PolicyParameters,
    announce: Callable[[CompiledPolicy], Backend],
    steady: Callable[[], float],
) -> 'EncoderSwaps | None':
    """None for a converted policy, which needs no PyTorch."""
    if is_converted(folder):
        if parameters.encoder or parameters.encoder_server:
            raise ValueError(
                'A converted policy keeps its own encoder; leave the parameters encoder and '
                'encoder_server empty, or use the checkpoint that it was converted from.'
            )
        return None
    require_torch(folder)
    from .encoder_swaps import EncoderSwaps

    return EncoderSwaps(node, parameters, folder, announce, steady)
