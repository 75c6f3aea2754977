# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A file is written whole or not at all, and a full disk is said in words."""

import errno

import pytest

from ros2_gridsampler import command_line
from ros2_gridsampler.files import FULL, disk_of, write_whole


def test_what_was_there_stays_until_the_new_content_is_whole(tmp_path, full_disk):
    path = tmp_path / 'known.json'
    write_whole(path, 'größer')
    assert path.read_text('utf-8') == 'größer'
    full_disk(tmp_path / 'known.json.partial')
    with pytest.raises(OSError, match='No space left'):
        write_whole(path, b'half')
    assert path.read_text('utf-8') == 'größer'
    (tmp_path / 'known.json.partial').unlink()
    write_whole(path, b'new')
    assert [found.name for found in tmp_path.iterdir()] == ['known.json']
    assert path.read_bytes() == b'new'


@pytest.mark.parametrize('number', FULL)
def test_a_full_disk_is_named_with_what_helps(tmp_path, number):
    with (
        pytest.raises(OSError, match=f'disk of {tmp_path} is full; free some space, or wait'),
        disk_of(tmp_path, 'or wait'),
    ):
        raise OSError(number, 'full')


def test_what_is_no_full_disk_stays_what_it_was(tmp_path):
    with pytest.raises(PermissionError), disk_of(tmp_path, 'or wait'):
        raise PermissionError(errno.EACCES, 'not yours')


def test_a_command_whose_disk_is_full_says_how_to_go_on(monkeypatch, capsys):
    def fill():
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setitem(command_line.COMMANDS, 'check', fill)
    with pytest.raises(SystemExit) as end:
        command_line.main(['check'])
    assert end.value.code == 1
    assert 'No space left on device; free some space' in capsys.readouterr().err
