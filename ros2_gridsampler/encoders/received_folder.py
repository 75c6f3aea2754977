# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A folder that a server filled -> believed, after every check, or refused."""

import sys
from pathlib import Path

from .apart import answer, run_apart
from .encoder_checkpoint import ENCODER_WEIGHTS, load_encoder, load_encoder_manifest
from .weight_file import check_weight_file


def check_received(folder: Path) -> None:
    """Checks names, types, shapes and numbers of all tensors, then what they compute.

    Raises:
        NotBelieved: The file is none of weights that the manifest describes.
        BadCheckpoint: It does not compute what the manifest says.
    """
    manifest = load_encoder_manifest(folder)
    check_weight_file(folder / ENCODER_WEIGHTS, manifest.encoder)
    load_encoder(folder)


def check_received_apart(folder: Path) -> None:
    """As `check_received`, in a process of its own.

    Raises:
        ValueError: `check_received` refuses the folder.
    """
    run_apart(__name__, [str(folder)])


def main() -> None:
    """Checks the folder that the command line names."""

    def check() -> str:
        check_received(Path(sys.argv[1]))
        return ''

    answer(check)


if __name__ == '__main__':
    main()
