# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A lerobot policy -> the networks that engines compile: ACT is one; SmolVLA, pi0, pi0.5 are two.

Nothing of lerobot is written again: the networks call the methods of its models. Processors,
resizing, padding, noise and the loop of the denoising run outside, by lerobot's code or ours.
"""

import contextlib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..engines.engine import EngineRefused, Session
from ..engines.exported_graph import run_eagerly
from ..policy.graph import point_shifts, shifted_points
from ..policy.grid_sampler import PointReader
from ..policy.signature import Arrays
from ..seeing.observation import Observation
from .lerobot import WindowSampler
from .lerobot_config import TowerCells, golden_observation
from .lerobot_policy import LerobotPolicy
from .policy_parts import ACTIONS, MASK, Part, features, integrate, points

_READERS = (PointReader, WindowSampler)
_SINUSOID = 'create_sinusoidal_pos_embedding'
_WORDS, _READ = 'observation.language.tokens', 'observation.language.attention_mask'


class Cut(Protocol):
    """A policy in parts."""

    parts: dict[str, Part]
    """Name of a network -> the network."""

    def infer(self, sessions: Mapping[str, Session], batch: Any) -> tuple[Tensor, list[Tensor]]:
        """Returns what `LerobotPolicy.infer` returns, computed by an engine."""


def cut(policy: LerobotPolicy) -> Cut:
    """Returns a policy as the networks that engines compile.

    Raises:
        EngineRefused: It is of a kind that only lerobot computes.
    """
    kind = policy.model.policy.config.type
    if kind == 'act':
        return ActCut(policy)
    if kind in ('smolvla', 'pi0', 'pi05'):
        return FlowCut(policy)
    raise EngineRefused(
        f"A policy of type {kind!r} is not cut into graphs here; set backend to 'eager', by which "
        'lerobot computes it itself.'
    )


class _Network(nn.Module):
    """A network with named arguments, of which the last may move the sampled points.

    Args:
        names: Names of the arguments, in order.
        policy: lerobot's.
        seen: Where it looks; None without reducers.
    """

    def __init__(self, names: Sequence[str], policy: Any, seen: Any) -> None:
        super().__init__()
        self.names = tuple(names)
        self.policy = policy
        self.seen = seen

    def forward(self, *arrays: Tensor) -> tuple[Tensor, ...]:
        """Returns the results, and points where there are reducers."""
        given = dict(zip(self.names, arrays, strict=True))
        shift = given.pop('point_shift', None)
        moved: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if shift is not None:
            moved = shifted_points(self.policy, shift, _READERS)
        with moved:
            results = self.compute(given)
        results = tuple(result.float() for result in results)
        if self.seen is None:
            return results
        return *results, torch.stack(self.seen.take(), 1)

    def compute(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Returns the results without points."""
        raise NotImplementedError


class _Pictures:
    """What all kinds share: names of pictures, the points, and the arguments that shift them."""

    def __init__(self, policy: LerobotPolicy) -> None:
        self.own = policy.model.policy
        self.seen = policy.model.seen
        self.names = {f: f'picture_{i}' for i, f in enumerate(self.own.config.image_features)}
        first = next(iter(policy.config.preparations.values()))
        self.results = {}
        if self.seen is not None:
            self.results = {'points': points(TowerCells.of(self.own, first).count)}
        plan = policy.model.plan
        moves = any(isinstance(each, _READERS) for each in self.own.modules())
        self.shifts = point_shifts(plan.tokens) if plan is not None and moves else []

    def with_shift(self, given: dict[str, Tensor]) -> Arrays:
        """Returns arguments as arrays, with a shift of zero where there are points."""
        arrays = {name: np.ascontiguousarray(each.numpy()) for name, each in given.items()}
        if self.shifts:
            arrays['point_shift'] = np.zeros_like(self.shifts[0])
        return arrays

    def probes(self, found: list[Arrays]) -> list[Arrays]:
        """Returns these arguments, and the first ones looking elsewhere."""
        return [*found, *({**found[0], 'point_shift': shift} for shift in self.shifts)]

    def points(self, results: Arrays) -> list[Tensor]:
        """Returns the points, camera by camera."""
        if self.seen is None:
            return []
        return list(torch.from_numpy(results['points']).unbind(1))


