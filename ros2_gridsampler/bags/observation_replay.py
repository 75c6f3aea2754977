# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded messages -> Observations, through the code that runs live."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..seeing.camera_message import stamp_seconds
from ..seeing.joint_states import JointNames
from ..seeing.observation import Observation
from ..seeing.observation_buffer import ObservationBuffer
from ..seeing.observation_search import ObservationSearch, StreamFault
from ..seeing.stream_health import Fault, TimeSource
from .bag_contents import clock_steps
from .bag_files import DamagedBag
from .bag_reader import read_camera_infos, read_messages
from .bag_storage import RecordedMessage


@dataclass(frozen=True)
class StreamTopics:
    """Which topic carries which stream.

    Attributes:
        cameras: Camera name -> topic of Image or CompressedImage; the CameraInfo of rectified
            ones is beside it, see `camera_info_topic`.
        joint_states: JointState; empty where no joints are read.
        pose: PoseStamped of the end effector; empty where it is not used.
        instruction: String; empty where `fixed_instruction` serves.
        fixed_instruction: The sentence of a recording that carries none.
        joint_names: What the recorded robot calls the joints of the policy.
    """

    cameras: Mapping[str, str]
    joint_states: str = '/joint_states'
    pose: str = ''
    instruction: str = '/instruction'
    fixed_instruction: str = ''
    joint_names: JointNames = field(default_factory=JointNames)

    @property
    def names(self) -> tuple[str, ...]:
        """All topics in use."""
        topics = (*self.cameras.values(), self.joint_states, self.pose, self.instruction)
        return tuple(topic for topic in topics if topic)


def read_observations(
    bag: Path,
    topics: StreamTopics,
    buffer: ObservationBuffer,
    others: Mapping[str, Callable[[RecordedMessage], None]] | None = None,
) -> Iterator[Observation]:
    """Every observation that a live node could have made, at the time when it could.

    Args:
        bag: A bag folder or file.
        topics: Which topic carries which stream.
        buffer: The same object that the live node fills.
        others: Further topics, and what takes their messages on the way.

    Raises:
        DamagedBag: At the end, if the bag is not whole, or its clock was set back in between.
        ValueError: The bag lacks a topic, or no observation came of it.
    """
    replay = ObservationReplay(topics, buffer)
    replay.learn_cameras(bag)
    found = False
    others = others or {}
    for recorded in read_messages(bag, (*topics.names, *others)):
        if recorded.topic in others:
            others[recorded.topic](recorded)
            continue
        observation = replay.take(recorded)
        if observation is not None:
            found = True
            yield observation
    if not found:
        raise ValueError(f'{bag} gave no observation: {replay.refusals or replay.reason}')
    if replay.refused:
        raise DamagedBag(f'{bag} holds what cannot be used: {replay.refusals}')
    back = [step for step in clock_steps(bag) if step.size < 0]
    if back:
        raise DamagedBag(f'{bag}: {back[0].sentence} Cut the bag there, or leave it out.')


