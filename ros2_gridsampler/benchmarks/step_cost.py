# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A model, its tokens and where they are sampled -> GFLOP of one control step.

Counted by PyTorch's FlopCounterMode; 2 FLOP per multiply-add. Published models are counted on
shapes alone, see `vla_models`; GridS and our own policies are small enough to run for real.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ..policy.flop_count import count_flops, counting
from ..policy.grid_sampler import GridSampler
from ..policy.manifest import golden_observation
from ..policy.policy import Policy, as_tensors
from .rival_methods import with_reducer
from .vla_models import MODELS, Model, Name, matrix, meta

GIGA = 1e9
# Vision, language, action, GridS, other [GFLOP].
Parts = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class StepCost:
    """GFLOP of a control step.

    Attributes:
        vision: Towers, and the projector to the language model.
        language: Prefill of visual and language tokens.
        action: Everything that makes actions, all steps of it.
        grid_sampler: Prediction of points, reading, coordinates.
        other: What is none of these.
        total: All of it.
        total_without_tower: All but the vision.
        dense_total: The same model with all tokens.
        cut: Share of `dense_total` that is saved.
    """

    vision: float
    language: float
    action: float
    grid_sampler: float
    other: float
    total: float
    total_without_tower: float
    dense_total: float
    cut: float


def count(work: Callable[[], object]) -> float:
    """GFLOP of what `work` runs."""
    return count_flops(work) / GIGA


def count_model(
    name: Name,
    *,
    tokens: int | None = None,
    cameras: int | None = None,
    language_tokens: int | None = None,
    sample_after: int | None = None,
    once: bool = False,
) -> StepCost:
    """Cost of a step of a published model.

    Args:
        name: Name of the model.
        tokens: Visual tokens kept per camera; None for all.
        cameras: None for as many as published.
        language_tokens: Tokens of the prompt; None for as many as published.
        sample_after: Block of the first tower after which GridS samples; None for the paper's
            place, after the projector.
        once: Count the body of every loop once, as published costs of pi0 and pi0.5 do: one
            layer of each stack, one step of the ten, no projections of actions.

    Raises:
        ValueError: More tokens than there are, a block that there is not, or sampling inside a
            tower whose projector joins neighbours.
    """
    model = MODELS[name]
    cameras = model.cameras if cameras is None else cameras
    words = model.language_tokens if language_tokens is None else language_tokens
    dense = _parts(model, model.dense_tokens, cameras, words, None, once, sampled=False)
    kept = model.dense_tokens if tokens is None else tokens
    if not 1 <= kept <= model.dense_tokens or min(cameras, words) < 1:
        raise ValueError(
            f'{name} has 1 to {model.dense_tokens} visual tokens per camera, at least one camera '
            f'and one word; got {kept}, {cameras} and {words}.'
        )
    depth = model.towers[0].stack.layers
    if sample_after is not None and (model.shuffle > 1 or not 0 <= sample_after <= depth):
        raise ValueError(
            f'{name} cannot be sampled after block {sample_after}: '
            + (
                f'its projector joins {model.shuffle} neighbours; leave it out to sample after it.'
                if model.shuffle > 1
                else f'its tower has {depth} blocks.'
            )
        )
    found = _parts(model, kept, cameras, words, sample_after, once, sampled=tokens is not None)
    return summarise(found, sum(dense))


