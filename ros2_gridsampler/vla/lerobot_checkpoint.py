# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A lerobot checkpoint folder <-> its policy, its processors, and the robot it was trained on.

lerobot's folder says neither which joint a number belongs to, nor its unit, nor the time between
two actions. `robot.json` does, and carries the hashes of the other files: nothing else may drive
an arm. A policy with reducers has `reducers.json` beside its weights, which then are lerobot's
and the reducers' in one file.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import cattrs
import torch

from ..files import hash_file, structure
from ..policy.manifest import BadCheckpoint
from .lerobot import SamplerPlan, SeenPoints
from .lerobot_folder import (
    PROCESSORS,
    check_language_model,
    check_processors,
    check_statistics,
    first_line,
    read_config,
    registered_steps,
)
from .lerobot_weights import load_weights
from .robot import Robot

ROBOT, PLAN = 'robot.json', 'reducers.json'
Statistics = Mapping[str, Mapping[str, Any]]
"""Feature -> statistic, such as 'mean' -> its numbers."""
FORMAT = 1


@dataclass(frozen=True)
class Adoption:
    """The content of `robot.json`.

    Attributes:
        format: Version of this layout.
        robot: What the numbers mean.
        sha256: File name -> hash, of every other file of the folder that is read.
        golden_actions: The chunk for a made-up observation, physical units.
        source: Name on the hub and commit that the folder was fetched from; empty for others.
    """

    format: int
    robot: Robot
    sha256: dict[str, str]
    golden_actions: tuple[tuple[float, ...], ...]
    source: str = ''


@dataclass(frozen=True)
class LerobotModel:
    """A policy that lerobot has loaded, and what was attached to it.

    Attributes:
        policy: lerobot's object, in evaluation mode; on the CPU as it is loaded.
        preprocess: Observation features -> batch.
        postprocess: Actions of the policy -> actions of the dataset.
        seen: Where it looks; None without reducers.
        plan: What was attached; None for the dense policy.
        words: Held by whoever prepares words, which two threads at a time may not.
    """

    policy: Any
    preprocess: Any
    postprocess: Any
    seen: SeenPoints | None
    plan: SamplerPlan | None
    words: Lock = field(default_factory=Lock, compare=False)

    @property
    def device(self) -> torch.device:
        """Where the policy computes, and its processors put what it reads."""
        return next(self.policy.parameters()).device

    def prepared(self, features: dict[str, Any]) -> Any:
        """Returns observation features as the batch that the policy reads."""
        with self.words:
            return self.preprocess(features)

    def to(self, device: torch.device) -> 'LerobotModel':
        """Moves the policy, and tells its processors; actions come back to the CPU."""
        self.policy.to(device)
        self.policy.config.device = str(device)
        for step in self.preprocess.steps:
            if type(step).__name__ == 'DeviceProcessorStep':
                # lerobot's own constructor forgets which GPU.
                step.device, step.tensor_device = device.type, device
                step.non_blocking = device.type == 'cuda'
        return self


def load_model_folder(
    folder: Path,
    language_model: str,
    *,
    absent: Collection[str] = (),
    statistics: Statistics | None = None,
) -> LerobotModel:
    """Reads policy and processors; files are believed as they are, see `load_adoption`.

    Args:
        folder: lerobot's checkpoint folder.
        language_model: Folder of the language model, as in `Robot`.
        absent: Cameras of the policy that the robot does not have, as in `Robot`.
        statistics: What the processors normalise by, not by their own; None for theirs.

    Raises:
        BadCheckpoint: Files are missing or do not fit each other.
    """
    from lerobot.policies.factory import make_pre_post_processors

    config = read_config(folder)
    check_processors(folder)
    config.device = 'cpu'
    # The checkpoint holds all weights: nothing is to be fetched.
    if hasattr(config, 'pretrained_backbone_weights'):
        config.pretrained_backbone_weights = None
    if hasattr(config, 'vlm_model_name'):
        config.load_vlm_weights = False
        if language_model:
            config.vlm_model_name = str(folder / language_model)
    if not language_model:
        check_language_model(folder, config)
    elif not (folder / language_model).is_dir():
        raise BadCheckpoint(
            f'{folder} reads sentences with the language model in {folder / language_model}, '
            'which is no folder here; bring it there, or adopt the checkpoint again with the '
            'language_model that is here.'
        )
    try:
        plan = load_plan(folder)
        policy, seen = load_weights(config, folder, plan)
        steps = [_overrides(folder, name, language_model, statistics) for name in PROCESSORS]
        before, after = make_pre_post_processors(
            config,
            pretrained_path=str(folder),
            preprocessor_overrides=steps[0],
            postprocessor_overrides=steps[1],
        )
    except (BadCheckpoint, ImportError):
        raise
    except Exception as error:  # whatever lerobot stumbles over
        raise BadCheckpoint(
            f'{folder} cannot be loaded by lerobot: {first_line(error)}. Copy the folder again, '
            'or install the version of lerobot that wrote it.'
        ) from error
    check_statistics(folder, config, before, after, absent)
    return LerobotModel(policy.eval(), before, after, seen, plan)


