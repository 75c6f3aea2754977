# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An engine that one process built and verified -> the same engine in another, without PyTorch.

Tracing, converting and collecting the garbage of that hold Python's lock for up to half a second
at a time; opening the files that came out hardly does.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import cattrs

from . import Verified
from .compiled_policy import CompiledPolicy, Interface, Report
from .engine import EngineRefused
from .probe_file import PROBES, pack_probes, unpack_probes
from .table import ENGINES
from .verification import verify

REPORT = 'report.json'


def hand_over(made: Verified, folder: Path) -> None:
    """Write the engine's files, what tries it out, and how it came about."""
    for name, content in made.files.items():
        (folder / name).write_bytes(content)
    (folder / PROBES).write_bytes(pack_probes(made.inputs, made.expected))
    about = {'report': asdict(made.report), 'files': sorted(made.files)}
    (folder / REPORT).write_text(json.dumps(about))


def take_over(folder: Path, interface: Interface) -> CompiledPolicy:
    """Open what `hand_over` wrote, and compare it here too with what PyTorch made of the probes.

    Args:
        folder: Nothing of it is needed afterwards.
        interface: Of the policy that was handed over.

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
    """A file; others run meanwhile, and engines may use the memory without a copy."""
    content = bytearray(path.stat().st_size)
    with path.open('rb', buffering=0) as file:
        view = memoryview(content)
        while view and (count := file.readinto(view)):
            view = view[count:]
    return content
