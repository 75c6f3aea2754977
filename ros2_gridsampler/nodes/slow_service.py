# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A service whose answer takes long -> the answer, while topics and commands go on."""

import contextlib
import threading
import traceback
from collections.abc import Callable
from typing import Any

from rclpy.exceptions import InvalidHandle


def create_slow_service(
    node: Any, kind: Any, name: str, work: Callable[[Any], None], failed: Callable[[str], None]
) -> Any:
    """Create a service that answers from a thread of its own, one request after the other.

    An `async` callback would do it in rclpy's executors in Python; the EventsExecutor takes the
    coroutine itself for the answer, which ends the node.

    Args:
        node: Owns the service.
        kind: Type of the service.
        name: Of the service.
        work: Fills the response, in the thread.
        failed: Gets the traceback of an exception of `work`; the response goes out as it is.

    Returns:
        rclpy's service.
    """
    service = node.create_service(kind, name, lambda request, response: response)
    send = service.send_response
    one_at_a_time = threading.Lock()

    def answer(response: Any, header: Any) -> None:
        with one_at_a_time:
            try:
                work(response)
            except Exception:  # nobody waits for this thread
                failed(traceback.format_exc())
            # Whoever asked may get no answer from a node that has gone in the meantime.
            with contextlib.suppress(InvalidHandle):
                send(response, header)

    def answer_later(response: Any, header: Any) -> None:
        threading.Thread(target=answer, args=(response, header), name=name, daemon=True).start()

    service.send_response = answer_later
    return service
