# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy that drives a simulated arm, an encoder on a server -> what the node made of it."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_msgs.msg import String
from tqdm import tqdm

from ..encoders.swap_config import SwapConfig
from ..evaluating.film import Clip, Picture, write_film
from ..policy.manifest import load_manifest
from ..simulation.arm_state import PERIOD
from ..stop_request import StopRequest
from .child_process import ChildProcess
from .demonstration import arm_and_policy, stuck, watch_by_simulated_time
from .demonstration_watcher import DemonstrationWatcher
from .node_setup import own_node
from .private_domain import private_domain
from .topics import LATCHED

SERVER = 'encoder_server'
PHASES = ('before', 'shadow', 'after')
"""The films: an episode before the swap, what the arm did meanwhile, an episode after it."""
ENDED = ('accepted', 'refused', 'rolled back')
"""What can come of an encoder."""
# All of it, on a machine that does much else [s].
_TIMEOUT = 1800.0
# A film of what goes on while an encoder is loaded and compared is not longer [s].
_LONGEST = 20.0


@dataclass(frozen=True)
class LiveSwap:
    """What a policy node did with an encoder that its server made the active one.

    Attributes:
        outcome: 'accepted', 'refused' or 'rolled back', as `~/encoder` says.
        reason: Why it is not in use; empty where it is.
        before: sha256 of the encoder in use before.
        after: sha256 of the encoder in use at the end.
        states: What the node was at, in order, with its simulated time [s].
        said: What the node's log says of the encoder.
        solved: Phase -> whether the episode was solved; the shadow is no episode of its own.
        films: Phase -> name of its film, where there was a picture.
    """

    outcome: str
    reason: str
    before: str
    after: str
    states: tuple[tuple[str, float], ...]
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
    driven = {
        'arm': arm,
        'encoder_server': f'/{SERVER}',
        **{f'swap.{name}': value for name, value in asdict(swap).items()},
        'swap.store': str((out / 'store').resolve()),
    }
    with contextlib.ExitStack() as stack:
        # The signals first: whatever is started later is ended.
        stop = stack.enter_context(StopRequest('; the same command goes on'))
        stack.enter_context(private_domain())
        watcher, executor = stack.enter_context(
            own_node(lambda context: watch_by_simulated_time(config.cameras, context))
        )
        children = [*arm_and_policy(policy, config, shown, driven, out), _server(encoders, out)]
        for child in children:
            stack.enter_context(child)
        bar = stack.enter_context(tqdm(total=6, desc='live', unit='step'))
        live = _Live(watcher, executor, children, stop.check, bar)
        live.drive(active)
    return live.result(out)


def _server(encoders: Path, out: Path) -> ChildProcess:
    # Its own profile suits files better than that of a node which sends pictures.
    other = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
    environment = {name: value for name, value in os.environ.items() if name not in other}
    return ChildProcess(
        f'nodes.{SERVER}_node',
        {'folder': str(encoders.resolve())},
        {},
        environment=environment,
        log=out / f'{SERVER}.log',
        patience=3.0,
    )


class _Live:
    """What is seen of the nodes, and what is asked of the server."""

    def __init__(
        self,
        watcher: DemonstrationWatcher,
        executor: Any,
        children: Sequence[ChildProcess],
        check_signals: Callable[[], None],
        bar: 'tqdm[Any]',
    ) -> None:
        self._watcher, self._executor = watcher, executor
        self._children, self._check_signals, self._bar = children, check_signals, bar
        self._deadline = time.monotonic() + _TIMEOUT
        self._about: dict[str, Any] = {}
        self._own = ''
        self._states: list[tuple[str, float]] = []
        self._last = -1
        watcher.create_subscription(String, '/policy_node/encoder', self._hear, LATCHED)

    def drive(self, active: str) -> None:
        """Returns when the episode after the swap is over."""
        watcher = self._watcher
        self._until('an episode on its own encoder', lambda: bool(watcher.results and self._about))
        self._own = self._about['encoder sha256']
        self._serve(active)
        self._until('the encoder is loaded', lambda: self._state in ('shadow', *ENDED))
        self._until('compared, swapped, tried', lambda: self._state in ENDED)
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
        outcome = self._state
        return LiveSwap(
            outcome=outcome,
            reason='' if outcome == 'accepted' else self._about['reason'],
            before=self._own,
            after=self._about['encoder sha256'],
            states=tuple(self._states),
            said=tuple(_sentence(line) for line in log if 'Encoder ' in line),
            solved={
                phase: self._watcher.results[number]['result']['success']
                for phase, number in self._numbers.items()
            },
            films=films,
        )

    @property
    def _state(self) -> str:
        """The newest state since the server was asked; empty before the node has heard of it."""
        return self._states[-1][0] if self._states else ''

    def _hear(self, message: Any) -> None:
        self._about = json.loads(message.data)
        if not self._own or self._about['tried'] in ('', 'own'):
            return
        about = self._about
        state = about['outcome'] if about['state'] == 'idle' else about['state']
        if state and state != self._state:
            self._states.append((state, self._watcher.get_clock().now().nanoseconds * 1e-9))

    def _until(self, what: str, reached: Callable[[], bool]) -> None:
        self._bar.set_postfix_str(what)
        while not reached():
            self._executor.spin_once(timeout_sec=0.1)
            self._check_signals()
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

    def _serve(self, active: str) -> None:
        client = self._watcher.create_client(SetParameters, f'/{SERVER}/set_parameters')
        self._until('the server', client.service_is_ready)
        asked = Parameter('active', value=active).to_parameter_msg()
        answer = client.call_async(SetParameters.Request(parameters=[asked]))
        self._until('the server', answer.done)
        result = answer.result().results[0]
        if not result.successful:
            raise ValueError(f'The server does not serve {active!r}: {result.reason}')

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
        end = self._states[-1][1]
        begin = max(self._states[0][1], end - _LONGEST)
        pictures: Sequence[Picture] = self._watcher.pictures(begin, end)
        accepted = self._state == 'accepted'
        words['shadow'] = (
            'the arm goes on while the new encoder is compared and tried',
            accepted,
            self._state.capitalize(),
            pictures,
        )
        return {phase: Clip(phase, *words[phase]) for phase in PHASES}


def _sentence(line: str) -> str:
    """Returns what a line of a log says, without level, time and name."""
    return line.rpartition(']: ')[2]