class ObservationReplay:
    """Recorded messages, one by one -> the observations that they complete.

    What the live node would refuse with a word (a damaged picture, a joint that is not finite)
    is refused here too, counted, and the rest goes on.

    Args:
        topics: Which topic carries which stream.
        buffer: The same object that the live node fills.
        time: Whose time is believed.
    """

    def __init__(
        self, topics: StreamTopics, buffer: ObservationBuffer, time: TimeSource = 'recorded'
    ) -> None:
        self._topics = topics
        self._buffer = buffer
        self._search = ObservationSearch(buffer)
        self._source = time
        self.now = -float('inf')
        """Time of the newest message, as the live node's clock would have said [s]."""
        self.reason = 'it holds no message of the topics in use'
        """Why there was no observation when last looked for."""
        self.stuck = ''
        """The camera that repeats itself while the arm moves, so that there is no observation."""
        self.wrong: list[StreamFault] = []
        """What the live node would have told its command loop at the last message."""
        self.refused: Counter[str] = Counter()
        """What could not be used, by the sentence that says why."""

    @property
    def refusals(self) -> str:
        """`refused` in one sentence."""
        return '; '.join(f'{count} x {text}' for text, count in self.refused.most_common(5))

    def restart(self, buffer: ObservationBuffer) -> None:
        """Goes on with an empty buffer; the sentence stays."""
        buffer.set_instruction(self._buffer.instruction)
        self._buffer = buffer
        self._search = ObservationSearch(buffer)
        self.now = -float('inf')

    def learn_cameras(self, bag: Path) -> None:
        """Takes the CameraInfo of rectified cameras from a recording, as the live node does.

        A CameraInfo says something of the camera, not of a moment: the first one counts from
        the first picture on.
        """
        rectified = {
            name: topic
            for name, topic in self._topics.cameras.items()
            if name in self._buffer.rectified
        }
        if not rectified:
            return
        for camera, message in read_camera_infos(bag, rectified).items():
            try:
                self._buffer.add_camera_info(camera, message)
            except ValueError as error:
                self._refuse(str(error))

    def times(self, recorded: RecordedMessage) -> tuple[float, float]:
        """Arrival and capture time of a message, by the time source [s]."""
        header = getattr(recorded.message, 'header', None)
        stamp = recorded.time if header is None else stamp_seconds(header.stamp)
        if self._source == 'log':
            return recorded.time, recorded.time
        if self._source == 'header':
            return (stamp if header is not None else self.now), stamp
        return recorded.time, stamp

    def take(self, recorded: RecordedMessage) -> Observation | None:
        """The observation that becomes possible by this message, if one does."""
        arrival, capture = self.times(recorded)
        self.now = max(self.now, arrival) if self._source == 'header' else arrival
        self.wrong, self.stuck = [], ''
        try:
            feed(self._buffer, self._topics, recorded, capture)
        except ValueError as error:
            self._refuse(str(error))
            return None
        decode, self.wrong = self._search.look(self.now)
        if decode is None:
            self.reason = self._search.reason or self.reason
            frozen = [each.stream for each in self.wrong if each.fault is Fault.FROZEN]
            self.stuck = frozen[0] if frozen else ''
            return None
        try:
            return decode()
        except ValueError as error:
            self._refuse(str(error))
            self.wrong.append(StreamFault(Fault.BAD_PICTURE, 'picture', str(error)))
            return None

    def _refuse(self, text: str) -> None:
        self.reason = text
        # Every message may have its own numbers; a long bag must not fill the memory with them.
        if text in self.refused or len(self.refused) < 20:
            self.refused[text] += 1
        else:
            self.refused['other reasons'] += 1


def feed(
    buffer: ObservationBuffer,
    topics: StreamTopics,
    recorded: RecordedMessage,
    capture: float | None = None,
) -> None:
    """Puts one recorded message into the buffer, as the node's callbacks do.

    Args:
        buffer: Buffer that is filled.
        topics: Which topic carries which stream.
        recorded: A message.
        capture: Its capture time [s]; by default the stamp of its header.
    """
    message = recorded.message
    if topics.fixed_instruction:
        buffer.set_instruction(topics.fixed_instruction)
    if recorded.topic == topics.instruction:
        buffer.set_instruction(message.data)
        return
    time = stamp_seconds(message.header.stamp) if capture is None else capture
    for camera, topic in topics.cameras.items():
        if recorded.topic == topic:
            buffer.add_image(camera, message, time)
            return
    if recorded.topic == topics.joint_states:
        buffer.add_joints(message.name, message.position, time)
    elif recorded.topic == topics.pose:
        at, turn = message.pose.position, message.pose.orientation
        buffer.add_pose((at.x, at.y, at.z), (turn.x, turn.y, turn.z, turn.w), time)
