# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever way a bag was written and left, its messages come as they happened, all or said."""

import shutil
import stat
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from bag_layouts import (
    LAYOUTS,
    RATE,
    clock_set,
    counts,
    recording,
    write_mcap,
    write_metadata,
    write_split,
    write_sqlite,
)
from bag_mutations import DAMAGES, lose_log, lose_metadata, unlist_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ros2_gridsampler.bags.bag_contents import clock_steps
from ros2_gridsampler.bags.bag_files import DamagedBag
from ros2_gridsampler.bags.bag_reader import find_bags, read_serialised, read_topics
from ros2_gridsampler.bags.stored_messages import timeline

WHOLE = recording()


def read(bag):
    """Topic, log time [ns] and bytes of each message, and what is said at the end."""
    found = []
    try:
        for m in read_serialised(bag):
            found.append((m.topic, round(m.time * 1e9), m.message))
    except DamagedBag as damage:
        return found, str(damage)
    return found, ''


def as_read(messages):
    # A float of seconds does not carry single nanoseconds.
    return [(m.topic, round(1e-9 * m.time * 1e9), m.data) for m in messages]


@pytest.mark.parametrize('layout', LAYOUTS)
def test_every_layout_gives_every_message_once_and_in_the_order_of_time(tmp_path, layout):
    bag = LAYOUTS[layout](tmp_path / 'bag', WHOLE)
    found, words = read(bag)
    assert [(topic, data) for topic, _, data in found] == [(m.topic, m.data) for m in WHOLE]
    assert 'clock' in layout or found == as_read(WHOLE)
    # Its recorder did not close a file with a log beside it: more may have been in memory.
    assert bool(words) == (layout == 'sqlite3, write-ahead log')
    types = read_topics(bag)
    assert set(types) == set(counts(WHOLE))
    assert 'another type' in layout or types == {m.topic: m.type for m in WHOLE}


def test_a_log_beside_a_database_is_read_from_a_folder_that_cannot_be_written(tmp_path):
    bag = tmp_path / 'bag'
    file = write_sqlite(bag / 'bag_0.db3', WHOLE, crashed='wal')
    before = {path.name: path.read_bytes() for path in bag.iterdir()}
    for path in (*bag.iterdir(), bag):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    try:
        found, words = read(file)
    finally:
        bag.chmod(0o755)
    assert found == as_read(WHOLE)
    assert 'was not closed by its recorder' in words
    assert before == {path.name: path.read_bytes() for path in bag.iterdir()}


