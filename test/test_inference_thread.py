# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A prediction that outlasts its session: its thread ends with it, and nothing of it is used."""

import threading

import pytest

pytest.importorskip('rclpy')
from test_observation import CONFIG, picture

from ros2_gridsampler.nodes.inference_thread import InferenceThread
from ros2_gridsampler.seeing.observation_buffer import ObservationBuffer
from ros2_gridsampler.seeing.stream_health import StreamBudget


@pytest.mark.parametrize('fails', [None, ValueError('too late'), RuntimeError('too late')])
def test_a_thread_that_was_given_up_neither_delivers_nor_goes_on(monkeypatch, fails):
    monkeypatch.setattr(InferenceThread, '_LONGEST', 0.1)
    begun, released, delivered, refused = threading.Event(), threading.Event(), [], []
    threads = set()
    came = threading.Event()

    def predict(observation):
        threads.add(threading.current_thread())
        if not begun.is_set():
            begun.set()
            released.wait(10)
            if fails is not None:
                raise fails
        return observation.time

    def deliver(timed):
        delivered.append(timed.prediction)
        came.set()

    now = [10.0]
    inference = InferenceThread(
        ObservationBuffer(CONFIG, StreamBudget()),
        predict,
        now=lambda: now[0],
        steady=lambda: now[0],
        deliver=deliver,
        refuse=lambda *words: refused.append(words),
        min_contrast=0.0,
    )

    def see(time):
        now[0] = time
        inference.add_joints(['a', 'b'], [0, 0], time)
        for camera in ('wrist', 'front'):
            inference.add_image(camera, picture(int(time)), time)

    inference.set_instruction('go')
    inference.start()
    see(10.0)
    assert begun.wait(10)
    (old,) = threads
    inference.stop()
    inference.start()
    released.set()
    old.join(10)
    assert not old.is_alive()
    assert not delivered
    see(11.0)
    assert came.wait(10)
    inference.stop()
    assert delivered == [11.0]
    assert inference.failure is None
    assert not [words for words in refused if 'too late' in str(words)]
    assert len(threads) == 2


def test_a_picture_that_a_thread_found_bad_after_it_was_given_up_is_nobodys_fault(monkeypatch):
    monkeypatch.setattr(InferenceThread, '_LONGEST', 0.1)
    decoding, released, refused, threads = threading.Event(), threading.Event(), [], set()

    class Buffer(ObservationBuffer):
        def take(self, now):
            decode = super().take(now)

            def slow():
                threads.add(threading.current_thread())
                decoding.set()
                released.wait(10)
                return decode()

            return None if decode is None else slow

    inference = InferenceThread(
        Buffer(CONFIG, StreamBudget()),
        lambda observation: observation.time,
        now=lambda: 10.0,
        steady=lambda: 10.0,
        deliver=lambda timed: None,
        refuse=lambda *words: refused.append(words),
        min_contrast=1000.0,
    )
    inference.set_instruction('go')
    inference.start()
    inference.add_joints(['a', 'b'], [0, 0], 10.0)
    for camera in ('wrist', 'front'):
        inference.add_image(camera, picture(10), 10.0)
    assert decoding.wait(10)
    inference.stop()
    refused.clear()
    released.set()
    (old,) = threads
    old.join(10)
    assert not old.is_alive()
    assert not refused
    assert inference.busy == 0.0
