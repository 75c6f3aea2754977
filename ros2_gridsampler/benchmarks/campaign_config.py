# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What a fault campaign does to which node."""

from dataclasses import dataclass, field
from typing import Literal

from ..bounds import checked
from .bench_topics import BenchTopics
from .fault_table import Tested, faults_of


@dataclass(frozen=True)
@checked
class CampaignConfig:
    """What to do to which node.

    Attributes:
        node: 'policy' is ours, 'naive' the reference that must fail, 'running' whatever runs
            already in this ROS domain and uses the bench's topics.
        kind: 'joints' or 'twist'.
        faults: Names; all that the node can be made to have if empty.
        pairs: How many random pairs besides.
        seed: Of the pairs.
        arm: Whose limits count.
        rate: Commands per second of the node [Hz].
        duration: Of each fault [s].
        patience: For a hold, or for the recovery from a fault [s].
        start_patience: For the first motion of a new process [s].
        node_name: For its lifecycle.
    """

    node: Tested = 'policy'
    kind: Literal['joints', 'twist'] = 'joints'
    faults: tuple[str, ...] = ()
    pairs: int = field(default=0, metadata={'minimum': 0})
    seed: int = field(default=0, metadata={'minimum': 0})
    arm: str = 'panda'
    rate: float = field(default=50.0, metadata={'unit': 'Hz', 'minimum': 1, 'maximum': 2000})
    duration: float = field(default=4.0, metadata={'unit': 's', 'above': 0})
    patience: float = field(default=30.0, metadata={'unit': 's', 'above': 0})
    start_patience: float = field(default=120.0, metadata={'unit': 's', 'above': 0})
    node_name: str = '/policy_node'
    topics: BenchTopics = field(default_factory=BenchTopics)

    def __post_init__(self) -> None:
        """Refuse faults that do not exist, or that nobody can make."""
        possible = faults_of(self.node)
        unknown = [name for name in self.faults if name not in possible]
        if unknown:
            raise ValueError(
                f'There are no faults {unknown} for a {self.node} node; choose some of '
                f'{list(possible)}.'
            )

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names of the faults."""
        return self.faults or faults_of(self.node)
