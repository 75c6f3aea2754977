# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Policy <-> a folder that predicts without PyTorch: a converted graph and what proves it right.

`gridsampler export --out FOLDER` writes it where PyTorch is; the robot needs OpenVINO, NumPy and
safetensors. The folder brings the inputs that tried the engine out and what PyTorch made of them,
so a robot verifies its engine as `load` does elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cattrs

from ..policy.manifest import (
    MANIFEST,
    BadCheckpoint,
    Manifest,
    check_golden_actions,
    check_inputs,
    check_kind,
    golden_observation,
    load_manifest,
)
from ..policy.prediction import PolicyInterface
from .compiled_policy import CompiledPolicy, Report
from .engine import Engine, Settings
from .table import ENGINES
from .verification import PROBES, pack_probes, unpack_probes, verify

if TYPE_CHECKING:
    from ..policy.policy import Policy

CONVERTED = 'converted.json'
FORMAT = 1


@dataclass(frozen=True)
class Conversion:
    """The content of `converted.json`.

    Attributes:
        format: Version of this layout.
        backend: Whose files they are.
        made_with: Library and version that converted.
        weights_sha256: Hash of the weights of the checkpoint that was converted.
        sha256: Hash of every other file that is read, but the manifest.
    """

    format: int
    backend: str
    made_with: str
    weights_sha256: str
    sha256: dict[str, str]


def is_converted(folder: Path) -> bool:
    """Whether a folder holds a converted policy."""
    return (folder / CONVERTED).is_file()


def portable_engine(name: str) -> Engine:
    """Returns the engine of a name, if what it builds runs without PyTorch.

    Raises:
        ValueError: It does not.
    """
    names = [engine.name for engine in ENGINES.values() if engine.portable]
    if name not in names:
        raise ValueError(
            f'Only {" and ".join(names)} runs without PyTorch; {name!r} cannot be in a folder.'
        )
    return ENGINES[name]


def convert(policy: Policy, checkpoint: Path, out: Path, backend: str = 'openvino') -> None:
    """Writes the folder; `converted.json` last, so a cut write is noticed.

    Args:
        policy: Loaded from the checkpoint.
        checkpoint: Its folder.
        out: Created where needed.
        backend: Name of a portable engine.

    Raises:
        EngineRefused: Its library is not installed or cannot convert the policy.
        ValueError: The engine is not portable.
        FileExistsError: The folder holds another kind of checkpoint.
    """
    from .exported_graph import export, run_eagerly

    check_kind(out, PROBES)
    engine, settings = portable_engine(backend), Settings()
    machine = engine.check(settings)
    inputs = policy.probes([golden_observation(policy.config)])
    results = [run_eagerly(policy, given) for given in inputs]
    files = dict(engine.build(export(policy, inputs[0]), settings))
    files[PROBES] = pack_probes(inputs, results)
    out.mkdir(parents=True, exist_ok=True)
    (out / CONVERTED).unlink(missing_ok=True)
    for name, content in files.items():
        (out / name).write_bytes(content)
    shutil.copyfile(checkpoint / MANIFEST, out / MANIFEST)
    if (checkpoint / 'reference_views').is_dir():
        shutil.copytree(
            checkpoint / 'reference_views', out / 'reference_views', dirs_exist_ok=True
        )
    about = Conversion(
        format=FORMAT,
        backend=engine.name,
        made_with=machine.engine,
        weights_sha256=load_manifest(checkpoint).weights_sha256,
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    (out / CONVERTED).write_text(json.dumps(asdict(about), indent=1))


def load_converted(
    folder: Path, settings: Settings | None = None
) -> tuple[CompiledPolicy, Manifest]:
    """Reads a converted policy, believes it only after every hash, probe and its golden chunk.

    Args:
        folder: Folder that `convert` wrote.
        settings: How it computes; the defaults of `Settings` where there are none.

    Raises:
        BadCheckpoint: The folder is damaged or incomplete.
        EngineRefused: The library of the engine is not installed, or computes something else.
    """
    settings = settings or Settings()
    manifest, about = load_manifest(folder), _read_conversion(folder)
    if about.weights_sha256 != manifest.weights_sha256:
        raise BadCheckpoint(
            f'{folder} was converted from other weights than its manifest names; export it again.'
        )
    check_inputs(folder, manifest)
    interface, engine = PolicyInterface(manifest.policy), ENGINES[about.backend]
    signature = interface.signature
    files = {name: _read(folder / name, sha256) for name, sha256 in about.sha256.items()}
    try:
        inputs, results = unpack_probes(files[PROBES], signature)
    except ValueError as error:
        raise BadCheckpoint(f'{folder / PROBES}: {error}') from error
    machine = engine.check(settings)
    session = engine.open(files, signature, settings)
    agreement = verify(session, inputs, results, signature, settings.precision)
    if settings.precision == 'fp32':
        golden = session.run(interface.arrays(golden_observation(manifest.policy)))
        check_golden_actions(folder, manifest, golden['actions'][0])
    origin = f'Loaded from {folder}, converted by {about.made_with}.'
    report = Report(engine.name, settings, machine, agreement, origin, ())
    return CompiledPolicy(interface, session, report), manifest


def _read_conversion(folder: Path) -> Conversion:
    path = folder / CONVERTED
    try:
        content = json.loads(path.read_text())
        about = cattrs.Converter(forbid_extra_keys=True).structure(content, Conversion)
    except (OSError, ValueError, cattrs.BaseValidationError) as error:
        raise BadCheckpoint(f'{path} cannot be read: {error}. Export the policy again.') from error
    known = {
        engine.name: {*engine.files, PROBES} for engine in ENGINES.values() if engine.portable
    }
    if about.format != FORMAT or set(about.sha256) != known.get(about.backend):
        readable = ', '.join(f'{name!r} with {sorted(files)}' for name, files in known.items())
        raise BadCheckpoint(
            f'{path} has format {about.format} of {about.backend!r} with {sorted(about.sha256)}; '
            f'this package reads format {FORMAT} of {readable}. Export the policy again.'
        )
    return about


def _read(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadCheckpoint(f'{path} cannot be read: {error}.') from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BadCheckpoint(f'{path} was changed or cut after it was exported; copy it again.')
    return data
