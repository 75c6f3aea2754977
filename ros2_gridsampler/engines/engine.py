# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What every engine is: an object that checks the machine, builds a network and opens it."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol

from ..bounds import checked, setting
from ..device import check_device
from ..policy.signature import Arrays, Precision, Signature
from ..seeing.observation import Observation

if TYPE_CHECKING:
    from torch import nn

    from .exported_graph import ExportedGraph

# Files of a built engine: name -> content.
Built = Mapping[str, bytes | bytearray]


class EngineRefused(ValueError):
    """An engine that may not compute a policy here; the text says why and what to do."""


@dataclass(frozen=True)
@checked
class Settings:
    """How an engine computes.

    Attributes:
        precision: 'bf16', 'fp16' and 'int8' are approximations; they are never chosen unasked.
        threads: CPU threads of one inference. One is right where other nodes share the machine:
            two threads that must wait for each other on a busy core are slower than one.
        device: 'auto', 'cpu', 'cuda' or 'cuda:1'; 'auto' is the fastest that the engine has here.

    Raises:
        ValueError: There is no such device, or no thread.
    """

    precision: Precision = 'fp32'
    threads: int = setting(1, minimum=1)
    device: str = 'auto'

    def __post_init__(self) -> None:
        """Refuses a device that does not exist."""
        check_device(self.device)


@dataclass(frozen=True)
class Machine:
    """What a built engine depends on besides the network.

    Attributes:
        engine: Library and version.
        device: Processor or GPU, with its compute capability.
        driver: Driver of the GPU; empty without one.
        flags: Flags of the build.
    """

    engine: str
    device: str
    driver: str = ''
    flags: str = ''


class Compilable(Protocol):
    """A network that engines can compute, with all that they have to know of it.

    A policy of several networks is several of these.
    """

    @property
    def signature(self) -> Signature:
        """Its arguments and results, by name."""

    def network(self, precision: Precision) -> nn.Module:
        """Returns the module, whose `forward` takes the arguments in the signature's order.

        Args:
            precision: 'fp32' for the reference, 'fp16' or 'bf16' for a copy that computes so.
        """

    def probes(self, examples: Sequence[Observation]) -> list[Arrays]:
        """Returns arguments that try an engine out.

        Raises:
            ValueError: There is no example.
        """


class Session(Protocol):
    """An engine that was opened and computes one network."""

    def run(self, arrays: Arrays) -> Arrays:
        """Returns the results of one call, by name; they are copies."""


class Engine(abc.ABC):
    """A way to compute networks. One object per library; `table.ENGINES` lists them.

    What all of them refuse, they refuse here and in the same words.

    Attributes:
        name: What people choose it by.
        files: Names of the files that it builds; none where PyTorch computes the policy itself.
        lowers: Whether it takes a network in float32 to a lower precision itself.
        portable: Whether what it builds computes in every precision, on every machine, without
            PyTorch.
        title: What people call the library.
        packages: What pip has to install for it.
        on_gpu: Whether it computes on GPUs.
        errors: What the library raises for files that it does not accept.
        hint: Sentence for whoever asks for a precision that is not to be had.
    """

    name: str
    files: tuple[str, ...]
    lowers: bool
    portable: bool = False
    title: str
    packages: str
    on_gpu: bool = False
    errors: tuple[type[Exception], ...] = (RuntimeError,)
    hint: str = ''

    @abc.abstractmethod
    def library(self) -> Any:
        """Returns the module of the library.

        Raises:
            ImportError: It is not installed.
        """

    @abc.abstractmethod
    def look(self, settings: Settings) -> tuple[Machine, Sequence[Precision]]:
        """Returns what a build depends on here, and the precisions that are to be had here.

        Raises:
            EngineRefused: The device is not to be had here.
        """

    @abc.abstractmethod
    def build(self, graph: ExportedGraph, settings: Settings) -> Built:
        """Returns the files of an engine.

        Raises:
            EngineRefused: It cannot be built; an operator that is missing is named.
        """

    @abc.abstractmethod
    def session(
        self, files: Built, signature: Signature, settings: Settings, source: Compilable | None
    ) -> Session:
        """Returns what `open` returns; may raise the `errors` of the library."""

    def check(self, settings: Settings) -> Machine:
        """Returns what an engine built here depends on.

        Raises:
            EngineRefused: The library, the device or the precision is not to be had here.
        """
        try:
            self.library()
        except ImportError as error:
            raise missing(self.title, self.packages) from error
        if settings.device.startswith('cuda') and not self.on_gpu:
            raise EngineRefused(
                f'{self.title} computes on the CPU here, {settings.device!r} was asked for; use '
                "the device 'cpu', or a backend that computes on a GPU, like 'tensorrt'."
            )
        machine, able = self.look(settings)
        if settings.precision not in able:
            raise EngineRefused(
                f'{self.title} does not compute {settings.precision} on {machine.device}; use '
                f'{" or ".join(able)}. {self.hint}'.rstrip()
            )
        return machine

    def open(
        self,
        files: Built,
        signature: Signature,
        settings: Settings,
        source: Compilable | None = None,
    ) -> Session:
        """Returns a session that computes the network.

        Args:
            files: Files that `build` returned.
            signature: Signature of the network.
            settings: How the engine computes, as for `check`.
            source: The network itself; only an engine without files asks for it.

        Raises:
            EngineRefused: The library does not accept the files here.
        """
        try:
            return self.session(files, signature, settings, source)
        except EngineRefused:
            raise
        except self.errors as error:
            raise EngineRefused(f'{self.title} cannot load the policy: {error}') from error


def versions(*distributions: str) -> str:
    """Returns those of libraries that take part in a build; those not installed are left out."""
    found = []
    for name in distributions:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f'{name} {version(name)}')
    return ', '.join(found)


def missing(package: str, command: str) -> EngineRefused:
    """Returns the refusal of an engine whose library is not installed."""
    return EngineRefused(f'{package} is not installed; pip install {command}')
