# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A YAML recipe -> the configuration of a training run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import yaml

from ..files import read_yaml, structure
from .train_config import TrainConfig

Config = TypeVar('Config')


def load_recipe(path: Path, changes: Sequence[str] = ()) -> TrainConfig:
    """The configuration of a policy's training; see `read_recipe`."""
    return read_recipe(path, TrainConfig, changes)


def read_recipe(path: Path, kind: type[Config], changes: Sequence[str] = ()) -> Config:
    """Read a recipe; what it does not name keeps its default.

    Args:
        path: YAML file.
        kind: The configuration that it describes.
        changes: Like 'tokens=16': top-level keys with other values, in YAML.

    Raises:
        ValueError: A key is unknown, missing or of the wrong type; the text names it.
    """
    content, changed = read_yaml(path), {}
    for change in changes:
        key, equals, value = change.partition('=')
        if not equals:
            raise ValueError(f'A change of a recipe reads key=value, got {change!r}.')
        try:
            changed[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f'{change!r} has no YAML after its =: {error}') from error
    try:
        return structure(content | changed if isinstance(content, dict) else content, kind)
    except ValueError as error:
        raise ValueError(f'{path} is not a training recipe: {error}.') from error
