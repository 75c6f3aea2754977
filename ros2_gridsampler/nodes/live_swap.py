# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy that drives a simulated arm, an encoder on a server -> what the node made of it."""

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..encoders.swap_config import SwapConfig
from ..evaluating.demonstration_record import EncoderSwap
from ..evaluating.film import Clip, Picture, write_film
from ..policy.manifest import load_manifest
from ..simulation.arm_state import PERIOD
from ..stop_request import StopRequest
from .child_process import ChildProcess
from .demonstration import arm_and_policy, stuck, watch_by_simulated_time
from .demonstration_watcher import DemonstrationWatcher
from .encoder_offer import EncoderOffer, encoder_server, fed_by_server
from .node_setup import own_node
from .private_domain import private_domain

PHASES = ('before', 'shadow', 'after')
"""The films: an episode before the swap, what the arm did meanwhile, an episode after it."""
# All of it, on a machine that does much else [s].
_TIMEOUT = 1800.0
# A film of what goes on while an encoder is loaded and compared is not longer [s].
_LONGEST = 20.0


@dataclass(frozen=True)
class LiveSwap(EncoderSwap):
    """What a policy node did with an encoder, and what the arm did meanwhile.

    Attributes:
        said: What the node's log says of the encoder.
        solved: Phase -> whether the episode was solved; the shadow is no episode of its own.
        films: Phase -> name of its film, where there was a picture.
    """

    said: tuple[str, ...]
    solved: dict[str, bool]
    films: dict[str, str]

    def to_json(self) -> str:
        """Returns all attributes as JSON."""
        return json.dumps(asdict(self), indent=1)


def swap_live(
    policy: Path,
    encoders: Path,
    active: str,
    shown: Mapping[str, Any],
    swap: SwapConfig,
    arm: str,
    out: Path,
) -> LiveSwap:
    """Has a policy drive a simulated arm, serves it an encoder, and watches what it does.

    The policy drives one episode on its own encoder; then the server makes another one active,
    the node receives, compares and swaps it, or refuses it, while the arm goes on; then one more
    episode is driven. Sets the ROS variables of this process's environment.

    Args:
        policy: Checkpoint.
        encoders: Folder of encoder folders, which is served.
        active: Name of the encoder to swap to.
        shown: Parameters of the simulated arm; it needs some dozen episodes.
        swap: Thresholds of the node; its `store` is replaced by a folder in `out`.
        arm: Limits of the arm, a name in calibration/ or a YAML file.
        out: Folder of films and logs.

    Raises:
        ChildProcessError: A node ended; its last words are in the text.
        TimeoutError: Nothing moved any more, or all of it took far too long.
        InterruptedError: SIGINT or SIGTERM came.
        ValueError: The node refuses to work, or the server to serve.
    """
    out.mkdir(parents=True, exist_ok=True)
    config = load_manifest(policy).policy
    driven = {'arm': arm, **fed_by_server(swap, out)}
    with contextlib.ExitStack() as stack:
        # The signals first: whatever is started later is ended.
        stop = stack.enter_context(StopRequest('; the same command goes on'))
        stack.enter_context(private_domain())
        watcher, executor = stack.enter_context(
            own_node(lambda context: watch_by_simulated_time(config.cameras, context))
        )
        pair = arm_and_policy(policy, config, shown, driven, out)
        children = [*pair, encoder_server(encoders, out)]
        for child in children:
            stack.enter_context(child)
        bar = stack.enter_context(tqdm(total=5, desc='live', unit='step'))
        offer = EncoderOffer(watcher, active)
        live = _Live(watcher, offer, executor, children, stop.check, bar)
        live.drive()
    return live.result(out)


class _Live:
    """What is seen of the nodes, and what is asked of the server."""

    def __init__(
        self,
        watcher: DemonstrationWatcher,
        offer: EncoderOffer,
        executor: Any,
        children: Sequence[ChildProcess],
        check_signals: Callable[[], None],
        bar: 'tqdm[Any]',
    ) -> None:
        self._watcher, self._offer, self._executor = watcher, offer, executor
        self._children, self._check_signals, self._bar = children, check_signals, bar
        self._deadline = time.monotonic() + _TIMEOUT
        self._last = -1

    def drive(self) -> None:
        """Returns when the episode after the swap is over."""
        watcher, offer = self._watcher, self._offer
        self._until('an episode on its own encoder', lambda: bool(watcher.results))
        self._until('the server', lambda: offer.ready)
        offer.ask()
        self._until('the encoder is loaded', lambda: offer.state == 'shadow' or offer.over)
        self._until('compared, swapped, tried', lambda: offer.over)
        self._last = watcher.current + 1
        self._until('an episode after it', lambda: len(watcher.results) > self._last)

    def result(self, out: Path) -> LiveSwap:
        """Returns what was seen; writes the films."""
        log = (out / 'policy_node.log').read_text(errors='replace').splitlines()
        films = {}
        for phase, clip in self._clips().items():
            if clip.pictures:
                films[phase] = f'{phase}.mp4'
                write_film([clip], out / films[phase])
        return LiveSwap(
            **asdict(self._offer.seen()),
            said=tuple(_sentence(line) for line in log if 'Encoder ' in line),
            solved={
                phase: self._watcher.results[number]['result']['success']
                for phase, number in self._numbers.items()
            },
            films=films,
        )

    def _until(self, what: str, reached: Callable[[], bool]) -> None:
        self._bar.set_postfix_str(what)
        while not reached():
            self._executor.spin_once(timeout_sec=0.1)
            self._check_signals()
            self._offer.check()
            for child in self._children:
                child.check()
            watcher = self._watcher
            if watcher.refusal:
                raise ValueError(f'The policy node refuses to work: {watcher.refusal}')
            reason = stuck(watcher, self._deadline)
            if not reason and watcher.done:
                reason = 'The simulated arm has no more episodes'
            if reason:
                words = [child.last_words() for child in self._children]
                raise TimeoutError('\n'.join([f'{reason}, waiting for: {what}.', *words]))
        self._bar.update()

    @property
    def _numbers(self) -> dict[str, int]:
        return {'before': 0, 'after': self._last}

    def _clips(self) -> dict[str, Clip]:
        seen, words = self._watcher.episodes(), {}
        for phase, number in self._numbers.items():
            episode = seen[number]
            verdict = 'Solved' if episode.success else 'Not solved'
            words[phase] = (
                episode.instruction,
                episode.success,
                f'{verdict} in {episode.steps * PERIOD:.1f} s',
                episode.pictures,
            )
        begin, end = self._offer.times
        begin = max(begin, end - _LONGEST)
        pictures: Sequence[Picture] = self._watcher.pictures(begin, end)
        state = self._offer.state
        words['shadow'] = (
            'the arm goes on while the new encoder is compared and tried',
            state == 'accepted',
            state.capitalize(),
            pictures,
        )
        return {phase: Clip(phase, *words[phase]) for phase in PHASES}


def _sentence(line: str) -> str:
    """Returns what a line of a log says, without level, time and name."""
    return line.rpartition(']: ')[2]
