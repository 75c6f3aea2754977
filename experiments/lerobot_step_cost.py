# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""SmolVLA and pi0 at their real sizes -> what a whole step costs with and without GridS.

Weights are random or not there at all: cost does not depend on them. Counted are matrix products,
convolutions and attention, two operations per multiply-add, in a whole step with all ten
denoising steps.
"""

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from ros2_gridsampler.policy.flop_count import counting
from ros2_gridsampler.vla.lerobot import SamplerPlan, attach
from ros2_gridsampler.vla.random_policies import (
    SMOLVLM2_500M_TEXT,
    SMOLVLM2_500M_VISION,
    write_language_model,
)

from . import run

_WORDS, _NUMBERS = 32, 7


@dataclass(frozen=True)
class StepCost:
    """Of one step of a policy.

    Attributes:
        plan: What was attached; None for the dense policy.
        flops: The arithmetic of the whole step.
        tower_flops: The arithmetic of the vision towers alone.
        seconds: CPU time of one thread, the fastest of the runs [s]; NaN where only counted.
    """

    plan: SamplerPlan | None
    flops: float
    tower_flops: float
    seconds: float


def smolvla_costs(
    plans: tuple[SamplerPlan | None, ...], cameras: int, runs: int
) -> Iterator[StepCost]:
    """SmolVLA on SmolVLM2-500M, 512x512 pictures, one thread.

    Args:
        plans: Costs are given one after another, in this order.
        cameras: Pictures per step.
        runs: Timed steps per plan, after one that is not timed.
    """
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        name = write_language_model(Path(place), SMOLVLM2_500M_TEXT, SMOLVLM2_500M_VISION)
        for plan in plans:
            features = _features(cameras, 512)
            config = SmolVLAConfig(**features, device='cpu', vlm_model_name=str(name))
            policy: Any = SmolVLAPolicy(config).eval()
            if plan is not None:
                attach(policy, plan)
            model = policy.model
            inputs = _inputs(cameras, 512, 32)
            tower = model.vlm_with_expert.get_vlm_model().vision_model

            def step(model: Any = model, inputs: Any = inputs) -> Any:
                return model.sample_actions(*inputs)

            flops, tower_flops = _count(step, tower)
            yield StepCost(plan, flops, tower_flops, min(_time(step) for _ in range(runs)))


def pi0_costs(plans: tuple[SamplerPlan | None, ...], cameras: int) -> Iterator[StepCost]:
    """Of pi0 (PaliGemma 2B, 300M expert, 224x224), counted on tensors without memory."""
    from lerobot.policies.pi0.configuration_pi0 import PI0Config
    from lerobot.policies.pi0.modeling_pi0 import PI0Policy

    for plan in plans:
        config = PI0Config(**_features(cameras, 224), device='cpu')
        config.device = 'meta'
        with torch.device('meta'):
            policy: Any = PI0Policy(config).eval()
            if plan is not None:
                attach(policy, plan)
            inputs = _inputs(cameras, 224, 32)
            tower = policy.model.paligemma_with_expert.paligemma.model.vision_tower

            def step(model: Any = policy.model, inputs: Any = inputs) -> Any:
                return model.sample_actions(*inputs)

            flops, tower_flops = _count(step, tower)
        yield StepCost(plan, flops, tower_flops, float('nan'))


def _features(cameras: int, side: int) -> dict[str, Any]:
    from lerobot.configs.types import FeatureType, PolicyFeature

    pictures = {
        f'observation.images.{i}': PolicyFeature(FeatureType.VISUAL, (3, side, side))
        for i in range(cameras)
    }
    state = {'observation.state': PolicyFeature(FeatureType.STATE, (_NUMBERS,))}
    action = {'action': PolicyFeature(FeatureType.ACTION, (_NUMBERS,))}
    return {'input_features': pictures | state, 'output_features': action}


def _inputs(cameras: int, side: int, numbers: int) -> tuple[Any, ...]:
    images = [torch.zeros(1, 3, side, side)] * cameras
    visible = [torch.ones(1, dtype=torch.bool)] * cameras
    words = torch.zeros(1, _WORDS, dtype=torch.long)
    return images, visible, words, torch.ones(1, _WORDS, dtype=torch.bool), torch.zeros(1, numbers)


def _count(step: Callable[[], Any], tower: torch.nn.Module) -> tuple[float, float]:
    spent: list[float] = []
    marks: list[float] = []
    with counting() as counter:
        before = tower.register_forward_pre_hook(
            lambda module, args: marks.append(counter.get_total_flops())
        )
        after = tower.register_forward_hook(
            lambda module, args, output: spent.append(counter.get_total_flops() - marks[-1])
        )
        step()
    before.remove()
    after.remove()
    return float(counter.get_total_flops()), float(sum(spent))


@torch.inference_mode()
def _time(step: Callable[[], Any]) -> float:
    begin = time.process_time()
    step()
    return time.process_time() - begin


def plans_of(text: str) -> tuple[SamplerPlan | None, ...]:
    """Plans written like 'dense,16,4@9'.

    Raises:
        ValueError: One of them is written otherwise.
    """
    try:
        return tuple(_plan(word.strip()) for word in text.split(','))
    except ValueError:
        raise ValueError(
            f"Plans are 'dense', tokens, or tokens@block, like dense,16,4@9; got {text!r}."
        ) from None


def _plan(word: str) -> SamplerPlan | None:
    if word == 'dense':
        return None
    tokens, _, after = word.partition('@')
    return SamplerPlan(int(tokens), int(after) if after else None)


def table(costs: list[StepCost]) -> str:
    """Costs as Markdown; ratios against the first row."""
    first = costs[0]
    rows = [
        '| tokens per camera | GFLOP | of that vision tower | less by | CPU s | faster by |',
        '|---|---|---|---|---|---|',
    ]
    for cost in costs:
        name = 'dense' if cost.plan is None else f'{cost.plan.tokens}, after the tower'
        if cost.plan is not None and cost.plan.after is not None:
            name = f'{cost.plan.tokens}, after block {cost.plan.after}'
        timed = math.isfinite(cost.seconds)
        rows.append(
            f'| {name} | {cost.flops / 1e9:.1f} | {cost.tower_flops / 1e9:.1f} '
            f'| {first.flops / cost.flops:.2f}x | {f"{cost.seconds:.2f}" if timed else "-"} '
            f'| {f"{first.seconds / cost.seconds:.2f}x" if timed else "-"} |'
        )
    return '\n'.join(rows)


def main(
    model: tyro.conf.Positional[Literal['smolvla', 'pi0']],
    plans: str = 'dense,16,4,16@4,4@4,16@2,4@2',
    cameras: int = 2,
    runs: int = 3,
) -> None:
    """Count and time a whole step of lerobot's own code at its real size, with random weights.

    `gridsampler flops` counts from shapes alone, for more models and without lerobot.

    Args:
        model: smolvla is timed on one CPU thread, pi0 is only counted.
        plans: Separated by commas: 'dense', tokens per camera, or tokens@block for sampling
            inside the vision tower after that block.
        cameras: Pictures per step.
        runs: Timed steps per plan.
    """
    chosen = plans_of(plans)
    costs = (
        smolvla_costs(chosen, cameras, runs) if model == 'smolvla' else pi0_costs(chosen, cameras)
    )
    print(table(list(costs)))


if __name__ == '__main__':
    from experiments.lerobot_step_cost import main as command

    run(command)
