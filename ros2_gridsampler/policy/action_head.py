# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Context -> actions in physical units: by regression, from a prefix, by flow matching."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .encoder import Block
from .policy_config import Statistics
from .shared_draws import draw, draw_given


class Normaliser(nn.Module):
    """Physical numbers <-> numbers of about unit size."""

    mean: Tensor
    scale: Tensor

    def __init__(self, statistics: Statistics) -> None:
        super().__init__()
        self.register_buffer('mean', torch.tensor(statistics.mean, dtype=torch.float32))
        self.register_buffer('scale', torch.tensor(statistics.scale, dtype=torch.float32))

    def normalise(
        self, physical: Float[Tensor, '*batch numbers']
    ) -> Float[Tensor, '*batch numbers']:
        """Returns numbers of about unit size."""
        return (physical - self.mean) / self.scale

    def physical(
        self, normalised: Float[Tensor, '*batch numbers']
    ) -> Float[Tensor, '*batch numbers']:
        """Returns normalised numbers in physical units again."""
        return normalised.float() * self.scale + self.mean


class ActionHead(nn.Module):
    """One linear reading of each query: the target of that step."""

    def __init__(self, width: int, statistics: Statistics) -> None:
        super().__init__()
        self.units = Normaliser(statistics)
        self.linear = nn.Linear(width, len(statistics.mean))

    def forward(
        self, context: Float[Tensor, 'batch steps width']
    ) -> Float[Tensor, 'batch steps actions']:
        """Returns the actions in normalised units, as training compares them."""
        return self.linear(context)

    def loss(
        self,
        context: Float[Tensor, 'batch steps width'],
        actions: Float[Tensor, 'batch steps actions'],
    ) -> Float[Tensor, '']:
        """Returns the mean absolute error against physical `actions`, in normalised units."""
        return (self(context).float() - self.units.normalise(actions)).abs().mean()

    def actions(
        self, context: Float[Tensor, 'batch steps width']
    ) -> Float[Tensor, 'batch steps actions']:
        """Returns the actions in physical units."""
        return self.units.physical(self(context))


class ContinuingHead(nn.Module):
    """As `ActionHead`, for chunks whose first steps are already decided (arXiv:2512.05964).

    Args:
        width: Channels of the context.
        statistics: Mean and scale of each action, in physical units.
        heads: Attention heads of the block that mixes the steps.
    """

    def __init__(self, width: int, statistics: Statistics, heads: int = 4) -> None:
        super().__init__()
        actions = len(statistics.mean)
        self.units = Normaliser(statistics)
        self.lift = nn.Linear(actions + 1, width)
        self.block = Block(width, heads)
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, actions)

    def forward(
        self,
        context: Float[Tensor, 'batch steps width'],
        known: Float[Tensor, 'batch steps actions'],
        given: Bool[Tensor, 'batch steps'],
    ) -> Float[Tensor, 'batch steps actions']:
        """Returns the actions in normalised units; `known` is read where `given` only."""
        seen = torch.where(given[..., None], known, torch.zeros_like(known))
        told = torch.cat([seen, given[..., None].to(seen.dtype)], -1)
        return self.linear(self.norm(self.block(context + self.lift(told))))

    def loss(
        self,
        context: Float[Tensor, 'batch steps width'],
        actions: Float[Tensor, 'batch steps actions'],
    ) -> Float[Tensor, '']:
        """Returns the mean absolute error against physical `actions`, where they were not told."""
        target = self.units.normalise(actions)
        batch, steps = target.shape[:2]
        given, weight = draw_given(batch, steps, target.device)
        error = (self(context, target, given).float() - target).abs().mean(-1)
        return weight * error[~given].mean()

    def actions(
        self,
        context: Float[Tensor, 'batch steps width'],
        prefix: Float[Tensor, 'batch steps actions'] | None = None,
        given: Bool[Tensor, 'batch steps'] | None = None,
    ) -> Float[Tensor, 'batch steps actions']:
        """Returns the actions in physical units; those given come back as they are.

        Args:
            context: One vector per step.
            prefix: Physical units; read where `given`.
            given: The steps that are already decided; none by default.
        """
        if prefix is None or given is None:
            batch, steps = context.shape[:2]
            prefix = self.units.mean.expand(batch, steps, -1)
            given = torch.zeros(batch, steps, dtype=torch.bool, device=context.device)
        free = self.units.physical(self(context, self.units.normalise(prefix), given))
        return torch.where(given[..., None], prefix, free)


