# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The description of a LeRobot dataset, meta/info.json -> names, places and kinds of its parts."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any

IMAGES = 'observation.images.'
# A later v3 may hold more, as the language columns of v3.1; what it shares with v3.0 is read.
_VERSION = re.compile(r'v2\.[01]|v3\.\d+')


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
    if not _VERSION.fullmatch(str(version)):
        raise ValueError(
            f'{root} has the version {version!r}; v2.0, v2.1 and v3 are read. Convert it with '
            "LeRobot's own scripts."
        )
    whole = (
        isinstance(content.get('data_path'), str)
        and isinstance(features, dict)
        and all(
            isinstance(feature, dict)
            and isinstance(feature.get('dtype'), str)
            and isinstance(feature.get('shape'), list)
            and all(isinstance(size, int) for size in feature['shape'])
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
        template: Text of the description; it is foreign, so nothing but these is put in.
        numbers: Name -> number.

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
    path = inside(root, template.format(**numbers))
    if path is None:
        raise ValueError(
            f'The dataset names a file outside of its folder: {template.format(**numbers)!r}.'
        )
    return path


def inside(folder: Path, name: str) -> Path | None:
    """The place that a foreign text names in a folder; None where it leads out of it.

    Links in the folder may lead anywhere, as those of Hugging Face's cache do.
    """
    path = Path(os.path.normpath(folder / name))
    return path if folder in path.parents else None


def is_depth(feature: Mapping[str, Any]) -> bool:
    """Whether a camera of the dataset measures distances, which are no colours."""
    return any(
        bool(value)
        for about in (feature.get('info'), feature.get('video_info'))
        if isinstance(about, Mapping)
        for key, value in about.items()
        if str(key).endswith('is_depth_map')
    )


def entry_names(names: Any) -> list[str]:
    """Names of the entries of a state or action, however they are nested.

    Known are lists in lists, lists by group ({'motors': [...]}, {'left': [...], 'right': [...]})
    and names with their places ({'delta_x': 0, 'delta_y': 1}). A name that two groups have gets
    its group before it.
    """
    plain = [name for _, name in _leaves(names, ())]
    if len(set(plain)) == len(plain):
        return plain
    return ['_'.join([*group, name]) for group, name in _leaves(names, ())]


def _leaves(names: Any, group: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    if isinstance(names, Mapping):
        if names and all(isinstance(place, int) for place in names.values()):
            return [(group, str(name)) for name in sorted(names, key=lambda n: int(names[n]))]
        return [leaf for key, part in names.items() for leaf in _leaves(part, (*group, str(key)))]
    if isinstance(names, list):
        return [leaf for part in names for leaf in _leaves(part, group)]
    return [] if names is None else [(group, str(names))]


def camera_name(feature: str) -> str:
    """A camera's name that ROS allows in a topic: letters, digits and underscores."""
    name = feature.removeprefix(IMAGES).removeprefix('observation.')
    name = re.sub(r'[^0-9a-zA-Z]+', '_', name).strip('_') or 'camera'
    return f'camera_{name}' if name[0].isdigit() else name
