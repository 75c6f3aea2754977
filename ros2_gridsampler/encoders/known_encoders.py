# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Name of an encoder -> its folder: a path, one that comes along, or one in the store."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..files import find
from ..policy.manifest import MANIFEST, BadCheckpoint
from .encoder_checkpoint import ENCODER_WEIGHTS, EncoderManifest, load_encoder_manifest
from .encoder_store import NAMES


@dataclass(frozen=True)
class KnownEncoder:
    """An encoder on this machine.

    Attributes:
        name: Name by which it is found.
        folder: Folder that holds it.
        manifest: Its manifest; the weights were not read.
    """

    name: str
    folder: Path
    manifest: EncoderManifest


def find_encoder(name: str, store: Path) -> Path:
    """Returns the folder of an encoder.

    Args:
        name: A path, the name of one that comes with the package, or of one in the store.
        store: Folder of encoders that were received.

    Raises:
        FileNotFoundError: There is none of that name; the text lists those that there are.
    """
    path = Path(name).expanduser()
    if name and (path / MANIFEST).is_file():
        return path
    for known in known_encoders(store):
        if known.name == name:
            return known.folder
    names = sorted({known.name for known in known_encoders(store)})
    raise FileNotFoundError(
        f'{name!r} is neither the folder of an encoder nor one of {names}; name one of them or '
        'write a path.'
    )


def known_encoders(store: Path) -> Iterator[KnownEncoder]:
    """Yields the encoders that come with the package, then those in the store."""
    try:
        shipped = find('.', 'models/encoders')
    except FileNotFoundError:
        shipped = None
    folders = [] if shipped is None else [(path.name, path) for path in sorted(shipped.iterdir())]
    folders += [(name, store / sha256) for name, sha256 in _names(store).items()]
    for name, folder in folders:
        if not (folder / ENCODER_WEIGHTS).is_file():
            continue
        try:
            yield KnownEncoder(name, folder, load_encoder_manifest(folder))
        except BadCheckpoint:
            continue


def _names(store: Path) -> dict[str, str]:
    try:
        return dict(json.loads((store / NAMES).read_text()))
    except (OSError, ValueError):
        return {}
