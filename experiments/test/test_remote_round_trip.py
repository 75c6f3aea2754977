# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The server is a process of its own, both ways are timed alike, and both give the same."""

import json

import pytest

pytest.importorskip('websockets', reason="pip install 'ros2_gridsampler[remote]'")
from experiments import remote_round_trip


def test_every_call_is_timed_both_ways_and_gives_the_same(tmp_path, capsys):
    remote_round_trip.main(calls=3, json=tmp_path / 'times.json')
    times = json.loads((tmp_path / 'times.json').read_text())
    assert {name: len(taken) for name, taken in times.items()} == {'here': 3, 'over loopback': 3}
    assert min(times['here'] + times['over loopback']) > 0
    said = capsys.readouterr().out
    assert float(said.rpartition('differ by at most ')[2].rstrip('.\n')) < 1e-6


def test_a_policy_that_cannot_be_served_is_an_error_at_once():
    with pytest.raises(ChildProcessError, match='ended with 1'), remote_round_trip.serving('none'):
        pass
