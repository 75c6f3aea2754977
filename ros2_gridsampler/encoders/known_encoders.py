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
        BadCheckpoint: The one of that name is damaged.
    """
    path = Path(name).expanduser()
    if name and (path / MANIFEST).is_file():
        return path
    damaged: dict[str, str] = {}
    there = list(known_encoders(store, damaged))
    for known in there:
        if known.name == name:
            return known.folder
    if name in damaged:
        raise BadCheckpoint(damaged[name])
    names = sorted({known.name for known in there})
    raise FileNotFoundError(
        f'{name!r} is neither the folder of an encoder nor one of {names}; name one of them or '
        'write a path.'
    )


def known_encoders(store: Path, damaged: dict[str, str] | None = None) -> Iterator[KnownEncoder]:
    """Yields the encoders that come with the package, then those in the store.

    Args:
        store: Folder of encoders that were received.
        damaged: Gets name -> reason of those that cannot be used, which are left out.
    """
    try:
        shipped = find('.', 'models/encoders')
    except FileNotFoundError:
        shipped = None
    folders = [] if shipped is None else [(path.name, path) for path in sorted(shipped.iterdir())]
    damaged = {} if damaged is None else damaged
    try:
        folders += [(name, store / sha256) for name, sha256 in _names(store).items()]
    except ValueError:
        damaged[str(store / NAMES)] = 'it is no JSON object of names and hashes; remove the file.'
    for name, folder in folders:
        if not (folder / ENCODER_WEIGHTS).is_file():
            continue
        try:
            yield KnownEncoder(name, folder, load_encoder_manifest(folder))
        except BadCheckpoint as error:
            damaged[name] = str(error)


def _names(store: Path) -> dict[str, str]:
    path = store / NAMES
    content = json.loads(path.read_text('utf-8')) if path.is_file() else {}
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds {type(content).__name__}')
    return {str(name): str(sha256) for name, sha256 in content.items()}
