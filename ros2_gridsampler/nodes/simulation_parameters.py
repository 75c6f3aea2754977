# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The parameters of the simulated arm, with units and bounds."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from ..bounds import checked
from ..simulation.job_configs import Perturbation, Placements


@dataclass(frozen=True)
@checked
class SimulationParameters:
    """What to simulate; see the fields' help."""

    suite: str = field(default='libero_spatial', metadata={'help': 'LIBERO suite'})
    tasks: tuple[int, ...] = field(default=(0,), metadata={'help': 'Task numbers, from 0'})
    episodes_per_task: int = field(
        default=1, metadata={'help': 'Episodes of each task', 'minimum': 1}
    )
    placements: Placements = field(
        default='official', metadata={'help': 'Where the objects stand at the start'}
    )
    first_episode: int = field(
        default=0, metadata={'help': 'Number of the first placement', 'minimum': 0}
    )
    more_episodes: tuple[str, ...] = field(
        default=(),
        metadata={
            'help': "Episodes after these, each 'TASK PLACEMENTS NUMBER', like '5 anywhere 0'; "
            "words behind that are said instead of the suite's own instruction"
        },
    )
    perturbation: Perturbation = field(
        default='none',
        metadata={'help': 'What is changed in every episode, see `gridsampler success --help`'},
    )
    rendering: Literal['simplified', 'original'] = field(
        default='simplified',
        metadata={'help': 'How pictures are made; simplified ones take a sixth of the time'},
    )
    image_size: int = field(
        default=128,
        metadata={'help': 'Side of the pictures', 'unit': 'px', 'minimum': 16, 'maximum': 2048},
    )
    image_transport: Literal['compressed', 'raw'] = field(
        default='compressed', metadata={'help': 'CompressedImage (JPEG) or Image'}
    )
    command_timeout: float = field(
        default=0.25,
        metadata={
            'help': 'Time without a command before the arm holds',
            'unit': 's',
            'minimum': 0.0,
        },
    )
    maximum_steps: int = field(
        default=250, metadata={'help': 'Periods after which an episode ends', 'minimum': 1}
    )
    pause: float = field(
        default=0.5,
        metadata={
            'help': 'How long commands are ignored at the start of an episode: they still answer '
            'the scene before',
            'unit': 's',
            'minimum': 0.0,
        },
    )
    publish_clock: bool = field(
        default=False,
        metadata={
            'help': 'Publish /clock, no faster than real time, and wait with it for the policy '
            'node: a slow machine simulates slowly, and the same. All nodes need use_sim_time'
        },
    )
    chunk_topic: str = field(
        default='/policy_node/action_chunk',
        metadata={'help': 'With publish_clock: the answers of the policy node'},
    )
    auto_reset: bool = field(
        default=True, metadata={'help': 'Go on to the next episode without being asked'}
    )

    @property
    def named_episodes(self) -> tuple['NamedEpisode', ...]:
        """`more_episodes`, read.

        Raises:
            ValueError: Says which cannot be read, and how one is written.
        """
        return tuple(map(NamedEpisode.read, self.more_episodes))


@dataclass(frozen=True)
class NamedEpisode:
    """One of `more_episodes`.

    Attributes:
        task: Number of the task in its suite, from 0.
        placements: Kind of placements.
        number: Which of them, from 0.
        instruction: What is said to the policy; '' for the suite's own instruction.
    """

    task: int
    placements: Placements
    number: int
    instruction: str

    @classmethod
    def read(cls, text: str) -> 'NamedEpisode':
        """Reads 'TASK PLACEMENTS NUMBER' and, behind it, an instruction.

        Raises:
            ValueError: Says what came and how it is written.
        """
        words = text.split(maxsplit=3)
        kinds = get_args(Placements)
        if len(words) < 3 or not (words[0].isdecimal() and words[2].isdecimal()):
            raise ValueError(
                f"An episode is written 'TASK PLACEMENTS NUMBER', like '5 anywhere 0', and words "
                f'to say behind it; got {text!r}.'
            )
        if words[1] not in kinds:
            raise ValueError(
                f'Placements are {", ".join(kinds)}; got {words[1]!r} in the episode {text!r}.'
            )
        return cls(int(words[0]), words[1], int(words[2]), ' '.join(words[3:]))  # type: ignore[arg-type]
