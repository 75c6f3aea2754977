# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A lerobot folder -> its config, or the one sentence that says what keeps it from being loaded.

lerobot itself answers such folders with a traceback, with a list of raw keys, or with a policy
that was never given its weights.
"""

import dataclasses
import importlib.metadata
import json
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ..policy.manifest import BadCheckpoint

CONFIG, WEIGHTS, ADAPTER = 'config.json', 'model.safetensors', 'adapter_config.json'
PROCESSORS = ('policy_preprocessor', 'policy_postprocessor')
# Mode of normalisation, as lerobot names it -> the statistics that it reads.
_STATISTICS = {
    'MEAN_STD': ('mean', 'std'),
    'MIN_MAX': ('min', 'max'),
    'QUANTILES': ('q01', 'q99'),
    'QUANTILE10': ('q10', 'q90'),
}
# What lerobot called the layers that processors have since replaced.
_OLD_LAYERS = ('normalize', 'unnormalize', 'input_normalizer', 'output_normalizer')
_NAME = re.compile(r'[\w.-]+/[\w.-]+')
# Files that show that a language model was fetched as a whole.
_FETCHED = ('config.json', 'tokenizer_config.json')


def read_config(folder: Path) -> Any:
    """Returns the config of a policy, as lerobot reads it.

    Raises:
        BadCheckpoint: There is none, or the installed lerobot does not know it.
    """
    # The factory is what makes all kinds of policies known.
    import lerobot.policies.factory  # noqa: F401
    from lerobot.configs.policies import PreTrainedConfig

    path = folder / CONFIG
    content = read_json(path)
    kind, known = content.get('type'), sorted(PreTrainedConfig.get_known_choices())
    version = importlib.metadata.version('lerobot')
    if kind not in known:
        raise BadCheckpoint(
            f'{path} has the type {kind!r}, which lerobot {version} does not know; it knows '
            f'{known}. Install the version of lerobot that wrote the checkpoint.'
        )
    fields = {field.name for field in dataclasses.fields(PreTrainedConfig.get_choice_class(kind))}
    if unknown := sorted(set(content) - fields - {'type'}):
        raise BadCheckpoint(
            f'{path} has the keys {unknown}, which {kind!r} of lerobot {version} does not know: '
            'another version wrote it. Install that version, or take these keys out of the file '
            'if the policy computes the same without them.'
        )
    try:
        return PreTrainedConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whoever parses it ends in ways of its own
        raise BadCheckpoint(
            f'{path} cannot be read by lerobot {version}: {first_line(error)}. Install the '
            'version of lerobot that wrote it.'
        ) from error


def fetch_snapshot(name: str, revision: str, out: Path) -> str:
    """Downloads a policy from the hub, the files of one commit, whole or not at all.

    Args:
        name: Such as 'lerobot/act_aloha_sim_transfer_cube_human'.
        revision: Commit, tag or branch; empty for the newest commit.
        out: A new folder. The same call goes on with a download that was stopped.

    Returns:
        Name and commit.

    Raises:
        FileExistsError: The folder is there already.
        BadCheckpoint: There is no such checkpoint, or the hub cannot be reached.
    """
    import lerobot  # noqa: F401  # says what to install, where the hub's client is missing too
    from huggingface_hub import HfApi, constants, snapshot_download

    if not _NAME.fullmatch(name):
        raise BadCheckpoint(f'{name} is neither a folder here nor a name on the hub, OWNER/NAME.')
    if out.exists():
        raise FileExistsError(
            f'{out} is there already: adopt it as it is, or name another folder with --out.'
        )
    partial = out.with_name(f'{out.name}.partial')
    try:
        api = HfApi()
        commit = api.model_info(name, revision=revision or None).sha
        published = api.list_repo_files(name, revision=commit)
        snapshot_download(
            name,
            revision=commit,
            local_dir=partial,
            allow_patterns=['*.json', '*.safetensors'],
            ignore_patterns=['*/*'],
        )
    except Exception as error:  # of the hub, its client, or the network
        raise BadCheckpoint(
            f'{name} is no folder here, and cannot be fetched from {constants.ENDPOINT}: '
            f'{first_line(error)} Look at the name, at the network, and whether it needs '
            '`hf auth login`.'
        ) from error
    shutil.rmtree(partial / '.cache', ignore_errors=True)
    for path in partial.iterdir():
        if (
            path.is_file() and path.name not in published
        ):  # of a download of another commit that was stopped
            path.unlink()
    partial.replace(out)
    return f'{name}@{commit}'


def check_processors(folder: Path) -> None:
    """Refuses a folder without processors, or with steps that are not lerobot's own.

    Raises:
        BadCheckpoint: Says how to migrate a checkpoint that is older than processors.
    """
    missing = [f'{name}.json' for name in PROCESSORS if not (folder / f'{name}.json').is_file()]
    if missing and any(name.startswith(_OLD_LAYERS) for name in _tensor_names(folder)):
        raise BadCheckpoint(
            f'{folder} was saved before lerobot kept normalisation in processors. Migrate it '
            'once: python -m lerobot.processor.migrate_policy_normalization --pretrained-path '
            f'{folder} --output-dir {folder}_migrated; then adopt {folder}_migrated. (At its end '
            'it asks the hub to look at a model card, which may fail.)'
        )
    if missing:
        raise BadCheckpoint(
            f'{folder} has no {" and no ".join(missing)}; copy the whole folder that lerobot '
            'saved.'
        )
    for name in PROCESSORS:
        if None in registered_steps(folder, name):
            # lerobot would import whatever class the file names.
            raise BadCheckpoint(
                f'{folder / name}.json names a step that is not one of lerobot itself; nothing '
                'else is imported. Save the checkpoint with the processors of lerobot.'
            )


def registered_steps(folder: Path, name: str) -> list[str | None]:
    """Returns what lerobot calls the steps of a processor; None for a step of somebody else.

    Raises:
        BadCheckpoint: The file cannot be read.
    """
    path = folder / f'{name}.json'
    steps = read_json(path).get('steps')
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise BadCheckpoint(f'{path} lists no steps; copy the folder again.')
    return [step.get('registry_name') for step in steps]


def check_language_model(folder: Path, config: Any) -> None:
    """Refuses a policy whose language model would have to be fetched.

    Raises:
        BadCheckpoint: Says how to get it once, and where to name it.
    """
    named = {getattr(config, 'vlm_model_name', None): CONFIG}
    for step in read_json(folder / f'{PROCESSORS[0]}.json')['steps']:
        if step.get('registry_name') == 'tokenizer_processor':
            named.setdefault(step.get('config', {}).get('tokenizer_name'), _FETCHED[1])
    for name, file in named.items():
        if not name or Path(name).is_dir():
            continue
        if cached(name, file) is None:
            raise BadCheckpoint(
                f'{folder} reads sentences with {name!r}, which is not on this machine. Fetch its '
                f'config and tokenizer once (hf download {name} --exclude "*.safetensors" '
                '"*.bin" "*.pt"), or name a folder that holds them as language_model in the '
                'description of the robot.'
            )


def cached(name: str, file: str, revision: str | None = None) -> Path | None:
    """Returns where a file of a repository of the hub is on this machine; None where it is not."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, file, revision=revision)
    except HFValidationError:  # a folder of the machine where it was trained
        return None
    return Path(found) if isinstance(found, str) else None


