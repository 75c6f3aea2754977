# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A rosbag2 sqlite3 file and what a crash left beside it -> its channels and messages.

SQLite keeps what it has not moved into the database in a file beside it: committed messages in a
write-ahead log (`-wal`), pages to restore in a rollback journal (`-journal`). Both are worked in
on a copy, so that a folder that cannot be written is read as well and the recording stays as it
is.
"""

import shutil
import sqlite3
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import yaml
from rosbags.interfaces import MessageDefinition

from ..files import disk_of
from .bag_files import SQLITE_BESIDE
from .bag_types import definition_of, normal_name
from .stored_messages import Channel, MessagePlaces


class SqliteFile:
    """One sqlite3 file; see `McapFile` for the attributes.

    Raises:
        sqlite3.Error: It is no database of rosbag2.
        OSError: The disk has no room for the copy.
    """

    ros1 = False

    def __init__(self, file: Path) -> None:
        self.losses: list[str] = []
        self.doubts: list[str] = []
        self.places = MessagePlaces()
        self.counted = False
        self._stack = ExitStack()
        with self._stack:
            file = self._settled(file)
            self._measure(file)
            self._database = self._stack.enter_context(
                closing(sqlite3.connect(f'{file.as_uri()}?immutable=1', uri=True))
            )
            self.channels: list[Channel] = []
            self._list(self._describe())
            self._compare()
            self._at = 0
            self._ahead: Any = None
            self._stack = self._stack.pop_all()

    def close(self) -> None:
        """Closes the file."""
        self._stack.close()

    def fetch(self, place: int) -> bytes:
        """Data of the message at a place, which is its row."""
        if self._ahead is None or place != self._at:
            # Row after row as a rule: one query serves them all.
            self._ahead = self._database.execute(
                'SELECT id, data FROM messages WHERE id >= ? ORDER BY id', (place,)
            )
        row, data = next(self._ahead, (None, b''))
        self._at = place + 1
        if row != place:
            self._ahead = None
            raise ValueError('the file changed while it was read')
        if not isinstance(data, bytes):
            raise TypeError(f'a message is stored as {type(data).__name__}')
        return data

    def _settled(self, file: Path) -> Path:
        """The file itself, or a copy into which was worked what a crash left beside it."""
        beside = [Path(f'{file}{end}') for end in SQLITE_BESIDE[:2]]
        beside = [path for path in beside if path.is_file() and _in_use(path)]
        if not beside:
            shared = Path(f'{file}-shm')
            if shared.exists() and not Path(f'{file}-wal').exists():
                self.losses.append(
                    f'it was copied while it was open, or after a crash: {shared.name} is there, '
                    f'but the messages in {file.name}-wal are not; copy that file as well'
                )
            return file.resolve()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        copy = folder / file.name
        with disk_of(folder, 'set TMPDIR to a folder with room for the bag'):
            for path in (file, *beside):
                # Not the attributes: the recording may be read-only.
                shutil.copyfile(path, folder / path.name)
        with closing(sqlite3.connect(copy)) as database:
            database.execute('PRAGMA wal_checkpoint(TRUNCATE)')
            database.execute('PRAGMA journal_mode=DELETE')
        for path in beside:
            if path.name.endswith('-journal'):
                self.losses.append(
                    f'its recorder was killed while it wrote: {path.name} took back messages that '
                    'were not committed yet'
                )
            else:
                self.doubts.append(
                    f'was not closed by its recorder: what {path.name} holds was read too, and '
                    'nobody knows what was still in memory'
                )
        return copy

    def _measure(self, file: Path) -> None:
        """The size by the database's own header against that of the file."""
        with file.open('rb') as stream:
            head = stream.read(100)
        # Written by a SQLite that does not keep the number of pages, where these two differ.
        if len(head) < 100 or head[24:28] != head[92:96]:
            return
        page = int.from_bytes(head[16:18], 'big')
        # 65536 does not fit.
        said = int.from_bytes(head[28:32], 'big') * (page if page > 1 else 2**16)
        size = file.stat().st_size
        if size < said:
            self.losses.append(f'it has {size} bytes, by its own header {said}')

    def _describe(self) -> dict[int, int]:
        """Learn the channels; the number of each, by its key in the database."""
        definitions: dict[str, MessageDefinition] = {}
        # Recorders before Iron keep no definitions. What a topic offered as QoS is of no use here.
        if self._database.execute('PRAGMA table_info(message_definitions)').fetchall():
            rows = self._database.execute(
                'SELECT topic_type, encoding, encoded_message_definition FROM message_definitions'
            )
            definitions = {kind: definition_of(encoding, text) for kind, encoding, text in rows}
        numbers: dict[int, int] = {}
        topics = self._database.execute('SELECT id, name, type FROM topics ORDER BY id')
        for number, (key, name, kind) in enumerate(topics):
            numbers[key] = number
            none = definition_of('', '')
            self.channels.append(
                Channel(str(name), normal_name(str(kind)), definitions.get(kind, none))
            )
        return numbers

    def _list(self, numbers: dict[int, int]) -> None:
        rows = self._database.execute('SELECT id, topic_id, timestamp FROM messages ORDER BY id')
        stray = 0
        try:
            for row, topic, time in rows:
                if topic in numbers and isinstance(time, int):
                    self.places.add(numbers[topic], time, row)
                else:
                    stray += 1
        except sqlite3.DatabaseError as error:
            self.losses.append(f'it is damaged behind message {len(self.places)} ({error})')
        if stray:
            self.losses.append(f'{stray} messages have no time, or no topic that it describes')

    def _compare(self) -> None:
        """The metadata inside the file, as recorders since Iron write it, against what came."""
        try:
            (text,) = self._database.execute(
                'SELECT metadata FROM metadata ORDER BY id DESC LIMIT 1'
            ).fetchone()
            files = yaml.safe_load(text)['rosbag2_bagfile_information']['files']
            counts = [int(each['message_count']) for each in files]
        except (sqlite3.Error, yaml.YAMLError, TypeError, KeyError, ValueError, AttributeError):
            return
        if len(counts) != 1:
            return
        self.counted = True
        if counts[0] != len(self.places):
            self.losses.append(
                f'by its own metadata it holds {counts[0]} messages, {len(self.places)} were found'
            )


def _in_use(beside: Path) -> bool:
    """Whether a file beside a database holds anything: a finished journal may stay, zeroed."""
    with beside.open('rb') as file:
        head = file.read(8)
    return bool(head.strip(b'\0'))
