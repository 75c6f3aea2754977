# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The monitor shows a report of any node, whatever its level."""

import io

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rich.console import Console

from ros2_gridsampler.nodes.monitor import Monitor
from ros2_gridsampler.nodes.rclpy_repairs import own_context


@pytest.mark.parametrize('level', [DiagnosticStatus.OK, DiagnosticStatus.STALE, b'\x07'])
def test_every_level_of_a_report_is_shown(ros_domain, level):
    with own_context() as context:
        monitor = Monitor('/base', context=context)
        status = DiagnosticStatus(level=level, name='/base', message='Nothing is new.')
        monitor._hear(DiagnosticArray(status=[status]))
        console = Console(file=io.StringIO())
        console.print(monitor.render())
        assert 'Nothing is new.' in console.file.getvalue()
        monitor.destroy_node()


@pytest.mark.parametrize('watched', ['/left/policy_node', 'left/policy_node'])
def test_a_node_is_named_with_or_without_the_slash_in_front(ros_domain, watched):
    with own_context() as context:
        monitor = Monitor(watched, context=context)
        names = ('/left/policy_node', '/left/policy_node: timing', '/right/policy_node')
        statuses = [DiagnosticStatus(level=DiagnosticStatus.OK, name=name) for name in names]
        monitor._hear(DiagnosticArray(status=statuses))
        assert list(monitor.statuses) == ['', 'timing']
        monitor.destroy_node()
