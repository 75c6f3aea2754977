# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a pretraining run is: its recipe, what it costs, which bags it leaves alone."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cattrs
import numpy as np
import torch
import yaml

from ..bounds import checked, setting
from ..datasets.frames import FrameConfig
from ..files import write_whole
from ..policy.flop_count import counting
from ..policy.manifest import MANIFEST
from .compute import FREE, Compute
from .information_bounds import infonce
from .mi_mae import MiMae, MiMaeConfig, draw_masks, make_likelihood, shown
from .run_state import BAGS, CONFIG, PRETRAIN_CONFIG, begun, read_kept


@dataclass(frozen=True)
@checked
class PretrainConfig(Compute):
    """How an encoder is pretrained; the defaults suit two CPU cores."""

    frames: FrameConfig
    model: MiMaeConfig
    views: int = setting(64, 'Masked views per step; pictures are views / masks', minimum=1)
    steps: int = setting(1000, 'Optimiser steps', minimum=0)
    learning_rate: float = setting(1e-3, 'Peak of the cosine', above=0)
    likelihood_learning_rate: float = setting(1e-3, "Of q's own Adam", above=0)
    warm_up: float = setting(0.1, 'Share of the steps to the peak', minimum=0, maximum=1)
    weight_decay: float = setting(0.05, "AdamW's", minimum=0)
    held_out: float = setting(
        0.2, 'Share of bags, by their names, kept for the probes', minimum=0, maximum=1
    )
    seed: int = setting(0, 'Of initialisation, order and masks', minimum=0)
    log_every: int = setting(50, 'Steps between lines of log.jsonl', minimum=1)
    save_every: int = setting(500, 'Steps between saved states', minimum=1)

    def __post_init__(self) -> None:
        """Refuses pictures of another size than the encoder's, and views that do not divide."""
        super().__post_init__()
        encoder, preparation = self.model.encoder, self.frames.preparation
        size = (preparation.height, preparation.width)
        if size != (encoder.image_height, encoder.image_width):
            raise ValueError(
                f'Frames are prepared as {size}, the encoder reads '
                f'{(encoder.image_height, encoder.image_width)} [px].'
            )
        if self.views % self.model.masks:
            raise ValueError(f'{self.views} views are no multiple of {self.model.masks} masks.')

    @property
    def pictures(self) -> int:
        """Pictures per step, over all processes."""
        return self.views // self.model.masks


def is_held_out(bag: str, share: float) -> bool:
    """Returns whether pretraining leaves a bag of this name to the probes."""
    return int(hashlib.sha256(bag.encode()).hexdigest()[:8], 16) / 2**32 < share


def forward_operations(config: PretrainConfig) -> int:
    """Returns how many operations the forward passes of one step take, q's two included [FLOP]."""
    model = MiMae(config.model)
    size = (config.model.encoder.image_height, config.model.encoder.image_width)
    images = torch.zeros(config.pictures, *size, 3, dtype=torch.uint8)
    places = draw_masks(config.pictures, config.model, np.random.default_rng(0))
    with counting() as counter:
        views = model(images, torch.from_numpy(places))
        if config.model.weights.infonce:
            bank = torch.zeros(config.model.bank, config.model.projection)
            infonce(views.projected, views.projected, 0, config.model.temperature, bank)
        if config.model.weights.vclub:
            likelihood = make_likelihood(config.model)
            for _ in ('its own step', 'the bound'):
                likelihood(shown(config.model, images, torch.from_numpy(places)))
    return int(counter.get_total_flops())


def training_bags(config: PretrainConfig, bags: Sequence[Path]) -> list[Path]:
    """Returns the bags that are not held out for the probes.

    Raises:
        ValueError: There are none.
    """
    training = [bag for bag in bags if not is_held_out(bag.name, config.held_out)]
    if not training:
        raise ValueError(f'All {len(bags)} bags are held out for the probes; give more bags.')
    return training


def keep_config(config: PretrainConfig, bags: Sequence[Path], out: Path) -> None:
    """Writes what the run is made of, or checks that it is what the run began with.

    Args:
        config: Its recipe.
        bags: It is trained on, in their order: the probes ask which they were.
        out: Its folder.

    Raises:
        ValueError: The folder holds a run of another recipe, on other bags, or of a policy.
    """
    out.mkdir(parents=True, exist_ok=True)
    path, names = out / PRETRAIN_CONFIG, [bag.name for bag in bags]
    content = json.loads(json.dumps(cattrs.unstructure(config)))
    if (out / CONFIG).exists():
        raise ValueError(f'{out} holds the training of a policy; choose a new output folder.')
    if path.exists() and begun(out):
        before = read_kept(path, _as_recipe)
        other = sorted(k for k in content if k not in FREE and content[k] != before.get(k))
        if _bags_of(out) not in (None, names):
            other.append('bags')
        if other:
            raise ValueError(
                f'{out} holds a run of another recipe ({", ".join(other)} differ); choose a new '
                'output folder.'
            )
    write_whole(path, yaml.safe_dump(content, sort_keys=False))
    write_whole(out / BAGS, json.dumps(names, indent=1))


def _as_recipe(content: object) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f'it holds {content!r:.60}')
    return content


def _bags_of(out: Path) -> list[str] | None:
    """Returns what a run was trained on; runs of older versions say it in their manifest alone."""
    if (out / BAGS).exists():
        return list(read_kept(out / BAGS))
    if (out / MANIFEST).exists():
        known = read_kept(out / MANIFEST, _as_recipe).get('training', {}).get('bags')
        return None if known is None else list(known)
    return None


def with_compute(config: PretrainConfig, compute: float) -> PretrainConfig:
    """Returns the same run, as long as so many forward operations [FLOP] last.

    Raises:
        ValueError: They do not last for one step, or have no end.
    """
    if not compute < 1e30:
        raise ValueError(f'{compute:.3g} FLOP last for ever; give less.')
    steps = round(compute / forward_operations(config))
    if steps < 1:
        raise ValueError(
            f'{compute:.3g} FLOP do not last for a step of {forward_operations(config):.3g}.'
        )
    return replace(config, steps=steps)