def _parts(
    model: Model,
    kept: int,
    cameras: int,
    words: int,
    sample_after: int | None,
    once: bool,
    *,
    sampled: bool,
) -> Parts:
    """All five, of a published model."""
    depth = model.towers[0].stack.layers
    inside = sample_after is not None and sampled
    reach = model.dense_tokens if not inside else kept

    def see() -> None:
        width = 0
        for tower in model.towers:
            layers = tower.stack.layers
            blocks = layers if sample_after is None else round(sample_after * layers / depth)
            tower.run(kept if inside else tower.tokens, blocks if inside else layers, once)
            width += tower.stack.width
        visual = meta(reach, width * model.shuffle)
        for wider in model.projector:
            visual = matrix(visual, wider)

    def sample() -> None:
        grids = [tower.stack.width for tower in model.towers] if inside else [model.language.width]
        side = round(model.dense_tokens**0.5)
        for width in grids:
            # Small enough to run for real; it asks about autocast, which meta does not know.
            GridSampler(width, kept)(torch.zeros(1, side, side, width))

    prefix = cameras * kept + words
    return (
        cameras * count(see),
        count(lambda: model.language.run(prefix, layers=1 if once else None)),
        count(lambda: model.act(prefix, once)),
        cameras * count(sample) if sampled else 0.0,
        0.0,
    )


def summarise(parts: Parts, dense_total: float) -> StepCost:
    """The parts, their sums and the cut."""
    total = sum(parts)
    return StepCost(*parts, total, total - parts[0], dense_total, 1 - total / dense_total)


def count_policy(
    policy: Policy, *, tokens: int | None = None, sample_after: int | None = None
) -> StepCost:
    """Cost of a step of one of our policies; the trunk is its `language`.

    Args:
        policy: Real.
        tokens: Kept per camera instead of its own number.
        sample_after: Encoder block after which it samples, instead of its own.

    Raises:
        ValueError: There is no such block, or its reducer keeps another number of tokens.
    """
    config = policy.config
    depth = config.encoder.depth
    policy = with_reducer(
        policy,
        config.reducer,
        config.tokens if tokens is None else tokens,
        config.sample_after if sample_after is None else sample_after,
    )
    dense = with_reducer(policy, 'dense', config.dense_tokens, depth)
    return summarise(_parts_of(policy), sum(_parts_of(dense)))


def _parts_of(policy: Policy) -> Parts:
    """All five, of a policy that runs."""
    inputs = as_tensors(policy.config, golden_observation(policy.config))
    policy = policy.requires_grad_(False)
    with counting() as counter:
        policy(*inputs)
    by_module = {name: sum(of.values()) for name, of in counter.get_flop_counts().items()}
    root = type(policy).__name__

    def outermost(name: str) -> int:
        """Returns the cost of a module; that of its parts where PyTorch does not see it called."""
        own = f'{root}.{name}'
        if own in by_module:
            return by_module[own]
        parts = [part for part in by_module if part.startswith(f'{own}.')]
        inner = {part for part in parts if any(part.startswith(f'{of}.') for of in parts)}
        return sum(by_module[part] for part in parts if part not in inner)

    vision = outermost('encoder')
    parts = [outermost(name) for name in ('trunk', 'action_head', 'reducer')]
    other = counter.get_total_flops() - vision - sum(parts)
    language, action, sampler = (part / GIGA for part in parts)
    return vision / GIGA, language, action, sampler, other / GIGA


TOKENS = (4, 16, 64)


def plot_costs(
    name: Name, path: Path, *, cameras: int | None = None, language_tokens: int | None = None
) -> None:
    """Draws the share of the dense step that is left, for every block and some token counts.

    Args:
        name: Name of the model.
        path: PNG file.
        cameras: None for as many as published.
        language_tokens: None for as many as published.

    Raises:
        ValueError: The model cannot be sampled inside its tower.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    depth = MODELS[name].towers[0].stack.layers
    blocks = range(0, depth + 1, 3)
    for tokens in TOKENS:
        costs = [
            count_model(
                name,
                tokens=tokens,
                cameras=cameras,
                language_tokens=language_tokens,
                sample_after=block,
            )
            for block in blocks
        ]
        axes.plot(blocks, [cost.total for cost in costs], marker='o', label=f'{tokens} tokens')
    axes.axhline(costs[0].dense_total, color='grey', label='dense')
    axes.set_xlabel(f'vision block after which GridS samples, of {depth}')
    axes.set_ylabel('GFLOP of a control step')
    axes.set_ylim(0)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
