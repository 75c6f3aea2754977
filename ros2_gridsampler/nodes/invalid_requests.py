# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A request that rclpy answers by an error out of its executor -> the answer "no"."""

from collections.abc import Callable
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter

_TYPES = {kind.value for kind in Parameter.Type}


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


def refuse_invalid_parameters(node: Any) -> None:
    """Answer "no" where a parameter has a type that does not exist.

    Args:
        node: Any node with parameter services.
    """
    for service in node.services:
        if service.srv_type in (SetParameters, SetParametersAtomically):
            service.callback = _refuse_unknown_types(service.callback)


def _refuse_unknown_types(set_parameters: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def answer(request: Any, response: Any) -> Any:
        unknown = [p.name for p in request.parameters if p.value.type not in _TYPES]
        if not unknown:
            return set_parameters(request, response)
        reason = f'The values of {unknown} have a type that does not exist; nothing was set.'
        refused = SetParametersResult(successful=False, reason=reason)
        if isinstance(response, SetParameters.Response):
            response.results = [refused] * len(request.parameters)
        else:
            response.result = refused
        return response

    return answer
