# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The large recording has no index and one topic after the other, and is read in order of time."""

import pytest
from mcap.reader import make_reader

from experiments.large_recording import main, read_large, write_large


def test_every_message_of_a_file_without_an_index_is_read_in_order_of_time(tmp_path):
    file = tmp_path / 'large.mcap'
    written = write_large(file, 2e6)
    cost = read_large(file)
    assert (cost.messages, cost.in_order) == (written, True)
    assert 1e6 < cost.bytes < 4e6
    assert cost.peak >= cost.before > 0
    with file.open('rb') as stream:
        summary = make_reader(stream).get_summary()
    assert summary is None or (summary.statistics is None and not summary.chunk_indexes)


@pytest.mark.parametrize('gigabytes', [0.0, -1.0, float('nan'), 1e4])
def test_a_size_that_no_file_has_is_refused(gigabytes):
    with pytest.raises(ValueError, match='more than 0, less than 1000'):
        main(gigabytes)
