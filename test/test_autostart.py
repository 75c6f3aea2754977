# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A node that starts itself does so once, and not after somebody asked it to leave."""

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from ros2_gridsampler.nodes.autostart import Autostart

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class Starting(Node):
    """What Autostart needs of a lifecycle node, and what it was asked to do."""

    def __init__(self, context, configured=SUCCESS):
        super().__init__('starting', context=context)
        self.steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.state, self.asked, self.awaited = 'unconfigured', [], 'pictures'
        self._configured = configured

    def trigger_configure(self):
        self.asked.append('configure')
        if self._configured == SUCCESS:
            self.state = 'inactive'
        return self._configured

    def trigger_activate(self):
        self.asked.append('activate')
        self.state = 'active'
        return SUCCESS

    def start(self):
        autostart = Autostart(self, True, lambda: self.state, lambda: self.awaited)
        # The executor calls what it has seen of a timer, also after the timer was destroyed.
        return autostart, next(iter(self.timers)).callback


@pytest.fixture
def make_node(ros_domain):
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    yield lambda *options: Starting(context, *options)
    rclpy.shutdown(context=context)


def test_a_call_that_comes_too_often_changes_nothing(make_node):
    node = make_node()
    autostart, call = node.start()
    for _ in range(3):
        call()
    assert node.asked == ['configure']
    assert 'waiting for pictures' in autostart.missing
    assert len(list(node.timers)) == 1
    node.awaited = ''
    for _ in range(3):
        call()
    assert node.asked == ['configure', 'activate']
    assert not list(node.timers)
    assert not autostart.missing
    assert not autostart.failed


def test_a_node_that_was_asked_to_leave_is_not_activated(make_node):
    node = make_node()
    autostart, call = node.start()
    call()
    autostart.leave()
    node.awaited = ''
    call()
    assert node.asked == ['configure']
    assert not list(node.timers)


def test_a_node_that_cannot_be_configured_has_failed_and_is_asked_once(make_node):
    node = make_node(FAILURE)
    autostart, call = node.start()
    for _ in range(3):
        call()
    assert node.asked == ['configure']
    assert autostart.failed


def test_whoever_configures_by_hand_activates_by_hand(make_node):
    node = make_node()
    _, call = node.start()
    node.state, node.awaited = 'inactive', ''
    call()
    assert node.asked == []
    assert not list(node.timers)