def save_model_folder(model: LerobotModel, folder: Path) -> None:
    """Writes policy, processors and plan as `load_model_folder` reads them.

    The model is moved to the CPU: where it was computed is no part of a checkpoint.
    """
    model.to(torch.device('cpu'))
    folder.mkdir(parents=True, exist_ok=True)
    model.policy.save_pretrained(folder)
    save_processors(model, folder)
    if model.plan is not None:
        (folder / PLAN).write_text(json.dumps(cattrs.unstructure(model.plan), indent=1))


def save_processors(model: LerobotModel, folder: Path) -> None:
    """Writes the processors with their statistics."""
    for processor, name in zip((model.preprocess, model.postprocess), PROCESSORS, strict=True):
        processor.save_pretrained(folder, config_filename=f'{name}.json')


def read_statistics(path: Path) -> Statistics:
    """Returns the statistics of a LeRobot dataset, its `meta/stats.json`.

    Raises:
        ValueError: The file holds none.
    """
    try:
        content = json.loads(path.read_text('utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is not JSON: {error}') from error
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise ValueError(
            f'{path} holds no statistics; give meta/stats.json of the LeRobot dataset that the '
            'policy was trained on.'
        )
    return content


def load_plan(folder: Path) -> SamplerPlan | None:
    """Returns what is attached to the policy of a folder; None for nothing.

    Raises:
        BadCheckpoint: The file does not describe a plan.
    """
    path = folder / PLAN
    return _structure(path, SamplerPlan) if path.exists() else None


def load_adoption(folder: Path) -> Adoption:
    """Reads `robot.json` and believes the other files after their hashes.

    Raises:
        BadCheckpoint: It is missing, or a file was changed, added or removed.
    """
    if not (folder / ROBOT).is_file():
        raise BadCheckpoint(
            f'{folder} is a lerobot checkpoint without {ROBOT}: joints, units and period are '
            'unknown. Describe the robot once with `gridsampler adopt`.'
        )
    adoption = _structure(folder / ROBOT, Adoption)
    if adoption.format != FORMAT:
        raise BadCheckpoint(f'{folder / ROBOT} has format {adoption.format}, expected {FORMAT}.')
    found = hash_files(folder)
    for name in sorted(set(found) | set(adoption.sha256)):
        if found.get(name) != adoption.sha256.get(name):
            raise BadCheckpoint(
                f'{folder / name} is not the file that {ROBOT} was written for; copy the folder '
                'again, or check it and run `gridsampler adopt` again.'
            )
    return adoption


def hash_files(folder: Path) -> dict[str, str]:
    """Returns the sha256 of every file that is read: weights, configs, processors."""
    files = [path for kind in ('*.safetensors', '*.json') for path in folder.glob(kind)]
    ignored = {ROBOT, 'train_config.json'}
    return {path.name: hash_file(path) for path in sorted(files) if path.name not in ignored}


def _overrides(
    folder: Path, name: str, language_model: str, statistics: Statistics | None
) -> dict[str, dict[str, Any]]:
    steps = registered_steps(folder, name)
    overrides: dict[str, dict[str, Any]] = {}
    if 'device_processor' in steps:
        overrides['device_processor'] = {'device': 'cpu'}
    if 'tokenizer_processor' in steps and language_model:
        overrides['tokenizer_processor'] = {'tokenizer_name': str(folder / language_model)}
    for step in ('normalizer_processor', 'unnormalizer_processor'):
        if step in steps and statistics is not None:
            overrides[step] = {'stats': statistics}
    return overrides


def _structure(path: Path, kind: type[Any]) -> Any:
    try:
        return structure(json.loads(path.read_text()), kind)
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f'{path} cannot be read: {error}.') from error