class _Act(_Network):
    def compute(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        batch: dict[str, Any] = {
            'observation.images': [
                each for name, each in given.items() if name.startswith('picture_')
            ]
        }
        if 'state' in given:
            batch['observation.state'] = given['state']
        actions: Tensor = self.policy.model(batch)[0]
        return (actions,)


class ActCut:
    """ACT: normalised pictures and state -> normalised actions, in one network.

    Args:
        policy: Policy of lerobot's type 'act'.

    Attributes:
        parts: The one network.
    """

    def __init__(self, policy: LerobotPolicy) -> None:
        self._pictures = _Pictures(policy)

        def probes(examples: Sequence[Observation]) -> list[Arrays]:
            return self._pictures.probes([self._arrays(policy.batch(each)) for each in examples])

        (example, *_) = probes([golden_observation(policy.config)])
        network = _Act([*example], self._pictures.own, self._pictures.seen)
        results = {'actions': ACTIONS, **self._pictures.results}
        self.parts = {'network': Part(network, example, results, probes)}

    def _arrays(self, batch: dict[str, Any]) -> Arrays:
        config = self._pictures.own.config
        given = {name: batch[feature] for feature, name in self._pictures.names.items()}
        if config.robot_state_feature:
            given['state'] = batch['observation.state']
        return self._pictures.with_shift(given)

    def infer(self, sessions: Mapping[str, Session], batch: Any) -> tuple[Tensor, list[Tensor]]:
        results = sessions['network'].run(self._arrays(batch))
        return torch.from_numpy(results['actions']), self._pictures.points(results)


class _Prefix(_Network):
    def compute(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        model = self.policy.model
        images = [each for name, each in given.items() if name.startswith('picture_')]
        shown = [given['shown'][:, index] > 0.5 for index in range(len(images))]
        state = {'state': given['state']} if 'state' in given else {}
        embedded, visible, blocks = model.embed_prefix(
            images, shown, given['words'], given['read'] > 0.5, **state
        )
        helpers = type(model).embed_prefix.__globals__
        mask = helpers['make_att_2d_masks'](visible, blocks)
        host: Any = getattr(model, 'vlm_with_expert', None)
        if host is None:
            host = model.paligemma_with_expert
            host.paligemma.model.language_model.config._attn_implementation = 'eager'
            mask = helpers['prepare_attention_masks_4d'](mask)
        _, cache = host.forward(
            attention_mask=mask,
            position_ids=torch.cumsum(visible, dim=1) - 1,
            past_key_values=None,
            inputs_embeds=[embedded, None],
            use_cache=True,
        )
        keys, values = (
            torch.stack([getattr(layer, name) for layer in cache.layers])
            for name in ('keys', 'values')
        )
        return keys, values, visible


class _Step(_Network):
    def compute(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        from transformers import DynamicCache

        model: Any = self.policy.model
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(
            zip(given['keys'].unbind(), given['values'].unbind(), strict=True)
        ):
            cache.update(keys, values, layer)
        actions = given['actions']
        state = {'state': given['state']} if 'state' in given else {}
        with _time_told(model, given['time_features']):
            velocity: Tensor = model.denoise_step(
                prefix_pad_masks=given['visible'] > 0.5,
                past_key_values=cache,
                x_t=actions,
                timestep=actions.new_zeros(len(actions)),
                **state,
            )
        return (velocity,)


@contextlib.contextmanager
def _time_told(model: Any, told: Tensor) -> Iterator[None]:
    """While it lasts, a model takes the features of the time as they are told.

    lerobot computes them in 64 bits, which TensorRT does not have and 32 bits cannot replace.
    """
    function = type(model).embed_suffix
    scope = {**function.__globals__, _SINUSOID: lambda *given, **more: told}
    twin = types.FunctionType(function.__code__, scope, closure=function.__closure__)
    model.embed_suffix = types.MethodType(twin, model)
    try:
        yield
    finally:
        del model.embed_suffix


class FlowCut:
    """SmolVLA, pi0, pi0.5: a prefix that is computed once, and a step that is called many times.

    Args:
        policy: Policy of one of these types.

    Attributes:
        parts: 'prefix' and 'step'.
    """

    def __init__(self, policy: LerobotPolicy) -> None:
        self._pictures = _Pictures(policy)
        own = self._pictures.own
        config, self._model = own.config, own.model
        self._kind = config.type
        self._steps = config.num_steps if self._kind == 'smolvla' else config.num_inference_steps
        self._noise = policy.noise.numpy()
        golden = policy.batch(golden_observation(policy.config))

        def probes(examples: Sequence[Observation]) -> list[Arrays]:
            found = [self._prefix_arrays(policy.batch(each)) for each in examples]
            return self._pictures.probes(found)

        example = self._prefix_arrays(golden)
        network = _Prefix([*example], own, self._pictures.seen)
        results: dict[str, Any] = {'keys': features, 'values': features, 'visible': MASK}
        prefix = Part(network, example, results | self._pictures.results, probes)
        known = {**run_eagerly(prefix, example), **self._state(golden)}
        tried = self._step_probes(known)
        step = Part(
            _Step([*tried[0]], own, None), tried[0], {'velocity': ACTIONS}, lambda _: tried
        )
        self.parts = {'prefix': prefix, 'step': step}

    def _step_probes(self, known: Arrays) -> list[Arrays]:
        generator = np.random.default_rng(0)
        others = (generator.normal(size=self._noise.shape).astype(np.float32) for _ in range(2))
        actions = zip((self._noise, *others), (1.0, 0.5, 1 / self._steps), strict=True)
        return [self._step_arrays(known, given, time) for given, time in actions]

    def _state(self, batch: dict[str, Any]) -> Arrays:
        """Returns what the step of pi0 reads of the batch; it is nothing of the others."""
        if self._kind != 'pi0':
            return {}
        return {'state': self._pictures.own.prepare_state(batch).numpy()}

    def _prefix_arrays(self, batch: dict[str, Any]) -> Arrays:
        own, config = self._pictures.own, self._pictures.own.config
        if self._kind == 'smolvla':
            images, shown = own.prepare_images(batch)
        else:
            images, shown = own._preprocess_images(batch)
        # lerobot's order: cameras that are not there come last, and not always all of them.
        cameras = sorted(self._pictures.names, key=lambda feature: feature not in batch)
        given = {self._pictures.names[c]: each for c, each in zip(cameras, images, strict=False)}
        given['shown'] = torch.stack(shown, 1).float()
        words, read = batch[_WORDS], batch[_READ].float()
        # One length for all sentences; what is padded is not read.
        missing = (0, config.tokenizer_max_length - words.shape[1])
        given['words'] = nn.functional.pad(words, missing)
        given['read'] = nn.functional.pad(read, missing)
        if self._kind == 'smolvla':
            given['state'] = own.prepare_state(batch)
        return self._pictures.with_shift(given)

    def _step_arrays(
        self, known: Arrays, actions: Float[np.ndarray, '1 steps numbers'], time: float
    ) -> Arrays:
        sinusoid = type(self._model).embed_suffix.__globals__[_SINUSOID]
        config = self._pictures.own.config
        told = sinusoid(
            torch.tensor([time], dtype=torch.float32),
            self._model.action_in_proj.out_features,
            config.min_period,
            config.max_period,
            device=torch.device('cpu'),
        )
        given = {'actions': actions, 'time_features': told.float().numpy()}
        names = [name for name in known if name != 'points']
        return given | {name: known[name] for name in names}

    def infer(self, sessions: Mapping[str, Session], batch: Any) -> tuple[Tensor, list[Tensor]]:
        own, config = self._pictures.own, self._pictures.own.config
        aloha = getattr(config, 'adapt_to_pi_aloha', False)
        if aloha:
            batch = own._prepare_batch(batch)
        results = sessions['prefix'].run(self._prefix_arrays(batch))
        known = {**results, **self._state(batch)}
        step = sessions['step']
        found = integrate(
            lambda actions, time: step.run(self._step_arrays(known, actions, time))['velocity'],
            self._noise,
            self._steps,
        )
        actions = torch.from_numpy(found)[:, :, : config.action_feature.shape[0]]
        if aloha:
            actions = own._pi_aloha_encode_actions(actions)
        return actions, self._pictures.points(results)
