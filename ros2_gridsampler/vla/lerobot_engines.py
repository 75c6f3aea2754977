# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A lerobot policy and engines -> the same policy on the first engine that computes the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from ..engines import build_parts
from ..engines.compiled_policy import Report
from ..engines.engine import Engine, EngineRefused, Session, Settings
from ..engines.engine_cache import EngineCache
from ..engines.verification import Agreement
from ..policy.prediction import ACTION_TOLERANCE
from ..seeing.observation import Observation
from .lerobot_config import golden_observation
from .lerobot_graphs import Cut, cut
from .lerobot_policy import LerobotPolicy


def try_outs(policy: LerobotPolicy) -> list[Observation]:
    """Returns made-up observations by which engines are compared: two that differ in all."""
    golden = golden_observation(policy.config)
    generator = np.random.default_rng(0)
    noise = {
        name: generator.integers(0, 256, picture.shape, np.uint8)
        for name, picture in golden.images.items()
    }
    joints = golden.joints + 0.1 * generator.normal(size=golden.joints.shape)
    return [golden, replace(golden, images=noise, joints=joints, instruction='move')]


class CompiledLerobotPolicy(LerobotPolicy):
    """A lerobot policy whose networks an engine computes; its processors stay lerobot's.

    Args:
        policy: The policy itself.
        parts: Its networks.
        sessions: Name of a network -> what computes it.

    Attributes:
        report: How the engine came about.
    """

    def __init__(
        self,
        policy: LerobotPolicy,
        parts: Cut,
        sessions: Mapping[str, Session],
        report: Report,
    ) -> None:
        super().__init__(policy.model, policy.config.robot, guided=False)
        self.report = report
        self._parts = parts
        self._sessions = sessions

    def infer(self, batch: Any, **guidance: Any) -> tuple[Tensor, list[Tensor]]:
        return self._parts.infer(self._sessions, batch)


def compile_policy(
    policy: LerobotPolicy,
    engines: Sequence[Engine],
    settings: Settings,
    *,
    strict: bool = False,
    cache: EngineCache | None = None,
    progress: Callable[[str], object] = lambda text: None,
) -> CompiledLerobotPolicy:
    """Returns a policy on the first engine that computes what lerobot computes.

    Each network is compared by itself, and the chunks of made-up observations as a whole, from
    the pictures to physical units.

    Args:
        policy: The reference.
        engines: In order of preference.
        settings: How they compute.
        strict: Whether the first refusal is an error.
        cache: Where built engines are kept; None builds anew.
        progress: Told what is being built, in a sentence.

    Raises:
        EngineRefused: No engine is left, or the first refused and `strict` is set.
        ValueError: The policy itself gives numbers that are not finite.
    """
    for engine in engines:
        if strict:
            # An engine that is not installed is refused before the policy computes anything.
            engine.check(settings)
    parts, examples = cut(policy), try_outs(policy)
    expected = [policy.predict(each).chunk.targets for each in examples]

    def whole(sessions: Mapping[str, Session]) -> Agreement:
        worst, allowed = 0.0, ACTION_TOLERANCE[settings.precision]
        for example, wanted in zip(examples, expected, strict=True):
            batch = policy.batch(example)
            try:
                actions, _ = parts.infer(sessions, batch)
            except Exception as error:  # every engine has classes of its own
                raise EngineRefused(f'it fails on a made-up observation: {error}') from error
            found = policy.targets(actions)
            scale = np.abs(policy.targets(actions + 1) - found)
            # An action that never changed in the statistics has no scale, and comes out the same
            # but for rounding.
            rounding = 4 * np.finfo(np.float32).eps * np.abs(wanted)
            off = np.maximum(np.abs(found - wanted) - rounding, 0)
            off = off / np.maximum(scale, np.finfo(np.float32).tiny)
            # NumPy's maximum keeps what is not a number, Python's does not.
            worst = float(np.maximum(worst, off.max()))
        if not worst <= allowed:
            raise EngineRefused(
                f'its chunks are off by {worst:.2g} scales ({allowed:.2g} allowed in '
                f'{settings.precision}).'
            )
        return Agreement({'targets': worst}, {'targets': 'scales'}, len(examples))

    sessions, report = build_parts(
        parts.parts,
        examples,
        engines,
        settings,
        whole=whole,
        strict=strict,
        cache=cache,
        progress=progress,
    )
    return CompiledLerobotPolicy(policy, parts, sessions, report)
