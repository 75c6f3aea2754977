# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A YAML recipe -> the configuration of a training run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from ..bounds import checked, setting
from ..datasets.episodes import EpisodeConfig
from ..files import read_yaml, structure
from ..policy.instruction import Reader
from ..policy.policy_config import EncoderConfig, TrunkConfig, check_sampling
from ..policy.token_reducers import check_reducer
from .compute import Compute


@dataclass(frozen=True)
@checked
class TrainConfig(Compute):
    """How a policy is trained; the defaults suit two CPU cores."""

    episodes: EpisodeConfig
    encoder: EncoderConfig
    trunk: TrunkConfig
    reducer: str = setting('grid_sampler', 'How the visual tokens become fewer')
    tokens: int = setting(4, 'Visual tokens kept per camera', minimum=0)
    sample_after: int = setting(4, 'Encoder block after which the points are read', minimum=0)
    conditioned: bool = setting(
        True, 'Whether instruction and arm state enter the point predictor'
    )
    relative: bool = setting(False, 'Whether joint targets are offsets, see PolicyConfig')
    head: Literal['direct', 'continuing', 'flow'] = setting(
        'direct',
        'Regression of the chunk; regression or flow matching that go on from steps under way',
    )
    steps: int = setting(6000, 'Optimiser steps', minimum=1)
    batch: int = setting(64, 'Samples per step', minimum=1)
    learning_rate: float = setting(6e-4, 'Peak of the cosine', above=0)
    warm_up: int = setting(300, 'Steps to the peak', minimum=0)
    weight_decay: float = setting(0.02, "AdamW's", minimum=0)
    average_decay: float = setting(0.999, 'Of the moving average', minimum=0, maximum=1)
    instruction: Reader = setting('hashed_words', 'How the policy reads its instruction')
    paraphrases: str = setting(
        '',
        'YAML file (path, or name in models/) with other ways to say the '
        'instructions; training draws from them',
    )
    landmark_weight: float = setting(5.0, 'Of the auxiliary position error', unit='1/m', minimum=0)
    proprioception_noise: float = setting(
        0.05, 'Added in training, in standard deviations', minimum=0
    )
    dimming: float = setting(
        0.0,
        'Largest share of the light that training takes from the pictures',
        minimum=0,
        maximum=1,
    )
    held_out: float = setting(0.04, 'Share of bags for validation', minimum=0, maximum=1)
    start: str = setting('', 'Checkpoint (folder or name) to start from; fresh if empty')
    pretrained: str = setting('', 'Encoder (folder or name) to start from; none if empty')
    frozen_encoder: bool = setting(False, 'Whether the encoder stays as it was at the start')
    seed: int = setting(0, 'Of initialisation, order and noise', minimum=0)
    save_every: int = setting(500, 'Steps between saved states', minimum=1)

    def __post_init__(self) -> None:
        """Refuses numbers that train nothing, and parts that do not fit each other."""
        super().__post_init__()
        check_reducer(self.reducer, self.tokens, self.encoder.grid, context=self.conditioned)
        check_sampling(self.encoder, self.sample_after)


Config = TypeVar('Config')


def load_recipe(path: Path, changes: Sequence[str] = ()) -> TrainConfig:
    """Returns the configuration of a policy's training; see `read_recipe`."""
    return read_recipe(path, TrainConfig, changes)


def read_recipe(path: Path, kind: type[Config], changes: Sequence[str] = ()) -> Config:
    """Reads a recipe; what it does not name keeps its default.

    Args:
        path: YAML file; with `extends: FILE`, beside it, only what it has otherwise than that one.
        kind: The configuration that it describes.
        changes: Like 'tokens=16': top-level keys with other values, in YAML.

    Raises:
        ValueError: A key is unknown, missing or of the wrong type; the text names it.
    """
    content, changed = _read_tree(path), {}
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


def _read_tree(path: Path, above: Sequence[Path] = ()) -> Any:
    content = read_yaml(path)
    if not isinstance(content, dict) or 'extends' not in content:
        return content
    extended = (path.parent / str(content.pop('extends'))).resolve()
    if not extended.is_file() or extended in above:
        wrong = 'extends it' if extended in above else 'is no file'
        raise ValueError(
            f'{path} extends {extended}, which {wrong}; name another recipe, by its path from '
            'this one.'
        )
    return _merged(_read_tree(extended, (*above, path.resolve())), content)


def _merged(base: Any, own: Any) -> Any:
    """Values of two recipes: mappings key by key, the rest as the second has it."""
    if not (isinstance(base, dict) and isinstance(own, dict)):
        return own
    return base | {key: _merged(base.get(key), value) for key, value in own.items()}
