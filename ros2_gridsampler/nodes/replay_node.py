# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A bag -> its topics and /clock, live: recorded messages, byte for byte, at their own pace."""

import contextlib
import importlib
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.duration import Duration
from rosgraph_msgs.msg import Clock
from trajectory_msgs.msg import JointTrajectory

from ..bags.bag_files import DamagedBag
from ..bags.bag_reader import read_serialised, read_topics
from ..bags.bag_storage import RecordedMessage
from ..bounds import checked, setting
from ..seeing.camera_message import stamp_seconds
from .node_setup import Refused, RunnableNode, declare_parameters, read_parameters, run
from .topics import LATCHED, STATE, ros_time

# What a policy reads. Recorded commands are played only if they are named: an arm may listen.
_STREAMS = ('Image', 'CompressedImage', 'CameraInfo', 'JointState', 'PoseStamped', 'String')
# Of these, those with a header.
_STAMPED = ('Image', 'CompressedImage', 'CameraInfo', 'JointState', 'PoseStamped')
# Between two rounds of a loop, and how long the last answer is waited for [s].
_BETWEEN_ROUNDS, _LAST_ANSWER = 0.05, 10.0
# In lockstep the clock stands still for an answer for so long, before a message and before the
# next picture [s]; the rest of the patience is spent with a clock that went on, for a picture may
# become ready by the passing of time alone.
_BEFORE_CLOCK, _BEFORE_NEXT = 0.1, 2.0
# These are commands too, so which of several is a state has to be said.
_STATES = ('JointState', 'PoseStamped')
_CLOCK_PERIOD = 0.005
_CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
_CAMERAS = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')


@dataclass(frozen=True)
@checked
class ReplayParameters:
    """What to play and how; see the fields' help."""

    bag: str = setting('', 'Bag folder, or an .mcap or .db3 file')
    topics: tuple[str, ...] = setting(
        (),
        f'Topics to play; by default those of type {", ".join(_STREAMS)}, if there '
        f'is at most one of each of {" and ".join(_STATES)}',
    )
    optional_topics: tuple[str, ...] = setting(
        (), 'Topics to play besides, where they were recorded'
    )
    rate: float = setting(1.0, 'Speed; 1 is as recorded', minimum=0.01, maximum=1000.0)
    loop: bool = setting(False, 'Begin anew at the end')
    patience: float = setting(
        15.0,
        'How long to wait for a subscriber of the pace topic before the start',
        unit='s',
        minimum=0.0,
    )
    lockstep: bool = setting(
        False, 'Before each picture wait for the chunk that answers the one before'
    )
    pace_topic: str = setting('', 'Camera that sets the pace; by default the first played')
    chunk_topic: str = setting('/policy_node/action_chunk', 'Answers of the policy node')
    expect_answers: bool = setting(
        False, 'End with an error where the policy node answered no picture at all'
    )
    chunk_timeout: float = setting(5.0, 'Longest wait for one answer', unit='s', minimum=0.0)


