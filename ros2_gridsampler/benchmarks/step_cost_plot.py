# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A published model -> a picture of what a step costs against where GridS samples."""

from pathlib import Path

from .step_cost import count_model
from .vla_models import MODELS, Name

TOKENS = (4, 16, 64)


def plot_costs(
    name: Name, path: Path, *, cameras: int | None = None, language_tokens: int | None = None
) -> None:
    """Draw the share of the dense step that is left, for every block and a few token counts.

    Args:
        name: Of the model.
        path: PNG.
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
