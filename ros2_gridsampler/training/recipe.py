# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A YAML recipe -> the configuration of a training run."""

from pathlib import Path

import cattrs
import yaml

from .train_policy import TrainConfig


def load_recipe(path: Path) -> TrainConfig:
    """Read a recipe; what it does not name keeps its default.

    Raises:
        ValueError: A key is unknown, missing or of the wrong type; the text names it.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f'{path} is not YAML: {error}') from error
    try:
        return cattrs.Converter(forbid_extra_keys=True).structure(content, TrainConfig)
    except (cattrs.BaseValidationError, ValueError, TypeError) as error:
        problems = '; '.join(cattrs.transform_error(error))
        raise ValueError(f'{path} is not a training recipe: {problems}.') from error
