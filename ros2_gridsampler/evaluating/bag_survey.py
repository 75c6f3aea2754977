# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Bags to train on -> what is wrong with each, before anything is learned from them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cattrs
from filelock import FileLock
from tqdm import tqdm

from ..bags.bag_contents import clock_steps
from ..bags.bag_files import DamagedBag
from ..bags.bag_health import BagHealth
from ..bags.bag_reader import IMAGE_TYPES, read_messages, read_topics
from ..bags.camera_health import DarkCameras
from ..bags.observation_replay import StreamTopics
from ..bags.stretches import Stretches
from ..datasets.episodes import ActionTopics
from ..datasets.frames import store_key
from ..files import write_whole
from .metric import some

HEALTH = 'bag_health.json'
# Lines of the table that are printed; all are in the file.
_PRINTED = 30
# Of the streams of a bag; the last version of what a survey says.
_VERSION = 3


@dataclass(frozen=True)
class BagState:
    """What is wrong with one bag.

    Attributes:
        bag: Its name.
        pictures: How many pictures of all cameras were looked at.
        problems: What is wrong, a sentence each.
        dark: Cameras that show nothing, or one picture, from begin to end, with their counts.
        counts: 'black', 'blank', 'frozen' and 'broken' -> how many pictures are that.
    """

    bag: str
    pictures: int
    problems: tuple[str, ...]
    dark: tuple[str, ...]
    counts: Mapping[str, int]


@dataclass(frozen=True)
class BagSurvey:
    """What was found in all bags, and what became of those with a dark camera.

    Attributes:
        states: One per bag, in their order.
        choice: See `DarkCameras`.
    """

    states: tuple[BagState, ...]
    choice: DarkCameras

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of the bags that are not used."""
        if self.choice != 'leave-out':
            return ()
        return tuple(state.bag for state in self.states if state.dark)

    def used(self, bags: Sequence[Path]) -> list[Path]:
        """Returns those of the bags that are used.

        Raises:
            ValueError: A camera is dark in whole episodes and nobody has said what to do then, or
                it is so in all of them.
        """
        dark = [state for state in self.states if state.dark]
        if dark and self.choice == 'refuse':
            named = [f'{state.bag} ({", ".join(state.dark)})' for state in dark]
            raise ValueError(
                f'In {len(dark)} of {len(bags)} episodes a camera shows nothing, or one picture, '
                f'from begin to end: {some(named)}. Look at that camera; --dark-cameras leave-out '
                'trains without these episodes, --dark-cameras keep trains on them as they are.'
            )
        used = [
            bag
            for bag, state in zip(bags, self.states, strict=True)
            if not (state.dark and self.choice == 'leave-out')
        ]
        if not used:
            raise ValueError(
                f'A camera is dark in each of the {len(bags)} episodes, so none is left; look at '
                'the camera, or train on them as they are with --dark-cameras keep.'
            )
        return used

    def table(self) -> str:
        """Returns what is wrong, where, and what is left out, in lines for a terminal."""
        lines = []
        for state in self.states:
            out = 'the whole episode' if state.dark and self.choice == 'leave-out' else '-'
            lines += [f'{state.bag:<24} {out:<18} {text}' for text in state.problems]
        pictures = sum(state.pictures for state in self.states)
        wrong = sum(bool(state.problems) for state in self.states)
        summary = (
            f'{len(self.states)} bags with {pictures} pictures were looked at: {wrong} have '
            f'something wrong, {len(self.left_out)} are left out.'
        )
        if not lines:
            return summary
        shown = [f'{"where":<24} {"left out":<18} what', *lines[:_PRINTED]]
        if len(lines) > _PRINTED:
            shown.append(f'... and {len(lines) - _PRINTED} more lines, see {HEALTH}')
        return '\n'.join([*shown, summary])

    def keep(self, out: Path) -> None:
        """Prints the table, and writes everything into a run's folder."""
        tqdm.write(self.table())
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / HEALTH, json.dumps(cattrs.unstructure(self), indent=1))

    def card(self) -> dict[str, Any]:
        """Returns what a manifest keeps of it."""
        totals: dict[str, int] = {}
        for state in self.states:
            for kind, count in state.counts.items():
                totals[kind] = totals.get(kind, 0) + count
        return {
            'bags': len(self.states),
            'pictures': sum(state.pictures for state in self.states),
            **totals,
            'dark_cameras': self.choice,
            'dark_episodes': [state.bag for state in self.states if state.dark],
            'left_out': list(self.left_out),
        }


