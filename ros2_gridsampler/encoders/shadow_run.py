# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A candidate beside the encoder in use, on the same observations -> how far they differ."""

from collections.abc import Callable, Sequence

from ..policy.policy_config import Statistics
from ..seeing.observation import Observation
from .action_drift import Answer, Drift
from .swap_config import SwapConfig
from .swappable_backend import Candidate, Seen, SwappableBackend


class ShadowRefused(ValueError):
    """A candidate that does not do what the encoder in use does; the text has the numbers."""


def run_shadow(
    candidate: Candidate,
    live: SwappableBackend,
    config: SwapConfig,
    *,
    names: tuple[str, ...],
    statistics: Statistics,
    relative: bool,
    clock: Callable[[], float],
    wait: Callable[[], None],
    recorded: Callable[[], Sequence[Observation]] = lambda: (),
) -> Drift:
    """Let the candidate answer what the one in use has just answered.

    Args:
        candidate: Nobody else uses it yet.
        live: Predicts in another thread.
        config: How many, how long, how far.
        names: Of the actions.
        statistics: Of the actions.
        relative: Whether those are of offsets, see `Observation.origin`.
        clock: Steady time [s].
        wait: Returns after a short while; raises where the run should end.
        recorded: Observations to compare on where none come live.

    Raises:
        ShadowRefused: It differs, fails, or there is nothing to compare on.
    """
    answers: list[Answer] = []
    deadline = clock() + config.shadow_time
    _, last = live.recent(0)

    def compare(old: Seen) -> None:
        # What a relative policy learned, and its statistics are of, are offsets.
        origin = old.observation.origin if relative else 0.0
        begin = clock()
        try:
            new = candidate.backend.predict(old.observation, old.prefix).chunk.targets
        except ValueError as error:
            raise ShadowRefused(f'It failed on an observation: {error}') from error
        duration = clock() - begin
        # Both repeat what was given to both; only what they chose says how they differ.
        chosen = slice(0 if old.prefix is None else len(old.prefix), None)
        targets = old.prediction.chunk.targets
        answers.append(
            Answer(targets[chosen] - origin, new[chosen] - origin, old.duration, duration)
        )

    while len(answers) < config.shadow_observations and clock() < deadline:
        wait()
        seen, last = live.recent(last)
        for old in seen[: config.shadow_observations - len(answers)]:
            compare(old)
    if not answers:
        for observation in recorded()[: config.shadow_observations]:
            compare(live.answer(observation))
    if len(answers) < config.shadow_observations:
        raise ShadowRefused(
            f'{len(answers)} observations came within {config.shadow_time:g} s, '
            f'{config.shadow_observations} are needed to compare; activate the node, or name a '
            'recording by swap.shadow_bag.'
        )
    drift = Drift.between(answers, names, statistics)
    if text := drift.refusal(config):
        raise ShadowRefused(text)
    return drift
