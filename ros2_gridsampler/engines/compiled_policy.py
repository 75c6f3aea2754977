# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A verified engine -> the call of a policy, and how it came about; no PyTorch here."""

from dataclasses import dataclass
from typing import Any, Protocol

from ..acting.action_prefix import Prefix
from ..policy.prediction import Prediction
from ..policy.signature import Arrays, Signature
from ..seeing.observation import Observation
from .engine import Machine, Session, Settings
from .verification import Agreement


class Backend(Protocol):
    """Anything that predicts as `Policy` does."""

    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        """One observation, one chunk; it begins with the prefix where the policy `continues`."""


class Interface(Protocol):
    """Observations <-> the arrays of a policy of one network; needs no PyTorch."""

    @property
    def config(self) -> Any:
        """Configuration of the policy."""

    @property
    def signature(self) -> Signature:
        """Arguments and results of the network."""

    def arrays(self, observation: Observation, prefix: Prefix | None = None) -> Arrays:
        """Returns the arguments of the network."""

    def prediction(self, observation: Observation, results: Arrays) -> Prediction:
        """Returns the meaning of its results."""


@dataclass(frozen=True)
class Refusal:
    """A backend that was not taken, and why."""

    backend: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What computes a policy, and how that was decided.

    Attributes:
        backend: Name.
        settings: How it computes.
        machine: What it runs on.
        agreement: How far it is off what PyTorch computes in float32 on the CPU.
        origin: Whether it was built or loaded, and from where.
        refusals: Backends that were tried before.
    """

    backend: str
    settings: Settings
    machine: Machine
    agreement: Agreement
    origin: str
    refusals: tuple[Refusal, ...]

    @property
    def refused(self) -> str:
        """The backends that were not taken and why, in one line; empty for none."""
        return ' '.join(f'{each.backend}: {each.reason}' for each in self.refusals)

    def about(self) -> dict[str, str]:
        """Returns what people want to know of it."""
        return {'backend': self.backend, 'backends refused': self.refused}


class CompiledPolicy:
    """A policy's call, computed by an engine that was compared with it.

    Args:
        interface: What turns observations into arguments of the network, and results into chunks.
        session: Engine that was verified.
        report: How it came about.

    Attributes:
        config: Configuration of the policy.
        report: How the engine came about.
    """

    def __init__(self, interface: Interface, session: Session, report: Report) -> None:
        self.config = interface.config
        self.report = report
        self._interface = interface
        self._session = session

    def predict(self, observation: Observation, prefix: Prefix | None = None) -> Prediction:
        """One observation, one chunk, which begins with the prefix.

        Raises:
            ValueError: The network gave numbers that no arm may follow, or cannot go on from a
                prefix.
        """
        arrays = self._interface.arrays(observation, prefix)
        self._interface.signature.check(arrays)
        return self._interface.prediction(observation, self._session.run(arrays))