def survey_episodes(
    bags: Sequence[Path],
    topics: StreamTopics,
    labels: ActionTopics,
    choice: DarkCameras,
    cache: Path,
) -> BagSurvey:
    """Looks at all streams of bags to train a policy on, see `survey_bags`."""
    streams = {
        **{f'camera {name}': topic for name, topic in topics.cameras.items()},
        'joint states': topics.joint_states,
        'pose': topics.pose,
        'action': labels.action,
        'gripper': labels.gripper,
    }
    cameras = tuple(topics.cameras.values())
    return survey_bags(bags, [streams] * len(bags), [cameras] * len(bags), choice, cache)


def survey_bags(
    bags: Sequence[Path],
    streams: Sequence[Mapping[str, str]],
    cameras: Sequence[Sequence[str]],
    choice: DarkCameras,
    cache: Path,
) -> BagSurvey:
    """Looks at every message of the streams of all bags, or finds that this has been done.

    Args:
        bags: Bags of any kind.
        streams: For each bag, what people call a stream -> its topic.
        cameras: For each bag, which of these topics are cameras.
        choice: What becomes of episodes with a dark camera.
        cache: Where the result is kept, beside the decoded bags.
    """
    key = store_key(bags, ['health', _VERSION, [dict(each) for each in streams]])
    file = cache / f'health_{key}.json'
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f'{file}.lock'):
        if not file.exists():
            found = [
                look_at(bag, names, pictures)
                for bag, names, pictures in zip(
                    tqdm(bags, desc='looking at bags', unit='bag'), streams, cameras, strict=True
                )
            ]
            write_whole(file, json.dumps(cattrs.unstructure(found), indent=1))
    states = cattrs.structure(json.loads(file.read_text()), tuple[BagState, ...])
    return BagSurvey(states, choice)


def look_at(bag: Path, streams: Mapping[str, str], cameras: Sequence[str]) -> BagState:
    """Reads a bag once and returns what is wrong with it.

    Args:
        bag: A bag of any kind.
        streams: What people call a stream -> its topic.
        cameras: Which of these topics are cameras.

    Raises:
        ValueError: One of the cameras is a topic of another type.
    """
    there = read_topics(bag)
    for topic in cameras:
        if there.get(topic, IMAGE_TYPES[0]) not in IMAGE_TYPES:
            raise ValueError(
                f'{bag}: {topic} should be a camera, but is of type {there[topic]}; name its '
                'topic in the recipe.'
            )
    health = BagHealth(dict(streams), tuple(cameras))
    stretches = Stretches(clock_steps(bag))
    losses = []
    try:
        for recorded in read_messages(bag, tuple(topic for topic in streams.values() if topic)):
            health.add(stretches.take(recorded)[0])
    except DamagedBag as error:
        losses = [str(error)]
    seen = health.cameras
    return BagState(
        bag.name,
        sum(camera.pictures for camera in seen.values()),
        (*stretches.problems, *health.doubts(), *health.problems(), *losses),
        tuple(f'{topic}: {camera.dark}' for topic, camera in seen.items() if camera.dark),
        {
            kind: sum(getattr(camera, kind) for camera in seen.values())
            for kind in ('black', 'blank', 'frozen', 'broken')
        },
    )
