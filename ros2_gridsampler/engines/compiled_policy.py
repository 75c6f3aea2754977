# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A verified engine -> the call of a policy, and how it came about; no PyTorch here."""

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from ..acting.action_prefix import Prefix
from ..policy.policy_config import PolicyConfig
from ..policy.prediction import Prediction, as_prediction
from ..seeing.observation import Observation
from .engine import Engine, Machine, Precision, as_inputs
from .verification import Agreement

Name = Literal['tensorrt', 'openvino', 'onnxruntime', 'eager']
NAMES: tuple[Name, ...] = get_args(Name)
Choice = Literal['automatic', 'tensorrt', 'openvino', 'onnxruntime', 'eager']
"""'automatic': the first of `NAMES` that is installed and computes the policy honestly."""


def preference(choice: Choice) -> tuple[Name, ...]:
    """Which engines to try, in order."""
    return NAMES if choice == 'automatic' else (choice,)


class Backend(Protocol):
    """Anything that predicts as `Policy` does."""

    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        """One observation, one chunk; it begins with the prefix where the policy `continues`."""


@dataclass(frozen=True)
class Refusal:
    """A backend that was not taken, and why."""

    backend: Name
    reason: str


@dataclass(frozen=True)
class Report:
    """What computes a policy, and how that was decided.

    Attributes:
        backend: Name.
        precision: Of its arithmetic.
        threads: Of one inference.
        machine: What it runs on.
        agreement: How far it is off the policy in float32 by PyTorch.
        origin: Whether it was built or loaded, and from where.
        refusals: Backends that were tried before.
    """

    backend: Name
    precision: Precision
    threads: int
    machine: Machine
    agreement: Agreement
    origin: str
    refusals: tuple[Refusal, ...]


class CompiledPolicy:
    """A policy's call, computed by an engine that was compared with it.

    Args:
        config: Of the policy.
        engine: Verified.
        report: How it came about.
    """

    def __init__(self, config: PolicyConfig, engine: Engine, report: Report) -> None:
        self.config = config
        self.report = report
        self._engine = engine

    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        """One observation, one chunk, which begins with the prefix.

        Raises:
            ValueError: The network gave numbers that no arm may follow, or cannot go on from a
                prefix.
        """
        outputs = self._engine.run(as_inputs(self.config, observation, prefix))
        return as_prediction(self.config, observation, outputs.actions, outputs.points)