def check_statistics(
    folder: Path, config: Any, preprocess: Any, postprocess: Any, absent: Collection[str]
) -> None:
    """Refuses processors that would let numbers pass as they are where they have to normalise.

    Args:
        folder: For the text.
        config: Config of the policy.
        preprocess: lerobot's processor of what the policy reads.
        postprocess: lerobot's processor of what it gives.
        absent: Features that the policy does not get.

    Raises:
        BadCheckpoint: Names the feature, the mode and the statistics.
    """
    reads = {
        name: feature
        for name, feature in config.input_features.items()
        if name not in absent and 'empty_camera' not in name
    }
    given = (
        (preprocess, PROCESSORS[0], reads),
        (postprocess, PROCESSORS[1], config.output_features),
    )
    for processor, file, features in given:
        for name, feature in features.items():
            mode, found = _normalisation(processor, config, name, feature)
            wrong = [
                statistic
                for statistic in _STATISTICS.get(mode, ())
                if not _fits(found.get(f'{name}.{statistic}'), feature)
            ]
            if wrong:
                raise BadCheckpoint(
                    f'{folder / file}.json normalises {name} by {mode}, but has no usable '
                    f'{" and no ".join(wrong)} of its {feature.shape[0]} numbers: lerobot would '
                    'let them pass as they are, and the arm would hardly move. Give the '
                    'statistics of the data that it was trained on: gridsampler adopt '
                    f'{folder} ROBOT.yaml --statistics DATASET/meta/stats.json.'
                )


def _normalisation(
    processor: Any, config: Any, name: str, feature: Any
) -> tuple[str, dict[str, torch.Tensor]]:
    """Returns by which mode a feature is normalised, and all statistics of that step."""
    for step in processor.steps:
        if name in getattr(step, 'features', ()) and hasattr(step, 'norm_map'):
            chosen = getattr(step, 'normalize_observation_keys', None)
            if chosen is not None and name not in chosen and name != 'action':
                return 'IDENTITY', {}
            mode = step.norm_map.get(feature.type)
            return ('IDENTITY' if mode is None else mode.value), step.state_dict()
    mode = config.normalization_mapping.get(feature.type.value)
    return ('IDENTITY' if mode is None else mode.value), {}


def _fits(statistic: torch.Tensor | None, feature: Any) -> bool:
    return (
        statistic is not None
        and statistic.ndim > 0
        and statistic.shape[0] == feature.shape[0]
        and bool(torch.isfinite(statistic).all())
    )


def _tensor_names(folder: Path) -> Iterator[str]:
    if (folder / WEIGHTS).is_file():
        try:
            with safe_open(folder / WEIGHTS, 'pt') as file:
                yield from file.keys()
        except SafetensorError as error:
            raise BadCheckpoint(
                f'{folder / WEIGHTS} is not a whole safetensors file: {error}. Copy it again.'
            ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Returns the keys and values of a file of a checkpoint.

    Raises:
        BadCheckpoint: It is not there, or holds none.
    """
    try:
        content = json.loads(path.read_text('utf-8'))
    except FileNotFoundError as error:
        raise BadCheckpoint(
            f'{path.parent} has no {path.name}; name the folder pretrained_model that lerobot '
            'saved.'
        ) from error
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f'{path} cannot be read: {error}. Copy the folder again.') from error
    if not isinstance(content, dict):
        raise BadCheckpoint(f'{path} holds no keys and values; copy the folder again.')
    return content


def first_line(error: BaseException) -> str:
    """Returns how an error of lerobot begins, which may go on over many lines."""
    return str(error).strip().partition('\n')[0][:300] or type(error).__name__
