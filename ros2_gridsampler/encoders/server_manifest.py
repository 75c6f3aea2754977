# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a server offers <-> one JSON text: names, hashes, sizes, and each encoder's manifest."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import cattrs

from .encoder_checkpoint import ENCODER_WEIGHTS, EncoderManifest, load_encoder_manifest
from .strict_json import NotBelieved, parse, structure
from .weight_file import bytes_range

FORMAT = 1
MAX_BYTES = 4 << 20
MAX_ENCODERS = 64
_MAX_CONTAINERS = 64 * MAX_ENCODERS
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{0,63}', re.ASCII)
_SHA256 = re.compile(r'[0-9a-f]{64}', re.ASCII)


@dataclass(frozen=True)
class ServedEncoder:
    """One encoder that a server offers.

    Attributes:
        name: Name of its folder on the server; letters, digits, '.', '_' and '-'.
        sha256: Hash of the weights file.
        bytes: Size of the weights file.
        manifest: What its folder's manifest says: architecture, preparation, results.
    """

    name: str
    sha256: str
    bytes: int
    manifest: EncoderManifest

    def __post_init__(self) -> None:
        """Refuses what no honest server says.

        Raises:
            NotBelieved: The name could leave a folder, or the size is not that of the
                architecture.
        """
        check_name(self.name)
        if not _SHA256.fullmatch(self.sha256) or self.sha256 != self.manifest.weights_sha256:
            raise NotBelieved(f'sha256 of {self.name!r} is not that of its manifest.')
        low, high = bytes_range(self.manifest.encoder)
        if not low <= self.bytes <= high:
            raise NotBelieved(
                f'{self.name!r} claims {self.bytes} bytes; its architecture has {low} to {high}.'
            )


@dataclass(frozen=True)
class ServerManifest:
    """All that a server offers, and which of it the fleet should use.

    Attributes:
        format: Version of this layout.
        active: Name of the encoder to use; empty for each policy's own.
        encoders: In order of their names.
    """

    format: int
    active: str
    encoders: tuple[ServedEncoder, ...]

    def __post_init__(self) -> None:
        """Refuses too much, a name twice, and an active encoder that is not there."""
        if self.format != FORMAT:
            raise NotBelieved(f'Format {self.format} is not read, {FORMAT} is.')
        names = [encoder.name for encoder in self.encoders]
        if len(names) > MAX_ENCODERS:
            raise NotBelieved(f'{len(names)} encoders are served, at most {MAX_ENCODERS} are.')
        if len(set(names)) != len(names):
            raise NotBelieved('Two encoders have one name; give each its own.')
        if self.active and self.active not in names:
            raise NotBelieved(f'The active encoder {self.active[:64]!r} is none of {names}.')

    @property
    def active_encoder(self) -> ServedEncoder | None:
        """The one to use; None for each policy's own."""
        return next((found for found in self.encoders if found.name == self.active), None)


def check_name(name: str) -> None:
    """Refuses a name that is not a plain folder name.

    Raises:
        NotBelieved: It is none.
    """
    if not _NAME.fullmatch(name):
        raise NotBelieved(
            f'{name[:64]!r} is no name of an encoder; use letters, digits, ".", "_" and "-", at '
            'most 64, the first a letter or digit.'
        )


def read_server_manifest(text: str) -> ServerManifest:
    """Reads what a server offers from its JSON; the server need not be honest.

    Raises:
        NotBelieved: Anything in it is out of bounds, missing, unknown or contradictory.
    """
    what = "The encoder server's manifest"
    content = parse(text, what, max_bytes=MAX_BYTES, max_containers=_MAX_CONTAINERS)
    if not isinstance(content, dict) or not isinstance(content.get('encoders'), list):
        raise NotBelieved(f'{what} is not an object with a list "encoders".')
    if len(content['encoders']) > MAX_ENCODERS:
        raise NotBelieved(
            f'{what} lists {len(content["encoders"])} encoders, at most {MAX_ENCODERS} are read.'
        )
    return structure(content, ServerManifest, what)


def write_server_manifest(manifest: ServerManifest) -> str:
    """Returns the text that `read_server_manifest` reads.

    Raises:
        NotBelieved: Nobody would read it: it is too long.
    """
    text = json.dumps(cattrs.unstructure(manifest))
    read_server_manifest(text)
    return text


def list_encoders(folder: Path, active: str = '') -> ServerManifest:
    """Returns the encoders in a folder of encoder folders; weights are not read here.

    Raises:
        BadCheckpoint: A manifest cannot be read.
        NotBelieved: An encoder cannot be served.
        ValueError: There is no such active encoder.
    """
    served = []
    for place in sorted(folder.iterdir()):
        weights = place / ENCODER_WEIGHTS
        if weights.is_file():
            manifest = load_encoder_manifest(place)
            size = weights.stat().st_size
            served.append(ServedEncoder(place.name, manifest.weights_sha256, size, manifest))
    names = [encoder.name for encoder in served]
    if active and active not in names:
        raise ValueError(f'{active!r} is none of the encoders {names} in {folder}.')
    return ServerManifest(FORMAT, active, tuple(served))
