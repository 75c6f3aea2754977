# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A subscription from which nothing comes -> the reason, what is there instead, what to do."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rclpy.qos import ReliabilityPolicy

from ..seeing.observation import ObservationConfig
from .inference_thread import InferenceThread
from .policy_parameters import PolicyParameters
from .problems import Problems

# Pictures that a policy node draws for people; no camera.
_DRAWN = '/sampled_points'


@dataclass
class ListenedTopic:
    """A subscription and what has come by it.

    Attributes:
        what: Name of the stream, as it begins a sentence: "Camera 'front'".
        parameter: Parameter that names the topic.
        item: What comes by it, in a word: 'picture'.
        kinds: Message types that could be meant, like 'sensor_msgs/msg/Image'.
        subscription: Subscription of rclpy.
        heard: When something came last, or when listening began, steady time [s].
        received: Number of messages.
    """

    what: str
    parameter: str
    item: str
    kinds: Collection[str]
    subscription: Any
    heard: float
    received: int = 0

    @property
    def name(self) -> str:
        """Name of the topic, as it is in the graph."""
        return str(self.subscription.topic_name)

    def count(self, now: float) -> None:
        """Counts a message that has come now [s]."""
        self.heard = now
        self.received += 1


@dataclass(frozen=True)
class Listener:
    """What every subscription of the policy node needs.

    Attributes:
        node: Owns the subscriptions.
        parameters: Topics and their quality of service.
        config: Streams that the policy reads.
        inference: Gets what the policy reads.
        problems: Gets what cannot be used.
        steady: Returns steady time [s].
    """

    node: Any
    parameters: PolicyParameters
    config: ObservationConfig
    inference: InferenceThread
    problems: Problems
    steady: Callable[[], float]

    def silent(self, topics: Iterable[ListenedTopic]) -> Iterator[tuple[ListenedTopic, str]]:
        """Yields each topic from which nothing has come for a while, and why."""
        now, parameters = self.steady(), self.parameters
        for topic in topics:
            silence = now - topic.heard
            if silence >= parameters.camera_silence_timeout:
                yield topic, why_silent(self.node, topic, parameters.reliable_streams, silence)


def why_silent(node: Any, topic: ListenedTopic, reliable: bool, silence: float) -> str:
    """Returns a sentence that says why nothing has come, and what to do.

    Args:
        node: Whose subscription it is.
        topic: Topic on which nothing comes.
        reliable: Whether a best-effort publisher is not heard.
        silence: Time since anything has come [s].
    """
    message = topic.subscription.msg_type
    wanted = f'{message.__module__.split(".")[0]}/msg/{message.__name__}'
    publishers = node.get_publishers_info_by_topic(topic.name)
    types = {info.topic_type for info in publishers}
    if not publishers:
        there = ', '.join(published(node, topic.kinds)) or 'none'
        kinds = ' or '.join(sorted(kind.split('/')[-1] for kind in topic.kinds))
        return (
            f'{topic.what}: nobody publishes {topic.name}; start the driver or set '
            f'{topic.parameter}. Topics of {kinds} here: {there}.'
        )
    if wanted not in types:
        hint = ''
        if wanted.endswith('Image'):
            hint = '; a topic of CompressedImage must end in /compressed'
        return (
            f'{topic.what}: {topic.name} has the type {sorted(types)}, expected '
            f'{message.__name__}{hint}.'
        )
    offers = {info.qos_profile.reliability for info in publishers}
    if reliable and ReliabilityPolicy.RELIABLE not in offers:
        return (
            f'{topic.what}: {topic.name} is published best effort, but reliable_streams '
            'asks for reliable; set it to false.'
        )
    said = f'no {topic.item} has come for {silence:.1f} s'
    if topic.received:
        return f'{topic.what}: {said} on {topic.name}; look after the driver.'
    return f'{topic.what}: {topic.name} has {len(publishers)} publisher(s), but {said}.'


def published(node: Any, kinds: Collection[str]) -> list[str]:
    """Returns the topics of these types that somebody else publishes, in order.

    What the node publishes itself, and the pictures that another policy node draws, are never
    what somebody looks for.
    """
    own = (node.get_name(), node.get_namespace())
    found = []
    for name, types in node.get_topic_names_and_types():
        if set(kinds).isdisjoint(types) or name.endswith(_DRAWN):
            continue
        publishers = node.get_publishers_info_by_topic(name)
        if any((info.node_name, info.node_namespace) != own for info in publishers):
            found.append(name)
    return sorted(found)
