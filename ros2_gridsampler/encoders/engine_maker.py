# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy on some encoder -> its engine, made here or, while an arm moves, in a process apart."""

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cattrs

from ..engines import Verified, build, load
from ..engines.compiled_policy import CompiledPolicy, Interface, Report
from ..engines.engine import EngineRefused, Settings
from ..engines.engine_cache import EngineCache, default_folder
from ..engines.table import AUTOMATIC, ENGINES, Choice, Name, find_engines, preference
from ..engines.verification import PROBES, pack_probes, unpack_probes, verify
from ..policy.checkpoint import load_checkpoint
from ..policy.manifest import golden_observation
from ..policy.policy import Policy
from ..policy.policy_config import PolicyConfig
from ..policy.prediction import PolicyInterface
from .apart import answer, run_apart
from .compatibility import with_encoder
from .encoder_checkpoint import load_encoder

REPORT = 'report.json'


def hand_over(made: Verified, folder: Path) -> None:
    """Writes the engine's files, what tries it out, and how it came about."""
    for name, content in made.files.items():
        (folder / name).write_bytes(content)
    (folder / PROBES).write_bytes(pack_probes(made.inputs, made.expected))
    about = {'report': asdict(made.report), 'files': sorted(made.files)}
    (folder / REPORT).write_text(json.dumps(about))


def take_over(folder: Path, interface: Interface) -> CompiledPolicy:
    """Opens what `hand_over` wrote, and compares it here too with PyTorch's results.

    Args:
        folder: Folder that was handed over; nothing of it is needed afterwards.
        interface: Interface of the policy that was handed over.

    Raises:
        EngineRefused: It cannot be opened, or computes something else.
    """
    try:
        about = json.loads((folder / REPORT).read_text())
        report = cattrs.structure(about['report'], Report)
        probes = (folder / PROBES).read_bytes()
        inputs, expected = unpack_probes(probes, interface.signature)
        files = {str(name): _read(folder / name) for name in about['files']}
    except (OSError, ValueError, KeyError, cattrs.BaseValidationError) as error:
        raise EngineRefused(f'The engine was not handed over as a whole: {error!r}.') from error
    signature, settings = interface.signature, report.settings
    session = ENGINES[report.backend].open(files, signature, settings)
    agreement = verify(session, inputs, expected, signature, settings.precision)
    return CompiledPolicy(interface, session, replace(report, agreement=agreement))


def _read(path: Path) -> bytearray:
    """Reads a file while others run, into memory that engines may use without a copy."""
    content = bytearray(path.stat().st_size)
    with path.open('rb', buffering=0) as file:
        view = memoryview(content)
        while view and (count := file.readinto(view)):
            view = view[count:]
    return content


class EngineMaker:
    """Makes all engines of one policy; the first decides of which kind the others are.

    Args:
        folder: Folder of the policy.
        choice: Engine that was asked for.
        settings: How it computes.
        progress: Is told what is being built, in a sentence.
    """

    def __init__(
        self,
        folder: Path,
        choice: Choice,
        settings: Settings,
        progress: Callable[[str], object],
    ) -> None:
        self._folder = folder
        self._choice = choice
        self._settings = settings
        self._progress = progress
        self.kind: Name | None = None
        """Kind of the engines; None before the first was made."""

    @property
    def comes_in_files(self) -> bool:
        """Whether another process can make the engines; what PyTorch computes it cannot."""
        return self.kind is not None and bool(ENGINES[self.kind].files)

    def here(self, policy: Policy) -> CompiledPolicy:
        """Traces, converts, compiles and compares in this thread.

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
            config: Config of the policy on it.
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
    """Makes the engine that the command line describes; see `EngineMaker.apart`."""
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
