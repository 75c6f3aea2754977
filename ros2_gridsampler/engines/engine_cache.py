# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Built engines <-> files that are believed only when everything they depend on agrees."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .engine import Built, EngineRefused

SUFFIX = '.engine'
GIBIBYTE = 1 << 30
Opened = TypeVar('Opened')


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on; torch-tensorrt's own key forgets the arguments.

    Attributes:
        backend: Name.
        graph: sha256 of the operators with their arguments and shapes.
        weights: sha256 of all tensors.
        precision: Precision of the engine.
        flags: Flags of the build.
        engine: Name and version of the library.
        driver: Driver of the GPU; empty without one.
        device: Name of the processor or GPU, with its compute capability.
    """

    backend: str
    graph: str
    weights: str
    precision: str
    flags: str
    engine: str
    driver: str
    device: str

    @property
    def digest(self) -> str:
        """sha256 of it all."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()

    @property
    def stem(self) -> str:
        """What entries of the same policy share: the rest of the key is about the machine."""
        return f'{self.backend}-{self.graph[:12]}-{self.weights[:12]}-{self.precision}'


class EngineCache:
    """A folder of built engines, the oldest of which give way.

    An entry is one safetensors file: nothing is ever unpickled. It appears by a rename, so a
    writer may die at any moment; two processes that want the same engine wait for each other.

    Args:
        folder: Created where needed.
        size_limit: Size of all entries [bytes]; the newest one stays in any case.
        must_keep: Whether an engine that cannot be kept is an error; else it is just used.
    """

    def __init__(
        self, folder: Path, size_limit: int = 4 * GIBIBYTE, *, must_keep: bool = False
    ) -> None:
        self._folder = folder
        self._size_limit = size_limit
        self._must_keep = must_keep

    def obtain(
        self, key: EngineKey, build: Callable[[], Built], load: Callable[[Built], Opened]
    ) -> tuple[Opened, str]:
        """The engine of that key, built only if no entry can be believed.

        Args:
            key: What it depends on.
            build: Makes its files.
            load: Makes an engine of them; may refuse an entry.

        Returns:
            The engine, and where it came from: a sentence.

        Raises:
            EngineRefused: It can be neither loaded nor built.
            OSError: It must be kept and cannot be.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._path(key).with_suffix('.lock'))
            lock.acquire()
        except OSError as error:
            # What appears by a rename is whole without a lock.
            with contextlib.suppress(EngineRefused, SafetensorError, OSError):
                return load(self._read(key)), f'Loaded from {self._path(key)}.'
            if self._must_keep:
                raise OSError(f'Engines cannot be kept in {self._folder}: {error}.') from error
            return load(build()), f'Built, not kept: {self._folder} cannot be used ({error}).'
        try:
            return self._obtain(key, build, load)
        finally:
            lock.release()

    def graph(self, fingerprint: str) -> tuple[str, str] | None:
        """Returns the hashes of the graph and of the weights that a policy was exported to.

        None where that is not known. Whoever opens an engine by them verifies its numbers.

        Args:
            fingerprint: Fingerprint of the policy, see `exported_graph.fingerprint`.
        """
        try:
            content = json.loads((self._folder / f'{fingerprint}.graph').read_text())
            return str(content['graph']), str(content['weights'])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep_graph(self, fingerprint: str, graph: str, weights: str) -> None:
        """Remembers what `graph` gives; nothing where the folder cannot be written."""
        path = self._folder / f'{fingerprint}.graph'
        partial = path.with_suffix(f'.{os.getpid()}.partial')
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps({'graph': graph, 'weights': weights}))
            partial.replace(path)

    def _obtain(
        self, key: EngineKey, build: Callable[[], Built], load: Callable[[Built], Opened]
    ) -> tuple[Opened, str]:
        """Does what `obtain` does, with the lock held."""
        try:
            return load(self._read(key)), f'Loaded from {self._path(key)}.'
        except (EngineRefused, SafetensorError, OSError) as error:
            reason = self._reason(key, error)
        built = build()
        engine = load(built)
        try:
            self._write(key, built)
        except OSError as error:
            if self._must_keep:
                raise OSError(
                    f'The engine was built, but cannot be kept in {self._folder}: {error}.'
                ) from error
            return engine, f'{reason} Built, not kept: {error}.'
        return engine, f'{reason} Built and kept as {self._path(key)}.'

    def _path(self, key: EngineKey) -> Path:
        return self._folder / f'{key.stem}-{key.digest[:16]}{SUFFIX}'

    def _read(self, key: EngineKey) -> Built:
        path = self._path(key)
        with safe_open(path, framework='numpy') as file:
            about = file.metadata() or {}
            built = {name: file.get_tensor(name).tobytes() for name in sorted(file.keys())}
        if about.get('key') != json.dumps(asdict(key)):
            raise EngineRefused(f'{path} was made for {_differences(key, about.get("key"))}.')
        if about.get('sha256') != _hash(built):
            raise EngineRefused(f'{path} was changed or cut after it was written.')
        with contextlib.suppress(OSError):  # somebody else's, or a disk that is only read
            # The clock of files is coarser: what was just written would seem as new.
            os.utime(path, ns=(time.time_ns(), time.time_ns()))
        return built

    def _write(self, key: EngineKey, built: Built) -> None:
        path = self._path(key)
        arrays = {name: np.frombuffer(content, np.uint8) for name, content in built.items()}
        about = {'key': json.dumps(asdict(key)), 'sha256': _hash(built)}
        partial = path.with_suffix('.partial')
        try:
            with partial.open('wb') as file:
                file.write(save(arrays, metadata=about))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        self._evict(path)

    def _evict(self, newest: Path) -> None:
        """Remove what was used least recently until the rest fits."""
        entries: list[tuple[float, int, Path]] = []
        for path in self._folder.glob(f'*{SUFFIX}'):
            with contextlib.suppress(FileNotFoundError):  # another process removed it meanwhile
                found = path.stat()
                entries.append((found.st_mtime, found.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self._size_limit:
                return
            if path != newest:
                total -= size
                path.unlink(missing_ok=True)

    def _reason(self, key: EngineKey, error: Exception) -> str:
        """Why an entry could not be used, or why there is none."""
        path = self._path(key)
        if not isinstance(error, FileNotFoundError) and path.exists():
            return f'An entry was refused: {error}'
        for other in sorted(self._folder.glob(f'{key.stem}-*{SUFFIX}')):
            try:
                with safe_open(other, framework='numpy') as file:
                    made_for = (file.metadata() or {}).get('key')
            except (SafetensorError, OSError):
                continue
            return f'{other.name} was made for {_differences(key, made_for)}.'
        return 'There was no entry.'


def default_folder() -> Path:
    """Where engines are kept for this user."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'ros2_gridsampler' / 'engines'


def _hash(built: Built) -> str:
    digest = hashlib.sha256()
    for name in sorted(built):
        digest.update(f'{name} {len(built[name])} '.encode())
        digest.update(built[name])
    return digest.hexdigest()


def _differences(key: EngineKey, made_for: str | None) -> str:
    """What the key of an entry has otherwise, for a reader."""
    try:
        other = json.loads(made_for or '')
    except json.JSONDecodeError:
        return 'an unknown key'
    if not isinstance(other, dict):
        return 'an unknown key'
    differing = [
        f'{name} {other.get(name)!r} instead of {value!r}'
        for name, value in asdict(key).items()
        if other.get(name) != value
    ]
    return ', '.join(differing) or 'this very key'
