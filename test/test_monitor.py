# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The monitor shows a report of any node, whatever its level."""

import io

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rich.console import Console

from ros2_gridsampler.nodes.monitor import Monitor


@pytest.mark.parametrize('level', [DiagnosticStatus.OK, DiagnosticStatus.STALE, b'\x07'])
def test_every_level_of_a_report_is_shown(ros_domain, level):
    with Context() as context:
        monitor = Monitor('/base', context=context)
        status = DiagnosticStatus(level=level, name='/base', message='Nothing is new.')
        monitor._hear(DiagnosticArray(status=[status]))
        console = Console(file=io.StringIO())
        console.print(monitor.render())
        assert 'Nothing is new.' in console.file.getvalue()
        monitor.destroy_node()
