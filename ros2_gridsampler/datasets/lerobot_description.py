# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`meta/info.json` of a LeRobot dataset, whoever wrote it -> what it holds, and where."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any

VERSIONS = ('v2.1', 'v3.0')


def read_description(root: Path) -> dict[str, Any]:
    """Its values; features and data_path are there, and the version is one that is read.

    Raises:
        ValueError: It is not there, no JSON, lacks these, or is of another version.
    """
    path = root / 'meta/info.json'
    try:
        content = json.loads(path.read_text('utf-8'))
    except FileNotFoundError:
        raise ValueError(f'{root} is not a LeRobot dataset: it has no meta/info.json.') from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is not JSON: {error}.') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds {content!r:.80}, expected keys and values.')
    version, features = content.get('codebase_version'), content.get('features')
    if version not in VERSIONS:
        raise ValueError(
            f'{root} has the version {version!r}; {" and ".join(VERSIONS)} are read. Convert it '
            "with LeRobot's own scripts."
        )
    whole = (
        isinstance(content.get('data_path'), str)
        and isinstance(features, dict)
        and all(
            isinstance(feature, dict) and {'dtype', 'shape'} <= feature.keys()
            for feature in features.values()
        )
    )
    if not whole:
        raise ValueError(
            f'{path} needs a data_path, and features with dtype and shape; it has '
            f'{sorted(content)}.'
        )
    return content


def place_of(root: Path, template: str, numbers: Mapping[str, Any]) -> Path:
    """The file that a template like 'data/file-{file_index:03d}.parquet' means.

    Args:
        root: Folder of the dataset, without symbolic links.
        template: From the description; a foreign text, so nothing but these is put in.
        numbers: By name.

    Raises:
        ValueError: It asks for anything else, or leaves the folder.
    """
    for _, name, form, conversion in Formatter().parse(template):
        if name is not None and (
            name not in numbers or conversion or not re.fullmatch(r'(0?\d{0,2}d)?', form or '')
        ):
            raise ValueError(
                f'The dataset names its files {template!r}; {{{name}}} can be none of '
                f'{[*numbers]} written as a number.'
            )
    path = (root / template.format(**numbers)).resolve()
    if root not in path.parents:
        raise ValueError(f'The dataset names a file outside of its folder: {path}.')
    return path
