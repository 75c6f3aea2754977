# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A problem that lasts is counted every time and logged seldom; another one at once."""

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed; pip install .[ros]')

from ros2_gridsampler.nodes.problems import Problems


class Log:
    """What would be printed."""

    def __init__(self):
        self.lines = []

    def warning(self, text):
        self.lines.append(text)


@pytest.fixture
def world():
    """Problems, their log and a clock that is set by hand."""
    log, clock = Log(), [0.0]
    return Problems(log, lambda: clock[0]), log.lines, clock


def test_what_lasts_is_logged_less_and_less_often(world):
    problems, lines, clock = world
    for tick in range(3000):
        clock[0] = 0.1 * tick
        problems.report('pose', f'The pose is {tick} ms old.')
    assert problems.counts['pose'] == 3000
    assert problems.last['pose'] == 'The pose is 2999 ms old.'
    assert 5 < len(lines) < 15


def test_another_sentence_is_logged_at_once(world):
    problems, lines, _ = world
    problems.report('joints', 'A joint is missing.')
    problems.report('joints', 'A joint is not finite.')
    problems.report('joints', 'A joint is missing.')
    assert len(lines) == 2


def test_what_comes_back_is_news(world):
    problems, lines, clock = world
    problems.report('camera', 'Silent.')
    clock[0] = 11.0
    problems.report('camera', 'Silent.')
    assert len(lines) == 2
