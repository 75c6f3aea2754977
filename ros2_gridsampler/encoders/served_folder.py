# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A folder of encoders -> what a server may say of it, checked in a process of its own.

The checks need PyTorch, which takes more memory than many a file of weights; a server must not.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from ..policy.manifest import MANIFEST
from .apart import answer, run_apart


@dataclass(frozen=True)
class ServedFolder:
    """A folder that was checked.

    Attributes:
        manifest: JSON that tells the receivers what is served.
        weights: File of the active encoder; empty for each policy's own.
        sha256: Hash of that file.
        bytes: Size of that file.
    """

    manifest: str
    weights: str
    sha256: str
    bytes: int


def check_folder(folder: Path, active: str) -> ServedFolder:
    """Reads all manifests, and the active encoder's weights as a receiver would.

    Raises:
        ValueError: An encoder must not be served, or there is none of that name.
    """
    from ..files import hash_file
    from .encoder_checkpoint import ENCODER_WEIGHTS
    from .server_manifest import list_encoders, write_server_manifest
    from .weight_file import check_weight_file

    manifest = list_encoders(folder, active)
    text = write_server_manifest(manifest)
    encoder = manifest.active_encoder
    if encoder is None:
        return ServedFolder(text, '', '', 0)
    weights = folder / active / ENCODER_WEIGHTS
    check_weight_file(weights, encoder.manifest.encoder)
    if hash_file(weights) != encoder.sha256:
        raise ValueError(
            f'{weights} is not the file that its manifest names; copy the folder again.'
        )
    return ServedFolder(text, str(weights), encoder.sha256, encoder.bytes)


def refuse_no_encoders(folder: Path) -> None:
    """Refuses a folder that somebody named by mistake: there is nothing in it to serve.

    Raises:
        ValueError: It is missing, a file, empty, or an encoder itself.
    """
    if not folder.is_dir():
        raise ValueError(f'{folder} is no folder; name one that holds folders of encoders.')
    if (folder / MANIFEST).exists():
        raise ValueError(
            f'{folder} is a checkpoint itself; name the folder that it lies in, which may hold '
            'others too.'
        )
    if not any(folder.glob(f'*/{MANIFEST}')):
        raise ValueError(
            f'{folder} holds no encoder, that is no folder with a {MANIFEST}; pretrain or import '
            'one into it.'
        )


def check_folder_apart(folder: Path, active: str) -> ServedFolder:
    """As `check_folder`, in a process that is gone afterwards.

    Raises:
        ValueError: `check_folder` refuses the folder.
    """
    return ServedFolder(**json.loads(run_apart(__name__, [str(folder), active])))


def main() -> None:
    """Checks the folder and the name that the command line gives."""
    answer(lambda: json.dumps(asdict(check_folder(Path(sys.argv[1]), sys.argv[2]))))


if __name__ == '__main__':
    main()
