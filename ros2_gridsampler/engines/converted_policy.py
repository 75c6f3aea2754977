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
    golden_observation,
    load_manifest,
)
from . import openvino
from .compiled_policy import CompiledPolicy, Report
from .engine import Precision, as_inputs
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
        weights_sha256: Of the weights of the checkpoint that was converted.
        sha256: Of every other file that is read, but the manifest.
    """

    format: int
    backend: str
    made_with: str
    weights_sha256: str
    sha256: dict[str, str]


def is_converted(folder: Path) -> bool:
    """Whether a folder holds a converted policy."""
    return (folder / CONVERTED).is_file()


def convert(policy: Policy, checkpoint: Path, out: Path) -> None:
    """Write the folder; `converted.json` last, so a cut write is noticed.

    Args:
        policy: Loaded from the checkpoint.
        checkpoint: Its folder.
        out: Created where needed.

    Raises:
        EngineRefused: OpenVINO is not installed or cannot convert the policy.
    """
    from .exported_graph import Graph, export, probes, run_eagerly

    machine = openvino.check('fp32')
    graph = Graph(policy).eval()
    inputs = probes(policy.config, [golden_observation(policy.config)])
    outputs = [run_eagerly(graph, given) for given in inputs]
    files = dict(openvino.build(export(policy, inputs[0])))
    files[PROBES] = pack_probes(inputs, outputs)
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
        FORMAT,
        openvino.NAME,
        machine.engine,
        load_manifest(checkpoint).weights_sha256,
        {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    (out / CONVERTED).write_text(json.dumps(asdict(about), indent=1))


def load_converted(
    folder: Path, precision: Precision = 'fp32', threads: int = 1
) -> tuple[CompiledPolicy, Manifest]:
    """Read a converted policy, believe it only after every hash, probe and its golden chunk.

    Args:
        folder: From `convert`.
        precision: 'fp32', or what the processor can do besides.
        threads: Of one inference.

    Raises:
        BadCheckpoint: The folder is damaged or incomplete.
        EngineRefused: OpenVINO is not installed, or computes something else.
    """
    manifest, about = load_manifest(folder), _read_conversion(folder)
    config = manifest.policy
    if about.weights_sha256 != manifest.weights_sha256:
        raise BadCheckpoint(
            f'{folder} was converted from other weights than its manifest names; export it again.'
        )
    check_inputs(folder, manifest)
    files = {name: _read(folder / name, sha256) for name, sha256 in about.sha256.items()}
    try:
        inputs, outputs = unpack_probes(files[PROBES])
    except ValueError as error:
        raise BadCheckpoint(f'{folder / PROBES}: {error}') from error
    machine = openvino.check(precision)
    engine = openvino.OpenVinoEngine(files, precision, threads)
    agreement = verify(engine, inputs, outputs, config, precision)
    if precision == 'fp32':
        golden = engine.run(as_inputs(config, golden_observation(config)))
        check_golden_actions(folder, manifest, golden.actions[0])
    origin = f'Loaded from {folder}, converted by {about.made_with}.'
    report = Report('openvino', precision, threads, machine, agreement, origin, ())
    return CompiledPolicy(config, engine, report), manifest


def _read_conversion(folder: Path) -> Conversion:
    path = folder / CONVERTED
    try:
        content = json.loads(path.read_text())
        about = cattrs.Converter(forbid_extra_keys=True).structure(content, Conversion)
    except (OSError, ValueError, cattrs.BaseValidationError) as error:
        raise BadCheckpoint(f'{path} cannot be read: {error}. Export the policy again.') from error
    known = {openvino.DESCRIPTION, openvino.WEIGHTS, PROBES}
    if about.format != FORMAT or about.backend != openvino.NAME or set(about.sha256) != known:
        raise BadCheckpoint(
            f'{path} has format {about.format} of {about.backend!r} with {sorted(about.sha256)}; '
            f'this package reads format {FORMAT} of {openvino.NAME!r} with {sorted(known)}. '
            'Export the policy again.'
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
