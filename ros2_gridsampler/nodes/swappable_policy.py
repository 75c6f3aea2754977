# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters of the policy node -> a warm policy, and what changes its encoder while it runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..encoders.swap_trial import Counts
from ..engines.compiled_policy import Backend, CompiledPolicy
from ..engines.table import AUTOMATIC
from ..files import find
from ..vla.deployed_policy import DeployedPolicy, keeps_encoder, load_policy
from ..vla.remote_policy import is_remote, load_remote
from .policy_parameters import LiveParameter, PolicyParameters

if TYPE_CHECKING:
    from ..encoders.encoder_changes import EncoderChanges
    from ..policy.policy import Policy
    from .encoder_swaps import EncoderSwaps


@dataclass(frozen=True)
class SwappablePolicy:
    """A policy that was loaded and has predicted already.

    Attributes:
        name: Folder of the policy, or address of its server.
        policy: The policy, verified and warm.
        changes: What its encoder may be changed by; None for a policy that keeps its encoder.
        duration: Duration of one prediction [s].
    """

    name: str
    policy: DeployedPolicy
    changes: 'EncoderChanges | None'
    duration: float

    def make_swaps(
        self, node: Any, parameters: PolicyParameters, counts: Callable[[], Counts]
    ) -> 'EncoderSwaps | None':
        """Returns what swaps the encoder from now on; None for a policy that keeps it.

        Args:
            node: Owns topics and timer of the swaps.
            parameters: Parameters of the policy node.
            counts: Returns the counts of the running policy.
        """
        if self.changes is None:
            return None
        from .encoder_swaps import EncoderSwaps

        streams = self.policy.config.observation
        return EncoderSwaps(node, parameters, self.changes, counts=counts, streams=streams)


def load_swappable(
    parameters: PolicyParameters,
    announce: Callable[[CompiledPolicy], Backend],
    *,
    steady: Callable[[], float],
    log: Any,
) -> SwappablePolicy:
    """Loads the policy that the parameters name, verified, and warms it up.

    Args:
        parameters: Parameters of the policy node.
        announce: Is told of every engine that was made; returns what predicts.
        steady: Returns steady time [s].
        log: Logger of the node.

    Raises:
        ValueError: The policy cannot be used so; the text says why.
        OSError: It cannot be read.
    """
    if is_remote(parameters.policy):
        return _load_remote(parameters)
    if parameters.remote_robot:
        raise ValueError(
            'remote_robot is for policies at ws://HOST:PORT, and policy is '
            f'{parameters.policy!r}; leave it empty.'
        )
    folder = find('models', parameters.policy)
    changes: 'EncoderChanges | None' = None

    def compute(policy: 'Policy') -> Backend:
        nonlocal changes
        from .encoder_swaps import make_changes

        changes = make_changes(policy, folder, parameters, announce, steady=steady, log=log)
        return changes.live

    if (kept := keeps_encoder(folder)) and (parameters.encoder or parameters.encoder_server):
        raise ValueError(f'{kept} Leave the parameters encoder and encoder_server empty.')
    policy = load_policy(folder, parameters.backend, compute, parameters.settings, log.info)
    for _ in range(2):
        begin = time.monotonic()
        policy.backend.predict(policy.example)
    return SwappablePolicy(str(folder), policy, changes, time.monotonic() - begin)


def _load_remote(parameters: PolicyParameters) -> SwappablePolicy:
    if parameters.encoder or parameters.encoder_server:
        raise ValueError(
            'A policy server keeps its encoder; leave the parameters encoder and encoder_server '
            'empty.'
        )
    asked = (parameters.backend, parameters.precision, parameters.device)
    if asked != (AUTOMATIC, 'fp32', 'auto'):
        raise ValueError(
            f'backend, precision and device are {asked}, but a policy server computes as it was '
            'started; leave them as they are by default.'
        )
    policy = load_remote(parameters.policy, parameters.remote_robot)
    begin = time.monotonic()
    try:
        policy.backend.predict(policy.example)
    except Exception:
        if policy.elsewhere is not None:
            policy.elsewhere.close()
        raise
    return SwappablePolicy(parameters.policy, policy, None, time.monotonic() - begin)


def live_encoder(swaps: 'EncoderSwaps | None') -> dict[str, LiveParameter]:
    """Returns the parameters of the encoder that may be set while the node is configured.

    Args:
        swaps: What swaps the encoder; None for a policy that keeps it.
    """
    if swaps is None:
        kept = 'This policy keeps its own encoder; leave the parameter encoder empty.'
        return {
            'swap.allow_unvalidated': LiveParameter(lambda values: '', lambda value: None),
            'encoder': LiveParameter(
                lambda values: kept if values['encoder'] else '', lambda value: None
            ),
        }
    # In this order: what is allowed together with an encoder is allowed for it.
    return {
        'swap.allow_unvalidated': LiveParameter(lambda values: '', swaps.allow_unvalidated),
        'encoder': LiveParameter(
            lambda values: swaps.refusal(values['encoder'], values.get('swap.allow_unvalidated')),
            swaps.request,
        ),
    }
