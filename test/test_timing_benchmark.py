# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The timing benchmark measures two real processes, and its table is what it measured."""

import json
import subprocess
import sys

import pytest


@pytest.mark.timeout(600)
def test_commands_come_more_regularly_than_those_of_a_node_that_predicts_in_its_timer(
    ros_domain, tmp_path
):
    file, page = tmp_path / 'timing.json', tmp_path / 'page.md'
    command = [sys.executable, '-m', 'ros2_gridsampler.command_line']
    measured = subprocess.run(
        [*command, 'benchmark', 'timing', '--seconds', '2', '--rates', '50', '--json', file],
        capture_output=True,
        text=True,
    )
    assert measured.returncode == 0, measured.stderr
    rows = json.loads(file.read_text())['rows']
    policy, _, naive, _ = rows
    assert [(row['node'], row['load']) for row in rows] == [
        (node, load)
        for node in ('policy', 'naive')
        for load in ('inference', 'inference, all cores loaded')
    ]
    assert policy['regular_percent'] > naive['regular_percent']
    assert policy['period_p50'] < naive['period_p50']
    # It asks for a command every 20 ms and needs 30 ms for a prediction.
    assert naive['missed'] > 0
    assert 0 < policy['own_p50'] <= policy['overhead_p50']
    assert naive['overhead_p50'] is None

    page.write_text('<!-- timing -->\nformer\n<!-- /timing -->')
    subprocess.run([*command, 'safety-tables', page, '--timing', file], check=True)
    lines = page.read_text().splitlines()
    assert 'former' not in lines
    assert sum(line.startswith(('| policy |', '| naive |')) for line in lines) == len(rows)
