# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The page of a demonstration, from made-up measurements."""

import dataclasses
import itertools
import json
import math
import re

import cv2
import numpy as np
import pytest

from ros2_gridsampler.acting.latency import STAGES
from ros2_gridsampler.evaluating.demonstration_page import write_page
from ros2_gridsampler.evaluating.demonstration_record import (
    CameraTraffic,
    Demonstration,
    EncoderSwap,
    EpisodeSeen,
)
from ros2_gridsampler.evaluating.film import RATE, VERDICT_FRAMES, Clip, Picture, write_film
from ros2_gridsampler.seeing.camera_message import encode_jpeg

SOLVED = (True, False, True)
INSTRUCTIONS = (
    'pick up the black bowl between the plate and the ramekin and place it on the plate',
    'pick up the <b>bowl</b> & place it',
    'räum die Schüssel weg',
)


def pictures(count, start=100.0, grey=60):
    """`count` pictures at the rate of the film, 64x49, each a little brighter."""
    shades = np.clip(grey + 5 * np.arange(count), 0, 255).astype(np.uint8)
    return tuple(
        Picture(start + k / RATE, encode_jpeg(np.full((49, 64, 3), shade, np.uint8)))
        for k, shade in enumerate(shades)
    )


def episode(number):
    times = 100.0 + 0.02 * np.arange(50) + np.random.default_rng(number).normal(0, 1e-3, 50)
    return EpisodeSeen(
        task=number,
        instruction=INSTRUCTIONS[number],
        placement='Official(index=0)',
        success=SOLVED[number],
        steps=100 + number,
        held=number,
        real_time_factor=1.0 - 0.01 * number,
        pictures=pictures(7),
        command_times=tuple(times),
    )


@pytest.fixture(scope='module')
def seen():
    stages = np.random.default_rng(0).gamma(4, 0.003, (400, 4))
    columns = [*stages.T, stages.sum(1)]
    return Demonstration(
        policy='made_up',
        suite='libero_spatial',
        period=0.05,
        episodes=tuple(episode(number) for number in range(3)),
        stages={name: tuple(column) for name, column in zip(STAGES, columns, strict=True)},
        cameras={'agentview': CameraTraffic(500, 497), 'wrist': CameraTraffic(500, 500)},
        tokens=4,
        dense_tokens=64,
        hardware={'processor': 'Abacus 9', 'cores': '2', 'load': '0.5'},
    )


@pytest.fixture(scope='module')
def folder(seen, tmp_path_factory):
    folder = tmp_path_factory.mktemp('page')
    (folder / 'table.txt').write_text(write_page(seen, folder))
    return folder


