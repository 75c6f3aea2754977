# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Arguments that need no flag, with the names that `--help` gives them."""

from pathlib import Path
from typing import Annotated

import tyro

Bags = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar='BAG...')]
Encoder = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='ENCODER')]
Files = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar='FILE...')]
Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='FOLDER')]
Live = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='LIVE')]
Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='NAME')]
Page = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='PAGE')]
Policy = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar='POLICY')]
Recipe = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='RECIPE')]
Reference = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='REFERENCE')]
Robot = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='ROBOT')]
Source = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='SOURCE')]
Weights = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar='WEIGHTS')]
