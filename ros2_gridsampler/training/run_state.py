# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A training run <-> one file that it can go on from exactly."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cattrs
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..files import read_yaml, structure, write_whole
from ..policy.manifest import MANIFEST
from .compute import FREE

STATE = 'state.safetensors'
CONFIG, BAGS, BASE = 'config.json', 'bags.json', 'base.json'
PRETRAIN_CONFIG = 'config.yaml'


def keep_recipe(out: Path, config: Any, bags: Sequence[Path], base: str = '') -> None:
    """Writes what a run is made of, or checks that it is what the run began with.

    Which bags are held out is told by their places, so other bags would let a policy be
    judged by what it was trained on.

    Args:
        out: Folder of the run.
        config: A dataclass.
        bags: Names of the bags, in their order.
        base: What it goes on from, where the config does not say; a hash.

    Raises:
        ValueError: The folder holds a run of another recipe, on other bags, from another base, or
            a pretraining.
    """
    out.mkdir(parents=True, exist_ok=True)
    content = _plain(config)
    inputs = {BAGS: [bag.name for bag in bags], **({BASE: base} if base else {})}
    if (out / PRETRAIN_CONFIG).exists():
        raise ValueError(f'{out} holds a pretraining; choose a new output folder.')
    if begun(out) and (out / CONFIG).exists():
        # A key that is new since then had its default.
        before = _plain(read_kept(out / CONFIG, lambda kept: structure(kept, type(config))))
        other = sorted(k for k in before if k not in FREE and content[k] != before[k])
        other += [
            Path(name).stem
            for name, given in inputs.items()
            if (out / name).exists() and read_kept(out / name) != given
        ]
        if other:
            raise ValueError(
                f'{out} holds a run of another recipe ({", ".join(other)} differ); choose a new '
                'output folder, or give back what it began with.'
            )
    write_whole(out / CONFIG, json.dumps(content, indent=1))
    for name, given in inputs.items():
        write_whole(out / name, json.dumps(given, indent=1))


def read_kept(path: Path, understand: Callable[[Any], Any] = lambda content: content) -> Any:
    """Returns what a run has written of itself, in JSON or YAML.

    Args:
        path: Its file.
        understand: Makes something of the content; raises a ValueError for what is none.

    Raises:
        ValueError: The file was cut, or is of another kind of run.
    """
    try:
        yaml = path.suffix == '.yaml'
        return understand(read_yaml(path) if yaml else json.loads(path.read_text('utf-8')))
    except ValueError as error:
        raise ValueError(
            f'{path} is of no such run: {error}. Put the file back, or choose a new output folder.'
        ) from error


def begun(out: Path) -> bool:
    """Returns whether there is anything to go on from, or a result."""
    return (out / STATE).exists() or (out / MANIFEST).exists()


def _plain(config: Any) -> dict[str, Any]:
    """Returns a config in the form in which JSON gives it back."""
    return dict(json.loads(json.dumps(cattrs.unstructure(config))))


class RunState:
    """Model, moving average, optimisers and random state of a run; no pickle.

    Args:
        model: What is trained.
        optimiser: Optimiser of the model.
        average_decay: Decay of the moving average of the weights; None keeps no average.
        further: Other optimisers, by name.
    """

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        average_decay: float | None = None,
        further: Mapping[str, torch.optim.Optimizer] | None = None,
    ) -> None:
        self.step = 0
        self.model = model
        self.optimiser = optimiser
        self._optimisers = {'optimiser': optimiser, **(further or {})}
        self._decay = average_decay
        self.average = {
            name: tensor.detach().clone()
            for name, tensor in model.state_dict().items()
            if average_decay is not None
        }

    def advance(self) -> None:
        """Counts a step and moves the average."""
        self.step += 1
        if self._decay is None:
            return
        # Early on the average must follow quickly: there is nothing yet to remember.
        decay = min(self._decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, tensor in self.model.state_dict().items():
                average = self.average[name]
                if average.is_floating_point():
                    average.lerp_(tensor, 1 - decay)
                else:
                    average.copy_(tensor)

    def save(self, folder: Path) -> None:
        """Writes the state beside the old one and puts it in its place.

        Raises:
            OSError: The disk is full or gone; the state that was there before stays.
        """
        tensors = {f'model.{name}': tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f'average.{name}': tensor for name, tensor in self.average.items()}
        for key, optimiser in self._optimisers.items():
            for index, moments in optimiser.state_dict()['state'].items():
                tensors |= {f'{key}.{index}.{name}': value for name, value in moments.items()}
        tensors['random'] = torch.get_rng_state()
        # Safetensors refuses tensors that share memory or lie channels last.
        partial = folder / f'{STATE}.partial'
        whole = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in tensors.items()
        }
        try:
            save_file(whole, partial)
        except (SafetensorError, OSError) as error:
            raise OSError(
                f'The state of step {self.step} could not be written to {partial}: {error}. Free '
                'some space; the same command goes on from the last state that was.'
            ) from error
        partial.replace(folder / STATE)

    def restore(self, folder: Path) -> bool:
        """Goes on from the state in `folder`; returns whether there was one.

        Raises:
            ValueError: It belongs to another model, or is damaged.
        """
        path = folder / STATE
        if not path.exists():
            return False
        try:
            tensors = load_file(path)
        except SafetensorError as error:
            raise ValueError(
                f'{path} is damaged: {error}. Choose a new output folder, or put back the file.'
            ) from error
        if not self._is_whole(tensors):
            raise ValueError(
                f'{path} is the state of another architecture or version, or not whole; choose a '
                'new output folder.'
            )
        self.model.load_state_dict(_part(tensors, 'model.'))
        self.average = {
            name: tensor.to(self.average[name].device)
            for name, tensor in _part(tensors, 'average.').items()
        }
        for key, optimiser in self._optimisers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            for name, tensor in _part(tensors, f'{key}.').items():
                index, moment = name.split('.')
                moments.setdefault(int(index), {})[moment] = tensor
                if moment == 'step':
                    self.step = int(tensor.item())
            groups = optimiser.state_dict()['param_groups']
            optimiser.load_state_dict({'state': moments, 'param_groups': groups})
        torch.set_rng_state(tensors['random'])
        return True

    def _is_whole(self, tensors: dict[str, Tensor]) -> bool:
        """Returns whether these are the tensors that `save` writes of this model."""
        own = {f'model.{name}': each for name, each in self.model.state_dict().items()}
        own |= {f'average.{name}': each for name, each in self.average.items()}
        own['random'] = torch.get_rng_state()
        moments = tensors.keys() - own.keys()
        for key, optimiser in self._optimisers.items():
            learned = [each for group in optimiser.param_groups for each in group['params']]
            known = {f'{key}.{index}.': each for index, each in enumerate(learned)}
            found = {name for name in moments if name.startswith(f'{key}.')}
            # A weight without a gradient has none; whatever learned has all of Adam's.
            for prefix, weight in known.items():
                if any(name.startswith(prefix) for name in found):
                    own[f'{prefix}step'] = torch.zeros(())
                    own |= {f'{prefix}{name}': weight for name in ('exp_avg', 'exp_avg_sq')}
            if not found:
                return False
        return {n: t.shape for n, t in tensors.items()} == {n: t.shape for n, t in own.items()}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)
    }
