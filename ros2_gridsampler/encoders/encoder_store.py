# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Encoders that were received, by their hash: whole and verified, or not there at all."""

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cattrs
from filelock import FileLock, Timeout

from ..files import write_whole
from ..policy.manifest import MANIFEST
from .encoder_checkpoint import ENCODER_WEIGHTS
from .received_folder import check_received
from .server_manifest import ServedEncoder, ServerManifest
from .strict_json import NotBelieved, parse
from .weight_chunks import ChunkAssembly

NAMES = 'names.json'
_PARTIAL = '.partial-'
# Nobody receives for so long; what is older was left by a process that was killed [s].
_STALE = 86400.0
# So long another process may hold the names [s]; who asks for them may be moving an arm.
_PATIENCE = 1.0
_MARGIN_BYTES = 64 << 20
# A check takes seconds, but on a busy machine all that lose patience check at once, and none comes
# to an end. A process that ends lets go of the lock; this is for one that was stopped [s].
_CHECK_PATIENCE = 600.0


class EncoderStore:
    """A folder of encoder folders, each named by the sha256 of its weights.

    An entry appears by one rename after every check, so a reader never sees a part of one, and
    a process may be killed at any moment. Several processes may share a store.

    Args:
        folder: Folder of the store, created where needed.
        size_limit: Size of all entries together [bytes]; the least recently used one gives way.
    """

    def __init__(self, folder: Path, size_limit: int = 8 << 30) -> None:
        self.folder = folder
        self._size_limit = size_limit
        folder.mkdir(parents=True, exist_ok=True)
        for partial in folder.glob(f'{_PARTIAL}*'):
            if time.time() - partial.stat().st_mtime > _STALE:
                shutil.rmtree(partial, ignore_errors=True)

    def find(self, sha256: str) -> Path | None:
        """Returns the folder of an encoder that is here; None where it is not."""
        entry = self.folder / sha256
        if not _is_whole(entry):
            return None
        os.utime(entry)
        return entry

    def pin(self, manifest: ServerManifest) -> None:
        """Remembers which hash every name stands for; a name keeps its meaning.

        Raises:
            NotBelieved: A name stood for other weights before.
        """
        with FileLock(self.folder / 'names.lock', timeout=_PATIENCE):
            known = self._names()
            remembered = dict(known)
            for encoder in manifest.encoders:
                before = known.setdefault(encoder.name, encoder.sha256)
                if before != encoder.sha256:
                    raise NotBelieved(
                        f'{encoder.name!r} was {before[:12]}... and is now '
                        f'{encoder.sha256[:12]}...; give new weights a new name, or remove '
                        f'{self.folder / NAMES}.'
                    )
            # What is known already is not written again: the disk may be full.
            if known != remembered:
                # The newest names are kept: a server must not fill the disk with them.
                newest = dict(list(known.items())[-4096:])
                write_whole(self.folder / NAMES, json.dumps(newest))

    def receive(self, encoder: ServedEncoder) -> 'Reception':
        """Begins to receive an encoder.

        Raises:
            OSError: There is no room for it.
        """
        free = shutil.disk_usage(self.folder).free
        if encoder.bytes + _MARGIN_BYTES > free or encoder.bytes > self._size_limit:
            raise OSError(
                f'{encoder.name!r} has {encoder.bytes >> 20} MiB, {self.folder} has room for '
                f'{min(free, self._size_limit) >> 20} MiB; remove old encoders there'
            )
        return Reception(self, encoder)

    def keep(self, sha256: str, folder: Path) -> Path:
        """Puts a verified folder in its place; that of another process stays if it was first."""
        entry = self.folder / sha256
        try:
            folder.rename(entry)
        except OSError:
            if _is_whole(entry):
                shutil.rmtree(folder, ignore_errors=True)
            else:
                # A process was killed while it removed the entry.
                self._remove(entry)
                folder.rename(entry)
        _sync(self.folder)
        self._evict(entry)
        return entry

    def _evict(self, newest: Path) -> None:
        entries = [path.parent for path in self.folder.glob(f'*/{ENCODER_WEIGHTS}')]
        others = sorted(
            (path for path in entries if path != newest and not path.name.startswith(_PARTIAL)),
            key=lambda path: path.stat().st_mtime,
        )
        sizes = {path: (path / ENCODER_WEIGHTS).stat().st_size for path in (*others, newest)}
        total = sum(sizes.values())
        for path in others:
            if total <= self._size_limit:
                return
            total -= sizes[path]
            self._remove(path)

    def _remove(self, entry: Path) -> None:
        """Removes an entry by one rename too: what is half gone is no entry any more."""
        gone = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.folder))
        with contextlib.suppress(FileNotFoundError):
            entry.rename(gone / 'entry')
        shutil.rmtree(gone, ignore_errors=True)

    def _names(self) -> dict[str, str]:
        path = self.folder / NAMES
        if not path.exists():
            return {}
        try:
            text = path.read_text('utf-8')
        except UnicodeDecodeError as error:
            raise NotBelieved(f'{path} is no text: {error}; remove the file.') from error
        content = parse(text, str(path), max_bytes=1 << 20, max_containers=1)
        if not isinstance(content, dict):
            raise NotBelieved(f'{path} is not an object; remove the file.')
        return {str(name): str(sha256) for name, sha256 in content.items()}


class Reception:
    """An encoder on its way into a store.

    Args:
        store: Where it will be.
        encoder: What was announced.
    """

    def __init__(self, store: EncoderStore, encoder: ServedEncoder) -> None:
        self.encoder = encoder
        self._store = store
        self._folder = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=store.folder))
        weights = self._folder / ENCODER_WEIGHTS
        self.chunks = ChunkAssembly(weights, encoder.sha256, encoder.bytes)

    def finish(self, check: Callable[[Path], None] = check_received) -> Path:
        """Checks all that can be checked, puts the entry in its place and returns its folder.

        Of several processes that have received the same encoder one checks, the others find it.

        Args:
            check: Raises where the folder must not be believed.

        Raises:
            NotBelieved: The file is not what was announced.
            ValueError: `check_received` refuses the folder.
        """
        turn = FileLock(self._store.folder / f'{self.encoder.sha256}.lock')
        try:
            with contextlib.suppress(Timeout):
                turn.acquire(timeout=_CHECK_PATIENCE)
            if (found := self._store.find(self.encoder.sha256)) is not None:
                self.discard()
                return found
            self.chunks.finish()
            text = json.dumps(cattrs.unstructure(self.encoder.manifest), indent=1)
            with (self._folder / MANIFEST).open('w') as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            check(self._folder)
            _sync(self._folder)
            return self._store.keep(self.encoder.sha256, self._folder)
        except BaseException:
            self.discard()
            raise
        finally:
            turn.release()

    def discard(self) -> None:
        """Throws away what came."""
        self.chunks.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def default_folder() -> Path:
    """Returns where received encoders are kept for this user."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'ros2_gridsampler' / 'encoders'


def _is_whole(entry: Path) -> bool:
    return (entry / MANIFEST).is_file() and (entry / ENCODER_WEIGHTS).is_file()


def _sync(folder: Path) -> None:
    """Makes renames in a folder last through a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