INTEGRATION_STEPS = 5


class FlowHead(nn.Module):
    """Flow matching (arXiv:2210.02747) on whole chunks, as pi0 does (arXiv:2410.24164).

    On the straight path `x(t) = (1 - t) noise + t actions` the network learns the velocity
    `actions - noise`; inference integrates it by Euler. The noise of inference is one fixed
    draw that is kept with the weights, so the same observation gives the same chunk.

    Args:
        width: Channels of the context.
        statistics: Mean and scale of each action, in physical units.
        steps: Targets per chunk.
        heads: Attention heads of the two blocks that mix the steps.
    """

    noise: Tensor

    def __init__(self, width: int, statistics: Statistics, steps: int, heads: int = 4) -> None:
        super().__init__()
        actions = len(statistics.mean)
        self.units = Normaliser(statistics)
        self.lift = nn.Linear(actions, width)
        self.time = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, actions)
        self.register_buffer('noise', torch.randn(steps, actions))

    def velocity(
        self,
        context: Float[Tensor, 'batch steps width'],
        noisy: Float[Tensor, 'batch steps actions'],
        time: Float[Tensor, 'batch steps'],
    ) -> Float[Tensor, 'batch steps actions']:
        """Returns where the actions flow to; `time` in [0, 1], of each step by itself."""
        tokens = context + self.lift(noisy) + self.time(time[..., None])
        for block in self.blocks:
            tokens = block(tokens)
        return self.linear(self.norm(tokens))

    def loss(
        self,
        context: Float[Tensor, 'batch steps width'],
        actions: Float[Tensor, 'batch steps actions'],
    ) -> Float[Tensor, '']:
        """Returns the mean squared error of the velocity at a random time, in normalised units.

        A random prefix is given clean, at time 1, and does not count: so the head learns to go
        on from steps that are already being executed (arXiv:2512.05964).
        """
        batch, steps = actions.shape[:2]
        target = self.units.normalise(actions)
        noise = draw(lambda rows: torch.randn(rows, *target.shape[1:]), batch, target.device)
        # More often near the noise, where the field is hardest to learn.
        early = draw(lambda rows: torch.rand(rows, 1), batch, target.device)
        time = (1 - early.pow(0.67)).expand(-1, steps)
        frozen, weight = draw_given(batch, steps, target.device)
        time = torch.where(frozen, torch.ones_like(time), time)
        noisy = torch.lerp(noise, target, time[..., None])
        error = (self.velocity(context, noisy, time) - (target - noise)).square().mean(-1)
        return weight * error[~frozen].mean()

    def actions(
        self,
        context: Float[Tensor, 'batch steps width'],
        prefix: Float[Tensor, 'batch steps actions'] | None = None,
        given: Bool[Tensor, 'batch steps'] | None = None,
    ) -> Float[Tensor, 'batch steps actions']:
        """Returns the actions in physical units.

        Args:
            context: One vector per step.
            prefix: Actions that will have been executed before this chunk takes over, physical
                units; they are returned as they are and the rest continues them.
            given: The steps that the prefix has; none by default.
        """
        state = self.noise.expand(len(context), -1, -1)
        if prefix is not None and given is not None:
            state = torch.where(given[..., None], self.units.normalise(prefix), state)
        for step in range(INTEGRATION_STEPS):
            time = torch.full(state.shape[:2], step / INTEGRATION_STEPS, device=state.device)
            if given is not None:
                time = torch.where(given, torch.ones_like(time), time)
            moved = state + self.velocity(context, state, time) / INTEGRATION_STEPS
            state = moved if given is None else torch.where(given[..., None], state, moved)
        free = self.units.physical(state)
        if prefix is None or given is None:
            return free
        return torch.where(given[..., None], prefix, free)
