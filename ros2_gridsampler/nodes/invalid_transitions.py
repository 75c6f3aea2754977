# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A transition that the lifecycle does not have -> the answer "no", whatever the rclpy."""

from collections.abc import Callable
from typing import Any

from lifecycle_msgs.srv import ChangeState


def refuse_invalid_transitions(node: Any, state: Callable[[], str]) -> None:
    """Answer "no" where Jazzy's rclpy throws an error out of its executor (rclpy#1209).

    Args:
        node: A lifecycle node.
        state: Name of the state that it is in.
    """
    service = next(s for s in node.services if s.srv_type is ChangeState)
    change_state = service.callback

    def answer(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except RuntimeError as error:  # RCLError, which rclpy does not export
            node.get_logger().error(
                f'Transition {request.transition.id} {request.transition.label!r} is not '
                f'possible while {state()}: {error}'
            )
            response.success = False
            return response

    service.callback = answer
