# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy on some encoder -> its engine, made here or, while an arm moves, in a process apart."""

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cattrs

from ..engines import build, load
from ..engines.compiled_policy import CompiledPolicy
from ..engines.engine import Settings
from ..engines.engine_cache import EngineCache, default_folder
from ..engines.hand_over import hand_over, take_over
from ..engines.table import AUTOMATIC, ENGINES, Choice, find_engines, preference
from ..policy.checkpoint import load_checkpoint
from ..policy.golden_observation import golden_observation
from ..policy.policy import Policy
from ..policy.policy_config import PolicyConfig
from ..policy.prediction import PolicyInterface
from .apart import answer, run_apart
from .compatibility import with_encoder
from .encoder_checkpoint import load_encoder


class EngineMaker:
    """Makes all engines of one policy; the first decides of which kind the others are.

    Args:
        folder: Of the policy.
        choice: Which engine.
        settings: How it computes.
        progress: Told what is being built, in a sentence.
    """

    def __init__(
        self,
        folder: Path,
        choice: Choice,
        settings: Settings,
        progress: Callable[[str], object],
    ) -> None:
        """None was made."""
        self._folder = folder
        self._choice = choice
        self._settings = settings
        self._progress = progress
        self.kind: str | None = None
        """Of the engines; None before the first."""

    @property
    def comes_in_files(self) -> bool:
        """Whether another process can make the engines; what PyTorch computes it cannot."""
        return self.kind is not None and bool(ENGINES[self.kind].files)

    def here(self, policy: Policy) -> CompiledPolicy:
        """Trace, convert, compile and compare in this thread.

        Raises:
            EngineRefused: No engine computes the policy.
        """
        engine = load(
            policy,
            [golden_observation(policy.config)],
            backends=preference(self._choice) if self.kind is None else (self.kind,),
            precision=self._settings.precision,
            threads=self._settings.threads,
            device=self._settings.device,
            strict=self.kind is not None or self._choice != AUTOMATIC,
            cache=EngineCache(default_folder()),
            progress=self._progress,
        )
        self.kind = engine.report.backend
        return engine

    def apart(
        self, encoder: Path | None, config: PolicyConfig, wait: Callable[[], None]
    ) -> CompiledPolicy:
        """As `here`, but only what came out is opened and compared in this thread.

        Args:
            encoder: Its folder; None for the policy's own.
            config: Of the policy on it.
            wait: Returns after a short while; where it raises, nothing is built any more.

        Raises:
            ValueError: The encoder must not be believed, or no engine computes it.
        """
        if self.kind is None:
            raise RuntimeError('The first engine is made here; it decides of which kind all are.')
        with tempfile.TemporaryDirectory(prefix='gridsampler-engine-') as out:
            task = _Task(
                str(self._folder.absolute()),
                '' if encoder is None else str(encoder.absolute()),
                out,
                self.kind,
                self._settings,
            )
            run_apart(__name__, [json.dumps(asdict(task))], wait)
            return take_over(Path(out), PolicyInterface(config))


@dataclass(frozen=True)
class _Task:
    """What another process is asked for; see `EngineMaker`."""

    policy: str
    encoder: str
    out: str
    kind: str
    settings: Settings


def main() -> None:
    """Make the engine that the command line describes; see `EngineMaker.apart`."""
    answer(lambda: _make(cattrs.structure(json.loads(sys.argv[1]), _Task)))


def _make(task: _Task) -> str:
    import torch

    torch.set_num_threads(task.settings.threads)
    policy, _ = load_checkpoint(Path(task.policy))
    if task.encoder:
        policy = with_encoder(policy, load_encoder(Path(task.encoder))[0])
    made = build(
        policy,
        [golden_observation(policy.config)],
        find_engines([task.kind]),
        task.settings,
        strict=True,
        cache=EngineCache(default_folder()),
    )
    hand_over(made, Path(task.out))
    return made.report.origin


if __name__ == '__main__':
    main()