def read_frames(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        whole, frame = capture.read()
        if not whole:
            return frames
        frames.append(frame)


def test_the_page_names_every_task_and_keeps_markup_out(folder):
    page = (folder / 'index.html').read_text()
    for instruction in (INSTRUCTIONS[0], INSTRUCTIONS[2], '&lt;b&gt;bowl&lt;/b&gt; &amp; place'):
        assert instruction in page
    assert '<b>bowl</b>' not in page


def test_the_page_needs_nothing_but_its_folder(folder):
    page = (folder / 'index.html').read_text()
    linked = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert {'episodes.mp4', 'latency.png', 'result.json'} <= set(linked)
    assert all((folder / name).stat().st_size > 100 for name in linked)
    assert 'http' not in page


def test_the_film_has_a_frame_for_every_picture_and_the_verdicts(folder):
    frames = read_frames(folder / 'episodes.mp4')
    assert len(frames) == 3 * (7 + VERDICT_FRAMES)
    assert {frame.shape for frame in frames} == {(154, 64, 3)}


def test_the_film_shows_the_pictures_in_order(folder):
    frames = read_frames(folder / 'episodes.mp4')
    brightness = [float(frame[110:150].mean()) for frame in frames[:7]]
    assert brightness == pytest.approx([60 + 5 * k for k in range(7)], abs=3)


def test_a_verdict_is_green_or_red(folder):
    frames = read_frames(folder / 'episodes.mp4')
    ends = [frames[(7 + VERDICT_FRAMES) * (number + 1) - 1] for number in range(3)]
    # The left edge of the bar, which the words do not reach in so small a picture's corner.
    colours = [end[104 + 3 : 104 + 8, :4].reshape(-1, 3).mean(0) for end in ends]
    assert [bool(green > red) for _, green, red in colours] == list(SOLVED)


def test_the_film_runs_in_real_time_whatever_the_rate_of_the_pictures(tmp_path):
    shots = pictures(5)
    slow = tuple(dataclasses.replace(p, time=2 * k / RATE) for k, p in enumerate(shots))
    fast = tuple(dataclasses.replace(p, time=k / (4 * RATE)) for k, p in enumerate(shots))
    clips = [Clip('', 'slow', True, '', slow), Clip('', 'fast', False, '', fast)]
    count = write_film(clips, tmp_path / 'film.mp4')
    assert count == len(read_frames(tmp_path / 'film.mp4')) == 9 + 2 + 2 * VERDICT_FRAMES


def test_the_film_of_a_slow_simulation_runs_in_simulated_time(seen, tmp_path):
    slow = dataclasses.replace(seen.episodes[0], real_time_factor=0.25, pictures=pictures(41))
    write_page(dataclasses.replace(seen, episodes=(slow,)), tmp_path)
    assert len(read_frames(tmp_path / 'episodes.mp4')) == 41 + VERDICT_FRAMES


def test_an_episode_without_pictures_is_left_out_and_an_empty_film_is_refused(tmp_path):
    clips = [Clip('', 'none', True, '', ()), Clip('', 'some', True, '', pictures(2))]
    assert write_film(clips, tmp_path / 'film.mp4') == 2 + VERDICT_FRAMES
    with pytest.raises(ValueError, match='nothing to film'):
        write_film(clips[:1], tmp_path / 'empty.mp4')


def test_the_numbers_are_those_of_the_measurements(folder, seen):
    result = json.loads((folder / 'result.json').read_text())
    for stage, durations in seen.stages.items():
        ordered = np.sort(durations)
        # Linear interpolation between the two neighbours of the rank, written out.
        rank = 0.99 * (len(ordered) - 1)
        below = math.floor(rank)
        p99 = ordered[below] + (rank - below) * (ordered[below + 1] - ordered[below])
        assert result['latency'][stage]['p99'] == pytest.approx(p99)
        assert result['latency'][stage]['p50'] == pytest.approx(np.median(ordered))
        assert result['latency'][stage]['maximum'] == pytest.approx(ordered[-1])
        assert result['latency'][stage]['count'] == 400
    without = np.subtract(seen.stages['total'], seen.stages['inference'])
    assert result['overhead']['p50'] == pytest.approx(np.median(without))
    assert result['overhead']['maximum'] == pytest.approx(without.max())
    gaps = [b - a for e in seen.episodes for a, b in itertools.pairwise(e.command_times)]
    assert result['command_period']['p50'] == pytest.approx(np.median(gaps))
    # 49 gaps per episode: the time between two episodes is no command period.
    assert result['command_period']['count'] == len(gaps) == 147
    assert result['cameras']['agentview'] == {'published': 500, 'received': 497, 'dropped': 3}
    assert result['visual_tokens_per_camera'] == {'used': 4, 'available': 64}
    assert result['real_time_factor'] == pytest.approx({'mean': 0.99, 'minimum': 0.98})
    assert result['success']['solved'] == 2
    assert result['success']['per_task'][INSTRUCTIONS[1]] == [0, 1]
    assert [e['simulated_time'] for e in result['episodes']] == pytest.approx([5, 5.05, 5.1])


def test_the_interval_is_wilsons(folder):
    result = json.loads((folder / 'result.json').read_text())
    # The bounds are the rates from which 2 of 3 is 1.96 standard deviations away.
    for bound in result['success']['interval_95']:
        assert abs(2 / 3 - bound) == pytest.approx(1.96 * math.sqrt(bound * (1 - bound) / 3))


def test_what_was_not_measured_is_null_and_the_page_is_written_all_the_same(seen, tmp_path):
    bare = dataclasses.replace(
        seen,
        stages={},
        episodes=tuple(
            dataclasses.replace(e, pictures=(), command_times=(), real_time_factor=None)
            for e in seen.episodes
        ),
    )
    write_page(bare, tmp_path)
    result = json.loads((tmp_path / 'result.json').read_text())
    assert result['latency']['total']['p50'] is None
    assert 'episodes.mp4' not in (tmp_path / 'index.html').read_text()


def test_the_table_says_what_the_page_says(folder):
    table = (folder / 'table.txt').read_text()
    for words in (*INSTRUCTIONS, '2 of 3 episodes', '497 received of 500, 3 dropped', '4 of 64'):
        assert words in table


@pytest.mark.parametrize(
    ('outcome', 'reason', 'states', 'words'),
    [
        ('accepted', '', ('shadow', 'trial', 'accepted'), 'site_b was accepted after 8.0 s'),
        (
            'refused',
            'Its features <are> elsewhere.',
            ('shadow', 'refused'),
            'site_b was refused after 4.0 s, while the arm moved: Its features',
        ),
        ('shadow', '', ('shadow',), 'still at'),
        ('', 'It does not fit.', (), 'was not tried before the last episode ended: It does not'),
    ],
)
def test_the_page_says_what_became_of_another_encoder(
    seen, tmp_path, outcome, reason, states, words
):
    times = tuple((state, 20.0 + 4.0 * number) for number, state in enumerate(states))
    swap = EncoderSwap('site_b', outcome, reason, 64 * 'a', 64 * 'b', times)
    table = write_page(dataclasses.replace(seen, swap=swap), tmp_path)
    page = (tmp_path / 'index.html').read_text()
    assert words in table
    assert words in page.replace('&#39;', "'")
    assert '<are>' not in page
    assert all(f'<td>{state}</td>' in page for state in states)
    assert json.loads((tmp_path / 'result.json').read_text())['swap']['outcome'] == outcome