@pytest.mark.parametrize('share', [0.3, 0.9])
def test_of_a_log_that_is_cut_short_what_was_committed_is_read_and_doubt_is_said(tmp_path, share):
    file = write_sqlite(tmp_path / 'bag_0.db3', WHOLE, crashed='wal')
    log = Path(f'{file}-wal')
    log.write_bytes(log.read_bytes()[: int(share * log.stat().st_size)])
    found, words = read(file)
    assert found == as_read(WHOLE[: len(WHOLE) // 2])
    assert 'was not closed' in words


def test_a_database_whose_last_bytes_were_not_copied_is_not_called_whole(tmp_path):
    bag = LAYOUTS['sqlite3'](tmp_path / 'bag', WHOLE)
    (file,) = bag.glob('*.db3')
    data = file.read_bytes()
    # Less than a page: SQLite itself takes zeros for it.
    file.write_bytes(data[:-100])
    _, words = read(bag)
    assert f'it has {len(data) - 100} bytes, by its own header {len(data)}' in words


def test_a_database_whose_log_was_not_copied_is_not_called_whole(tmp_path):
    file = write_sqlite(tmp_path / 'bag' / 'bag_0.db3', WHOLE, crashed='wal')
    lose_log(file.parent, np.random.default_rng(0))
    found, words = read(file)
    assert len(found) == len(WHOLE) // 2
    assert 'bag_0.db3-wal are not; copy that file as well' in words
    Path(f'{file}-shm').unlink()
    assert 'nothing says how many messages' in read(file)[1]


def test_a_journal_takes_back_what_was_not_committed_and_that_is_said(tmp_path):
    file = write_sqlite(tmp_path / 'bag_0.db3', WHOLE, crashed='journal')
    assert Path(f'{file}-journal').stat().st_size
    found, words = read(file)
    assert found == as_read(WHOLE[: len(WHOLE) // 2])
    assert 'took back messages' in words


def test_split_files_without_metadata_are_one_recording_in_natural_order(tmp_path):
    write_split(tmp_path / 'folder', WHOLE, 12)
    lose_metadata(tmp_path / 'folder', None)
    for name in ('folder', 'renamed'):
        bag = (tmp_path / 'folder').rename(tmp_path / name)
        assert find_bags([bag]) == [bag]
        found, words = read(bag)
        assert found == as_read(WHOLE)
        assert 'no metadata.yaml says whether more follows folder_11.mcap' in words
        bag.rename(tmp_path / 'folder')
    # Episodes may be numbered as well, but none goes on where the one before ended.
    for number in range(3):
        write_mcap(tmp_path / f'many/episode_{number}.mcap', WHOLE)
    assert len(find_bags([tmp_path / 'many'])) == 3


def test_a_number_that_is_missing_among_files_without_metadata_is_a_loss(tmp_path):
    bag = write_split(tmp_path / 'bag', WHOLE, 3)
    lose_metadata(bag, None)
    (bag / 'bag_1.mcap').unlink()
    found, words = read(bag)
    assert found == as_read([*WHOLE[:60], *WHOLE[120:]])
    assert 'lacks 1 of its 3 files, bag_1.mcap for one' in words


def test_a_split_file_that_is_not_listed_is_read_and_said(tmp_path):
    for seed in range(3):
        bag = write_split(tmp_path / f'bag{seed}', WHOLE, 3)
        unlist_file(bag, np.random.default_rng(seed))
        found, words = read(bag)
        assert found == as_read(WHOLE)
        assert 'its metadata does not list' in words


def test_a_copy_beside_the_bag_is_not_read_twice_and_said(tmp_path):
    bag = write_split(tmp_path / 'bag', WHOLE, 2)
    shutil.copy(bag / 'bag_0.mcap', bag / 'bag_7.mcap')
    found, words = read(bag)
    assert found == as_read(WHOLE)
    assert 'does not list bag_7.mcap' in words


def test_files_under_each_other_s_names_are_read_by_their_stamps(tmp_path):
    bag = write_split(tmp_path / 'bag', WHOLE, 3)
    (bag / 'bag_0.mcap').rename(bag / 'x')
    (bag / 'bag_2.mcap').rename(bag / 'bag_0.mcap')
    (bag / 'x').rename(bag / 'bag_2.mcap')
    assert read(bag) == (as_read(WHOLE), '')
    assert clock_steps(bag) == ()


def test_files_that_somebody_renamed_are_read_and_doubted(tmp_path):
    bag = write_split(tmp_path / 'bag', WHOLE, 2)
    for number in range(2):
        (bag / f'bag_{number}.mcap').rename(bag / f'run_{number}.mcap')
    found, words = read(bag)
    assert found == as_read(WHOLE)
    assert 'lists none of its files by name, run_0.mcap for one' in words


@pytest.mark.parametrize('seconds', [-5.0, -0.5, -3600.0, 7.0, 0.8])
@pytest.mark.parametrize('layout', ['mcap', 'mcap, topic by topic', 'sqlite3', 'mcap, 12 files'])
def test_a_clock_that_was_set_is_found_with_place_and_size(tmp_path, seconds, layout):
    # In the middle, between two rounds of all topics; split files have it inside of one.
    at = 1 + 3 * 31
    bag = LAYOUTS[layout](tmp_path / 'bag', clock_set(WHOLE, at, seconds))
    (step,) = clock_steps(bag)
    assert step.size == pytest.approx(seconds, abs=0.02)
    assert step.elapsed == pytest.approx(31 / RATE, abs=0.06)
    found = [(m.topic, m.stretch) for m in read_serialised(bag)]
    assert found == [(m.topic, int(index >= at)) for index, m in enumerate(WHOLE)]


def test_a_clock_that_is_set_between_two_files_is_found_too(tmp_path):
    bag = write_split(tmp_path / 'bag', clock_set(WHOLE, 91, -1.0), 2)
    (step,) = clock_steps(bag)
    assert step.size == pytest.approx(-1.0, abs=0.02)
    assert [m.topic for m in read_serialised(bag)] == [m.topic for m in WHOLE]


def test_a_pause_between_pictures_of_a_slow_recording_is_no_step():
    times = np.arange(20) * 10**10 + 10**9
    assert timeline(np.zeros(20, np.int32), times).steps == ()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_messages_that_overtake_each_other_a_little_are_put_in_order(topics, chance):
    times = np.arange(len(topics)) * 10**7 + 10**9
    times += np.array([chance.randrange(5 * 10**7) for _ in topics])
    line = timeline(np.array(topics, np.int32), times)
    assert sorted(line.order) == list(range(len(topics)))
    assert (np.diff(times[line.order]) >= 0).all()
    assert line.steps == ()


def test_log_times_of_zero_cut_nothing():
    times = np.arange(60) * 10**8 + 10**9
    times[[0, 7, 30]] = 0
    line = timeline(np.arange(60, dtype=np.int32) % 3, times)
    assert line.steps == ()
    assert sorted(line.order) == list(range(60))


def test_log_times_without_any_order_are_sorted_and_doubted(tmp_path):
    shuffled = [WHOLE[i] for i in np.random.default_rng(0).permutation(len(WHOLE))]
    bag = write_metadata(tmp_path / 'bag', ['bag.mcap'], WHOLE)
    write_mcap(bag / 'bag.mcap', shuffled, indexed=False)
    found, words = read(bag)
    assert found == as_read(WHOLE)
    assert 'go back too often' in words


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(LAYOUTS)),
    st.lists(st.sampled_from(DAMAGES), min_size=1, max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_no_damage_is_a_traceback_or_a_loss_that_nobody_hears_of(layout, damages, seed):
    generator = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        bag = LAYOUTS[layout](Path(folder) / 'bag', WHOLE)
        for damage in damages:
            if bag.exists() and any(p.suffix != '.yaml' for p in bag.iterdir()):
                damage(bag, generator)
        try:
            found, words = read(bag)
        except FileNotFoundError:
            found, words = [], 'there is no file of messages any more'
        came = Counter(topic for topic, _, _ in found)
        assert words or came == counts(WHOLE)


def test_the_odd_recordings_hold_the_same_301_frames_in_the_same_order(shared_data):
    odd = (
        'sqlite_tail_in_wal',
        'twelve_files_no_metadata',
        'unindexed_topic_by_topic.mcap',
        'clock_set_back_5s.mcap',
    )
    (bags,) = zip(*(find_bags([shared_data(f'odd_bags/{name}')]) for name in odd), strict=True)
    messages = [read(bag)[0] for bag in bags]
    assert [len(found) for found in messages] == [904] * 4
    by_topic_of = [
        {topic: [data for t, _, data in found if t == topic] for topic in counts_of(found)}
        for found in messages
    ]
    assert by_topic_of[0] == by_topic_of[1] == by_topic_of[2]
    # Its stamps are others behind the step, its pictures are not: all but the stamp is the same.
    whole, stepped = by_topic_of[0], by_topic_of[3]
    for topic in whole:
        assert [data[12:] for data in stepped[topic]] == [data[12:] for data in whole[topic]]
    (step,) = clock_steps(bags[3])
    assert step.size == pytest.approx(-5.0, abs=0.01)


def counts_of(found):
    return Counter(topic for topic, _, _ in found)
