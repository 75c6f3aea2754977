# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The states of the command loop, what can happen in them, and one table of what follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class LoopState(Enum):
    """What the loop does with the arm, in words."""

    UNKNOWN = 'sends nothing: nobody has said yet where the arm is'
    FOLLOWING = 'follows what the chunks say'
    BRAKING = 'decelerates inside the limits'
    HOLDING = 'stands, and its last command is sent again'
    SILENT = 'stands, and nothing is sent'
    STOPPED = 'was stopped by a person: decelerates, then stands'
    GIVEN_UP = 'stands, and a person has to activate the node again'


class LoopEvent(Enum):
    """What can happen to the loop, in words."""

    MEASURED = 'the arm is measured for the first time'
    STOP = '~/stop'
    RESUME = '~/resume'
    FAULT = 'a fault whose rung is HOLD'
    NOTHING_DUE = 'no chunk says what to do now'
    TRUSTED = 'no fault, and a chunk says what to do now'
    AT_REST = 'the last command stands still'
    LOST = 'the arm is elsewhere, or its state is old or not believed'
    FOUND = 'the arm is measured where it was commanded to be'
    BEGINS = 'the arm stands elsewhere, for as long as the way there takes'
    GIVEN_UP = 'a fault whose rung is DEACTIVATE'


@dataclass(frozen=True)
class Change:
    """Where an event leads, and why it leads there."""

    to: LoopState
    why: str


_S, _E = LoopState, LoopEvent
_STOP = Change(_S.STOPPED, 'A person wants it to stand, whatever else is true.')
_GIVE_UP = Change(_S.GIVEN_UP, 'Waiting does not help; a person has to look.')
_BEGIN = Change(_S.HOLDING, 'It was moved: commands begin where it is.')
_TRUST = Change(_S.FOLLOWING, 'Enough good observations came, and the arm is where it should be.')

TRANSITIONS: Mapping[tuple[LoopState, LoopEvent], Change] = {
    (_S.UNKNOWN, _E.MEASURED): Change(_S.HOLDING, 'Commands begin where the arm is.'),
    (_S.UNKNOWN, _E.STOP): _STOP,
    (_S.FOLLOWING, _E.FAULT): Change(_S.BRAKING, 'What the chunks say cannot be believed.'),
    (_S.FOLLOWING, _E.NOTHING_DUE): Change(_S.BRAKING, 'Standing is the only safe guess.'),
    (_S.FOLLOWING, _E.STOP): _STOP,
    (_S.FOLLOWING, _E.GIVEN_UP): _GIVE_UP,
    (_S.BRAKING, _E.AT_REST): Change(_S.HOLDING, 'It stands; nothing else has to be done.'),
    (_S.BRAKING, _E.BEGINS): _BEGIN,
    (_S.BRAKING, _E.TRUSTED): _TRUST,
    (_S.BRAKING, _E.STOP): _STOP,
    (_S.BRAKING, _E.GIVEN_UP): _GIVE_UP,
    (_S.HOLDING, _E.LOST): Change(_S.SILENT, 'The old command would move it.'),
    (_S.HOLDING, _E.TRUSTED): _TRUST,
    (_S.HOLDING, _E.STOP): _STOP,
    (_S.HOLDING, _E.GIVEN_UP): _GIVE_UP,
    (_S.SILENT, _E.FOUND): Change(_S.HOLDING, 'The old command is true again.'),
    (_S.SILENT, _E.BEGINS): _BEGIN,
    (_S.SILENT, _E.TRUSTED): _TRUST,
    (_S.SILENT, _E.STOP): _STOP,
    (_S.SILENT, _E.GIVEN_UP): _GIVE_UP,
    (_S.STOPPED, _E.RESUME): Change(_S.BRAKING, 'It goes on from what is predicted from now on.'),
    (_S.GIVEN_UP, _E.STOP): _STOP,
}
"""What an event changes; one that is not here changes nothing in that state."""


def transition_table() -> str:
    """Returns the table as Markdown, for docs/explanation/safety.md."""
    states = ['| state | what the loop does |', '|---|---|']
    states += [f'| {state.name} | {state.value} |' for state in LoopState]
    rows = ['| in | when | becomes | because |', '|---|---|---|---|']
    rows += [
        f'| {state.name} | {event.value} | {change.to.name} | {change.why} |'
        for (state, event), change in TRANSITIONS.items()
    ]
    return '\n'.join([*states, '', *rows, ''])
