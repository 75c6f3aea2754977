# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A lerobot policy and samples in physical units -> its loss, on new statistics, full or LoRA."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from ..device import to_device
from .lerobot import REDUCERS, SamplerPlan, attach
from .lerobot_checkpoint import LerobotModel
from .robot import Robot
from .vision_tower import REDUCER

ACTION, STATE = 'action', 'observation.state'


def with_samplers(model: LerobotModel, plan: SamplerPlan) -> LerobotModel:
    """Attaches reducers to a policy that has none.

    Raises:
        ValueError: It has reducers by another plan, or cannot take this one.
    """
    if model.plan is not None:
        if model.plan != plan:
            raise ValueError(f'The base has {model.plan} already, the recipe asks for {plan}.')
        return model
    return dataclasses.replace(model, seen=attach(model.policy, plan), plan=plan)


def with_statistics(
    model: LerobotModel,
    state: Float[np.ndarray, 'samples numbers'],
    chunks: Float[np.ndarray, 'samples steps actions'],
    pictures: UInt8[np.ndarray, 'samples height width 3'],
) -> LerobotModel:
    """Returns the processors that normalise by these samples, in the numbers of the dataset.

    Args:
        model: Policy whose processors are replaced.
        state: Samples of the state.
        chunks: Samples of the actions, from the time of the state on.
        pictures: Pictures of all cameras; only ACT normalises pictures.
    """
    from lerobot.policies.factory import make_pre_post_processors

    colours = pictures.reshape(-1, 3) / 255
    found = {name: _statistics(colours, (3, 1, 1)) for name in model.policy.config.image_features}
    found |= {STATE: _statistics(state, (-1,)), ACTION: _statistics(chunks[:, 0], (-1,))}
    before, after = make_pre_post_processors(model.policy.config, dataset_stats=found)
    for step in before.steps:
        if type(step).__name__ == 'RelativeActionsProcessorStep' and step.enabled:
            # What is normalised are the offsets of all steps from the state.
            whole = {STATE: torch.from_numpy(state), ACTION: torch.from_numpy(chunks)}
            told = copy.copy(step)(before.to_transition(whole))
            offsets = before.to_output(told)[ACTION].numpy()
            found[ACTION] = _statistics(offsets.reshape(-1, offsets.shape[-1]), (-1,))
            before, after = make_pre_post_processors(model.policy.config, dataset_stats=found)
    return dataclasses.replace(model, preprocess=before, postprocess=after)


def _statistics(samples: NDArray[Any], shape: tuple[int, ...]) -> dict[str, Tensor]:
    deviation = samples.std(0)
    numbers = {
        'mean': samples.mean(0),
        # A number that never changes keeps its unit.
        'std': np.where(deviation > 1e-6, deviation, 1.0),
        'min': samples.min(0),
        'max': samples.max(0),
        'q01': np.quantile(samples, 0.01, axis=0),
        'q99': np.quantile(samples, 0.99, axis=0),
    }
    return {
        name: torch.from_numpy(np.asarray(value, np.float32)).reshape(shape)
        for name, value in numbers.items()
    }


def choose_trained(model: LerobotModel, rank: int) -> Any:
    """Decides what learns: all that lerobot trains, or low-rank adapters and the reducers.

    Args:
        model: Policy that is changed in place.
        rank: Rank of the adapters (LoRA, arXiv:2106.09685); 0 for none.

    Returns:
        The peft model around the policy, or the policy itself.

    Raises:
        ValueError: lerobot names no layers for adapters in this kind of policy.
    """
    if not rank:
        return model.policy
    from peft import LoraConfig, get_peft_model

    targets = model.policy._get_default_peft_targets()
    if not targets:
        raise ValueError(
            f'lerobot names no layers of {model.policy.config.type!r} for adapters; train it in '
            'full with adapter_rank 0.'
        )
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=targets['target_modules'], lora_dropout=0.0
    )
    adapted: Any = get_peft_model(model.policy, config)
    for name, parameter in model.policy.named_parameters():
        if REDUCERS in name or f'.{REDUCER}.' in name:
            parameter.requires_grad = True
    return adapted


def merged(model: LerobotModel, adapted: Any) -> LerobotModel:
    """Returns the policy with its adapters added into its weights."""
    if adapted is model.policy:
        return model
    return dataclasses.replace(model, policy=adapted.merge_and_unload())


def features(
    robot: Robot,
    images: UInt8[np.ndarray, 'batch cameras height width 3'],
    state: Float[np.ndarray, 'batch numbers'],
    actions: Float[np.ndarray, 'batch steps actions'],
    sentences: Sequence[str],
    device: torch.device,
) -> dict[str, Any]:
    """Returns samples under lerobot's names, in the numbers of the dataset, on a device.

    Args:
        robot: Cameras in the order of the images, units of state and actions.
        images: As prepared for the policy.
        state: Physical units, see `robot.state_vector`.
        actions: Physical units.
        sentences: One instruction per sample.
        device: Where the policy computes.
    """
    arrays = (
        images,
        robot.state.of_dataset(state).astype(np.float32),
        robot.action.of_dataset(actions).astype(np.float32),
        np.zeros(actions.shape[:2], bool),
    )
    pictures, states, targets, padding = to_device(arrays, device)
    pixels = pictures.permute(1, 0, 4, 2, 3).float() / 255
    return {
        **dict(zip(robot.cameras.values(), pixels, strict=True)),
        STATE: states,
        ACTION: targets,
        'action_is_pad': padding,
        'task': list(sentences),
    }


def loss(model: LerobotModel, batch: Mapping[str, Any]) -> Float[Tensor, '']:
    """Returns lerobot's own training loss of what its processor made of `features`."""
    found: Tensor = model.policy.forward(batch)[0]
    if model.seen is not None:
        model.seen.take()
    return found
