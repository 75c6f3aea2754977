# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Whoever subscribes the command topics -> why a controller of ros2_control cannot follow.

Controllers say what they are by their parameters, and the controller manager which of them are
active. Everything is asked for without waiting; who does not answer is no controller.
"""

import contextlib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python

from .topics import LATCHED

# Parameters may be set while it runs [s].
_ASK_AGAIN = 10.0
# Each is asked for by itself: where one is not declared, rclcpp answers for none of them. Whoever
# has one of another type is no controller: a logger may have a number of joints.
_TYPES = {
    'joints': ParameterType.PARAMETER_STRING_ARRAY,
    'interpolate_from_desired_state': ParameterType.PARAMETER_BOOL,
    'open_loop_control': ParameterType.PARAMETER_BOOL,
    'interpolation_method': ParameterType.PARAMETER_STRING,
    'allow_partial_joints_goal': ParameterType.PARAMETER_BOOL,
}


@dataclass
class _Controller:
    """What a subscriber said of itself, by parameter."""

    client: Any
    asked: float
    said: dict[str, Any] = field(default_factory=dict)


class ControllerWatch:
    """Looks at the subscribers of command topics, again and again; nothing here waits.

    Args:
        node: Who commands.
        topics: Command topic, as it is in the graph -> the joints that it commands, by the robot's
            names; none for a topic of the hand.
    """

    def __init__(self, node: Any, topics: Mapping[str, Sequence[str]]) -> None:
        self._node = node
        self._topics = {topic: list(joints) for topic, joints in topics.items() if joints}
        self._controllers: dict[str, _Controller] = {}
        self._activities: dict[str, Any] = {}
        self._states: dict[str, str] = {}

    def destroy(self) -> None:
        """Asks and listens no more."""
        for controller in self._controllers.values():
            self._forget(controller)
        for subscription in self._activities.values():
            self._node.destroy_subscription(subscription)
        self._controllers, self._activities = {}, {}

    def look(self, now: float) -> list[str]:
        """Returns what keeps the controllers that are there from following, in sentences.

        Args:
            now: Steady time [s].
        """
        found, there = [], set()
        for topic, joints in self._topics.items():
            for name in self._subscribers(topic):
                there.add(name)
                self._ask(name, now)
                said = self._controllers[name].said
                # Only then the answers are those of a controller.
                if said.get('joints'):
                    self._listen_to_manager(name)
                    found += [f'{topic} goes to {name}, {why}' for why in self._why(name, joints)]
        for name in [name for name in self._controllers if name not in there]:
            self._forget(self._controllers.pop(name))
        return found

    def _subscribers(self, topic: str) -> list[str]:
        own = (self._node.get_name(), self._node.get_namespace())
        return sorted(
            {
                f'{info.node_namespace.rstrip("/")}/{info.node_name}'
                for info in self._node.get_subscriptions_info_by_topic(topic)
                if (info.node_name, info.node_namespace) != own
            }
        )

    def _ask(self, name: str, now: float) -> None:
        known = self._controllers.get(name)
        if known is None:
            client = None
            # A security policy may not allow that; then nothing is known of it.
            with contextlib.suppress(RuntimeError):
                client = self._node.create_client(GetParameters, f'{name}/get_parameters')
            known = self._controllers[name] = _Controller(client, float('-inf'))
        if known.client is None or now - known.asked < _ASK_AGAIN:
            return
        if not known.client.service_is_ready():
            return
        known.asked = now
        for parameter in _TYPES:
            future = known.client.call_async(GetParameters.Request(names=[parameter]))
            future.add_done_callback(self._taker(known, parameter))

    def _taker(self, controller: _Controller, parameter: str) -> Any:
        def take(future: Any) -> None:
            if future.cancelled() or future.exception() is not None:
                return
            values = future.result().values
            if values and values[0].type == _TYPES[parameter]:
                controller.said[parameter] = parameter_value_to_python(values[0])

        return take

    def _forget(self, controller: _Controller) -> None:
        if controller.client is not None:
            self._node.destroy_client(controller.client)

    def _why(self, name: str, joints: list[str]) -> list[str]:
        said = self._controllers[name].said
        owned = [str(joint) for joint in said['joints']]
        found = []
        state = self._states.get(name, 'active')
        if state != 'active':
            found.append(
                f'which is {state}: nobody executes the commands; activate it (ros2 control '
                f'switch_controllers --activate {name.split("/")[-1]}).'
            )
        trajectory = 'interpolate_from_desired_state' in said or 'open_loop_control' in said
        strange = [joint for joint in joints if joint not in owned]
        idle = [joint for joint in owned if joint not in joints]
        if strange:
            found.append(
                f'which does not own the joints {strange}, only {owned}: it refuses every '
                'command. Name it the joints, send the others apart (separate_joints), or map '
                'their names (joint_names, joint_prefix).'
            )
        elif idle and not said.get('allow_partial_joints_goal', False):
            found.append(
                f'which owns the joints {idle} as well, that are not commanded: it refuses every '
                'command. Give these to another controller'
                + (', or set its allow_partial_joints_goal.' if trajectory else '.')
            )
        elif not trajectory and owned != joints:
            found.append(
                f'which takes its numbers in the order {owned}, but they are sent in the order '
                f'{joints}: each joint would get the position of another. Reorder its joints.'
            )
        if trajectory and not (
            said.get('interpolate_from_desired_state') or said.get('open_loop_control')
        ):
            found.append(
                'which begins each command at the measured arm and not at the one before '
                '(interpolate_from_desired_state is false): it goes back and forth with every '
                'command, and cannot go as fast as the arm may. Set '
                'interpolate_from_desired_state to true, where it does not know that '
                'open_loop_control.'
            )
        if said.get('interpolation_method') == 'none':
            found.append(
                'which steps from command to command (interpolation_method is none); set it to '
                'splines.'
            )
        return found

    def _listen_to_manager(self, name: str) -> None:
        """Hears which controllers are active, where controller_manager_msgs is installed."""
        namespace = name.rpartition('/')[0]
        if namespace in self._activities:
            return
        try:
            kind = importlib.import_module('controller_manager_msgs.msg').ControllerManagerActivity
        except (ImportError, AttributeError):
            # Then nobody says whether it is active; an arm that does not follow is seen anyway.
            return

        def take(message: Any) -> None:
            for controller in message.controllers:
                self._states[f'{namespace}/{controller.name}'] = str(controller.state.label)

        topic = f'{namespace}/controller_manager/activity'
        self._activities[namespace] = self._node.create_subscription(kind, topic, take, LATCHED)
