# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A lock is waited for, but not for ever."""

import threading

import pytest


@pytest.fixture
def lock():
    pytest.importorskip('rclpy')
    from ros2_gridsampler.nodes.patient_lock import PatientLock

    return PatientLock(patience=0.2)


def in_thread(act):
    """What `act` raised in another thread; None where it came to its end."""
    raised = []

    def run():
        try:
            act()
        except TimeoutError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def enter(lock):
    with lock:
        pass


def test_who_holds_it_may_take_it_again(lock):
    with lock, lock:
        assert lock.acquire(0.0)
        lock.release()
    assert in_thread(lambda: enter(lock)) is None


def test_a_lock_that_does_not_become_free_is_given_up_in_words(lock):
    with lock:
        error = in_thread(lambda: enter(lock))
    assert 'the thread that makes it is stuck' in str(error)


def test_a_lock_that_becomes_free_in_time_is_got(lock):
    held, let_go = threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            let_go.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    threading.Timer(0.01, let_go.set).start()
    assert in_thread(lambda: enter(lock)) is None
    holder.join()