class ReplayNode(RunnableNode):
    """Plays a bag; every node that listens must run with `use_sim_time`, for stamps stay."""

    def __init__(self, **options: Any) -> None:
        super().__init__('replay_node', **options)
        declare_parameters(self, ReplayParameters)
        self._chosen = parameters = read_parameters(self, ReplayParameters)
        self._bag = Path(parameters.bag).expanduser()
        self._types = self._choose_topics()
        self._outputs = {
            topic: publisher
            for topic, kind in self._types.items()
            if (publisher := self._advertise(topic, kind)) is not None
        }
        cameras = [topic for topic in self._outputs if self._types[topic] in _CAMERAS]
        self._pace = parameters.pace_topic or (cameras[0] if cameras else '')
        if self._pace not in self._outputs and (self._pace or parameters.lockstep):
            raise Refused(f'The pace_topic {self._pace!r} is none of {sorted(self._outputs)}.')
        self._clock_topic = self.create_publisher(Clock, '/clock', STATE)
        self._answered = threading.Condition()
        self._answers = 0
        self._newest_answer = float('-inf')
        self._headline = ''
        if parameters.lockstep or parameters.expect_answers:
            self.create_subscription(
                JointTrajectory, parameters.chunk_topic, self._take_answer, STATE
            )
        if parameters.expect_answers:
            self.create_subscription(DiagnosticArray, '/diagnostics', self._take_headline, STATE)
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._play, name='replay', daemon=True)
        self._thread.start()

    @property
    def finished(self) -> bool:
        """Whether the bag is played; raises what went wrong with it."""
        if self._failure is not None:
            raise self._failure
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Ends the replay where it is."""
        self._stopping.set()
        with self._answered:
            self._answered.notify_all()
        self._thread.join()

    def _choose_topics(self) -> dict[str, str]:
        if not self._chosen.bag:
            raise Refused('Parameter bag is empty; name a bag folder or file.')
        try:
            recorded = read_topics(self._bag)
        except OSError as error:
            raise Refused(f'{self._bag} cannot be read: {error}') from error
        missing = [topic for topic in self._chosen.topics if topic not in recorded]
        if missing or not recorded:
            raise Refused(f'{self._bag} has no topics {missing}; it has {sorted(recorded)}.')
        chosen = (*self._chosen.topics, *self._chosen.optional_topics)
        if chosen:
            return {topic: recorded[topic] for topic in chosen if topic in recorded}
        for state in _STATES:
            several = sorted(t for t, kind in recorded.items() if kind.split('/')[-1] == state)
            if len(several) > 1:
                raise Refused(
                    f'{self._bag} has several topics of type {state}, {several}, and an arm may '
                    'obey some of them; name the topics to play.'
                )
        return {t: kind for t, kind in recorded.items() if kind.split('/')[-1] in _STREAMS}

    def _advertise(self, topic: str, kind: str) -> Any:
        package, name = kind.split('/')[0], kind.split('/')[-1]
        try:
            message_class = getattr(importlib.import_module(f'{package}.msg'), name)
        except (ImportError, AttributeError):
            self.get_logger().warning(f'{topic} is not played: {kind} is not installed here.')
            return None
        # A sentence is said once and must reach whoever comes later.
        return self.create_publisher(message_class, topic, LATCHED if name == 'String' else STATE)

    def _take_answer(self, message: Any) -> None:
        stamp = stamp_seconds(message.header.stamp)
        with self._answered:
            if stamp > self._newest_answer:
                self._newest_answer = stamp
                self._answers += 1
                self._answered.notify_all()

    def _take_headline(self, message: Any) -> None:
        asked = self._chosen.chunk_topic.rpartition('/')[0]
        for status in message.status:
            if status.name == asked:
                self._headline = status.message

    def _play(self) -> None:
        try:
            self._wait_for_listeners()
            # In a loop time goes on: a clock that jumped back would stop every arm each round.
            shift = self._play_once(0.0)
            while self._chosen.loop and not self._stopping.is_set():
                shift = self._play_once(shift)
            self._check_answers()
            for publisher in self._outputs.values():
                publisher.wait_for_all_acked(Duration(seconds=1))
        except DamagedBag as error:
            self._failure = Refused(str(error))
        except Exception as error:  # the ROS thread has to hear of it, whatever it is
            self._failure = error

    def _check_answers(self) -> None:
        """Nothing was observed: that is no success, whatever was played."""
        if not self._chosen.expect_answers or self._stopping.is_set():
            return
        with self._answered:
            answered = self._answered.wait_for(lambda: self._answers > 0, _LAST_ANSWER)
        if not answered:
            said = f' It says: {self._headline}' if self._headline else ''
            raise Refused(
                f'{self._bag} was played, and {self._chosen.chunk_topic.rpartition("/")[0]} '
                f'answered none of its pictures.{said}'
            )

    def _wait_for_listeners(self) -> None:
        """Waits until the pace topic is subscribed and, in lockstep, has answers."""
        if not self._pace:
            return
        deadline = time.monotonic() + self._chosen.patience
        infos = self._first_camera_infos()
        while not self._heard() and not self._stopping.wait(0.05):
            self._publish_all(infos)
            if time.monotonic() > deadline:
                self.get_logger().warning(f'Nobody listens to {self._pace}; playing nevertheless.')
                return
        # The other side may still be about to learn of this one.
        self._stopping.wait(0.5)
        self._publish_all(infos)

    def _publish_all(self, messages: list[RecordedMessage]) -> None:
        for recorded in messages:
            self._outputs[recorded.topic].publish(recorded.message)

    def _first_camera_infos(self) -> list[RecordedMessage]:
        """They say something of the camera, not of a moment: whoever configures needs them."""
        topics = {t for t, k in self._types.items() if k == _CAMERA_INFO and t in self._outputs}
        found: dict[str, RecordedMessage] = {}
        # What is lost of a damaged bag is told when it is played.
        with contextlib.suppress(DamagedBag):
            for recorded in read_serialised(self._bag, tuple(topics)) if topics else ():
                found.setdefault(recorded.topic, recorded)
                if len(found) == len(topics):
                    break
        return list(found.values())

    def _heard(self) -> bool:
        heard = bool(self._outputs[self._pace].get_subscription_count())
        if self._chosen.lockstep:
            heard &= bool(self.count_publishers(self._chosen.chunk_topic))
        return heard

    def _play_once(self, shift: float) -> float:
        """Plays the bag, every time in it later by `shift` [s]; gives the next round's shift."""
        played = unanswered = 0
        answers = self._answers
        asked = False
        self._newest_answer = float('-inf')
        begin: float | None = None
        origin, moment, stretch = 0.0, 0.0, 0
        recorded: RecordedMessage
        self.get_logger().info(f'Playing {sorted(self._outputs)} of {self._bag}.')
        moment = 0.0
        for recorded in read_serialised(self._bag, tuple(self._outputs)):
            if begin is None or (recorded.stretch > stretch and recorded.time + shift < moment):
                # At the beginning, and where the recorder's clock was set back.
                begin, origin = time.monotonic(), recorded.time + shift
            stretch, moment = recorded.stretch, recorded.time + shift
            paced = self._chosen.lockstep and recorded.topic == self._pace
            waiting = time.monotonic()
            if asked:
                # The clock must not overtake what the picture needs, on a machine that is busy.
                self._wait_for_answer(answers, _BEFORE_NEXT if paced else _BEFORE_CLOCK)
            # The rest of the bag is later by so much.
            begin += time.monotonic() - waiting
            self._sleep_until(begin, origin, moment)
            if paced:
                waiting = time.monotonic()
                unanswered += asked and not self._wait_for_answer(answers)
                asked, answers = True, self._answers
                begin += time.monotonic() - waiting
            if self._stopping.is_set():
                return shift
            self._outputs[recorded.topic].publish(self._later(recorded, shift))
            played += 1
        unanswered += asked and not self._wait_for_answer(answers)
        self.get_logger().info(f'Played {played} messages, {unanswered} pictures unanswered.')
        return shift + moment - origin + _BETWEEN_ROUNDS

    def _later(self, recorded: RecordedMessage, shift: float) -> Any:
        """The message with its stamp later by `shift` [s]; as it was where that is 0.

        A stamp is what comes first in every message with a header: seconds and nanoseconds, behind
        four bytes that say in which order theirs are.
        """
        if not shift or self._types[recorded.topic].split('/')[-1] not in _STAMPED:
            return recorded.message
        data = bytes(recorded.message)
        order = '<iI' if data[1] & 1 else '>iI'
        seconds, nanoseconds = struct.unpack_from(order, data, 4)
        total = seconds * 10**9 + nanoseconds + round(shift * 1e9)
        return data[:4] + struct.pack(order, *divmod(total, 10**9)) + data[12:]

    def _sleep_until(self, begin: float, origin: float, moment: float) -> None:
        """Lets the simulated time run from `origin`, which was at `begin`, to `moment` [s]."""
        rate = self._chosen.rate
        due = begin + (moment - origin) / rate
        while (left := due - time.monotonic()) > 0 and not self._stopping.is_set():
            # In simulated time, lest the listeners' clock stand still between two messages.
            self._publish_clock(moment - left * rate)
            self._stopping.wait(min(left, _CLOCK_PERIOD))
        self._publish_clock(moment)

    def _publish_clock(self, moment: float) -> None:
        self._clock_topic.publish(Clock(clock=ros_time(moment)))

    def _wait_for_answer(self, before: int, longest: float = float('inf')) -> bool:
        with self._answered:
            return self._answered.wait_for(
                lambda: self._answers > before or self._stopping.is_set(),
                min(self._chosen.chunk_timeout, longest),
            )


def main() -> int:
    """Runs the player of recordings."""
    return run(ReplayNode)


if __name__ == '__main__':
    raise SystemExit(main())
