# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of the action topics, one by one -> the action that was given at any recent time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ..acting.action_chunk import ActionSpace
from ..acting.command_message import (
    read_float64_multi_array,
)
from ..bags.bag_storage import RecordedMessage
from ..datasets.label_track import LabelTrack
from ..seeing.camera_message import stamp_seconds
from ..seeing.joint_states import NewestJoints
from .topic_map import JOINT_STATE, NUMBERS, TopicMap

Numbers = NDArray[np.float64]
# Labels older than this are forgotten; a previous action is looked for no farther back [s].
_MEMORY = 5.0


class RecordedActions:
    """The labels of a bag as it is read, so that a bag of any length fits into memory.

    Target k of an observation is the newest action at a quarter of a period after it is due, as
    in training: stamps jitter, and an action holds until the next one.

    Args:
        space: What an action means.
        topics: Where the actions are.
        steps: Targets per chunk.
        period: Between two targets [s].
    """

    def __init__(self, space: ActionSpace, topics: TopicMap, steps: int, period: float) -> None:
        self._space = space
        self._names = space.called(topics.streams.joint_names).names
        self._reached = NewestJoints(self._names)
        self._topics = topics
        self._due: Numbers = np.asarray(period * (np.arange(steps) + 0.25), np.float64)
        self._period = period
        self._actions = LabelTrack()
        self._gripper = LabelTrack()
        self._second = np.inf
        self.plans = 0
        """Trajectories whose second point was due before another one came."""

    @property
    def known_until(self) -> float:
        """Up to this time all actions are known [s]."""
        return min(track.end for track in self._tracks)

    @property
    def _tracks(self) -> tuple[LabelTrack, ...]:
        return (self._actions, self._gripper) if self._topics.labels.gripper else (self._actions,)

    def take(self, recorded: RecordedMessage, arrival: float, capture: float) -> bool:
        """Reads a message of an action topic.

        Args:
            recorded: Any message.
            arrival: When it was received [s].
            capture: The time of its header [s]; 0 means "on arrival", as for trajectories.

        Returns:
            Whether it was an action.

        Raises:
            ValueError: It does not fit the action space.
        """
        labels, message = self._topics.labels, recorded.message
        if arrival > self._second + self._period:
            self.plans += 1
            self._second = np.inf
        time = capture if capture > 0 else arrival
        if recorded.topic == labels.gripper:
            self._gripper.add(arrival, read_float64_multi_array(message, 1))
            return True
        if recorded.topic != labels.action:
            return False
        if self._topics.label_type == JOINT_STATE:
            self._take_reached(message, time)
            return True
        space = self._space
        action = space.means.read(message, self._topics.label_type, self._names, space.frame)
        points: Sequence[Any] = getattr(message, 'points', ())
        self._second = np.inf
        if len(points) > 1:
            self._second = arrival + stamp_seconds(points[1].time_from_start)
        # Plain numbers have no header.
        self._actions.add(arrival if self._topics.label_type == NUMBERS else time, action)
        return True

    def _take_reached(self, message: Any, time: float) -> None:
        """What the arm reached serves as the action; whole as soon as every joint has come."""
        before = float(self._reached.times.min(initial=np.inf))
        if self._reached.add(message.name, message.position, time):
            oldest = float(self._reached.times.min())
            if oldest > before:
                self._actions.add(oldest, self._reached.positions)

    def newest(self) -> tuple[float, Numbers] | None:
        """Time and value of the action that was given last."""
        if any(not track.times for track in self._tracks):
            return None
        time = self._actions.end
        return time, self._at(np.array([time + 0.25 * self._period]))[0]

    def targets(
        self, time: float
    ) -> tuple[Float[np.ndarray, 'steps actions'], Bool[np.ndarray, ' steps']] | None:
        """The actions due from `time` on, and which of them were recorded.

        None where nothing was recorded by then.
        """
        if any(not track.times or track.times[0] > time + self._due[0] for track in self._tracks):
            return None
        due: Numbers = np.asarray(time + self._due, np.float64)
        return self._at(due), due <= self._actions.end + self._period

    def previous(self, time: float) -> Numbers | None:
        """The action that was given one period before `time` [s]; None where there was none."""
        moment = time - 0.75 * self._period
        if any(not track.times or track.times[0] > moment for track in self._tracks):
            return None
        return self._at(np.array([moment]))[0]

    def forget_before(self, time: float) -> None:
        """Forgets what lies before `time` [s], which will not be asked for."""
        for track in self._tracks:
            track.forget_before(time - _MEMORY)

    def _at(self, times: Numbers) -> Numbers:
        return np.hstack([track.at(times) for track in self._tracks])
