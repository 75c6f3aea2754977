# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A fit ends when the error on what is held out falls no longer, and keeps what had the least."""

import json
import signal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip('lightning_fabric')
from lightning_fabric import Fabric

from ros2_gridsampler.training.fit import LEAST_FALL, Plan, fit

PLANS = st.builds(
    Plan,
    steps=st.integers(0, 400),
    every=st.integers(1, 60),
    patience=st.integers(1, 5),
    learning_rate=st.just(1e-3),
)
ERRORS = st.lists(st.floats(0, 10), min_size=1, max_size=60)


@given(PLANS, ERRORS)
def test_every_step_that_is_made_learns_and_none_faster_than_at_the_peak(plan, errors):
    begin, end = plan.cool_down(errors)
    assert 0 <= begin <= end <= plan.steps
    assert begin % plan.every == 0
    for step in range(end):
        assert 0 < plan.rate(step, errors) <= plan.learning_rate
    rates = [plan.rate(step, errors) for step in range(max(begin, 20), end)]
    assert rates == sorted(rates, reverse=True)


@given(PLANS, ERRORS, ERRORS)
def test_what_the_checks_have_decided_later_ones_do_not_change(plan, errors, later):
    if (begin := plan.settled(errors)) is not None:
        assert plan.settled(errors + later) == begin
        assert plan.cool_down(errors + later) == plan.cool_down(errors)


@given(PLANS, st.integers(1, 60))
def test_while_the_error_falls_all_steps_are_made(plan, count):
    falling = [(1 - 2 * LEAST_FALL) ** number for number in range(count)]
    assert plan.settled(falling) is None
    assert plan.cool_down(falling)[1] == plan.steps


class Line:
    """Points of a line to learn, noisy and few; more of the same line is held out."""

    def __init__(self, out, plan, stop_at=None, save_every=7):
        torch.manual_seed(0)
        self.student = torch.nn.Sequential(
            torch.nn.Linear(1, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1)
        )
        self.optimiser = torch.optim.AdamW(self.student.parameters(), weight_decay=0.0)
        generator = np.random.default_rng(1)
        x = np.linspace(-1, 1, 8)[:, None]
        noisy = 0.5 * x + 0.8 * generator.normal(size=x.shape)
        self.seen = [torch.tensor(a, dtype=torch.float32) for a in (x, noisy)]
        held = torch.linspace(-1, 1, 50)[:, None]
        self.held = (held, 0.5 * held)
        self.out, self.plan, self.stop_at = out, plan, stop_at
        self.save_every = save_every

    def batches(self, first):
        for step in range(first, self.plan.steps):
            if step == self.stop_at:
                signal.raise_signal(signal.SIGTERM)
            chosen = np.random.default_rng(step).permutation(8)[:4]
            yield [part[chosen] for part in self.seen]

    def loss(self, batch, step):
        x, y = batch
        return (self.student(x) - y).square().mean()

    @torch.no_grad()
    def error(self):
        x, y = self.held
        return float((self.student(x) - y).square().mean())

    def fit(self):
        self.out.mkdir(exist_ok=True)
        return fit(
            Fabric(accelerator='cpu', devices=1),
            self.student,
            self.optimiser,
            self.plan,
            self.batches,
            self.loss,
            self.error,
            self.out,
            save_every=self.save_every,
            what='a line',
        )


PLAN = Plan(steps=5000, every=10, patience=3, learning_rate=1e-2)


def test_noise_is_not_learned_by_heart_and_the_best_weights_are_kept(tmp_path):
    line = Line(tmp_path / 'run', PLAN)
    fitted = line.fit()
    assert fitted.made < PLAN.steps / 5
    assert line.error() == min(fitted.errors) < fitted.errors[0]
    assert fitted.errors[fitted.kept // PLAN.every] == min(fitted.errors)
    assert 'it fell no longer' in str(fitted)
    last = json.loads((tmp_path / 'run' / 'log.jsonl').read_text().splitlines()[-1])
    assert last['held out'] == pytest.approx(fitted.errors[-1], abs=1e-6)
    few = Line(tmp_path / 'few', Plan(steps=25, every=10, patience=3, learning_rate=1e-3)).fit()
    assert few.made == 25
    assert 'more steps may' in str(few)


@pytest.mark.parametrize('stop_at', [0, 9, 10, 33, 'last'])
def test_a_fit_that_was_stopped_goes_on_to_the_same_weights(tmp_path, stop_at):
    whole = Line(tmp_path / 'whole', PLAN)
    fitted = whole.fit()
    stop_at = fitted.made - 1 if stop_at == 'last' else stop_at
    with pytest.raises(InterruptedError, match='the same command goes on'):
        Line(tmp_path / 'stopped', PLAN, stop_at).fit()
    # Once to go on, once more when there is nothing left to do.
    for _ in range(2):
        line = Line(tmp_path / 'stopped', PLAN)
        assert line.fit() == fitted
        for name, tensor in whole.student.state_dict().items():
            assert torch.equal(tensor, line.student.state_dict()[name]), name


def test_an_error_that_is_not_finite_is_told(tmp_path):
    line = Line(tmp_path / 'run', PLAN)
    line.held = (line.held[0], line.held[1] * torch.inf)
    with pytest.raises(ValueError, match='error on held-out bags is inf'):
        line.fit()
