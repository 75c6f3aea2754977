# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""`gridsampler`: a table of commands by task; heavy imports wait in their functions."""

import difflib
import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Sequence

import tyro

from .arguments import json_argument
from .arm_calibration_commands import arm, hand_eye
from .camera_calibration_commands import camera, drift, reference
from .check_command import check, serve
from .encoder_commands import compare, list_known, serve_encoders, show, verify
from .engine_commands import benchmark_backends, benchmark_gpu, export, flops
from .evaluation_commands import evaluate
from .lerobot_commands import adopt, convert_sampler, export_lerobot, import_lerobot
from .moved_commands import run_moved
from .running import answer, parse
from .safety_commands import delay, faults, monitor, safety_tables, timing
from .simulation_commands import demo, record, success
from .training_commands import adapt, import_encoder, pretrain, train
from .tutorial_commands import new_site

__all__ = ['CONTENTS', 'answer', 'main']

CONTENTS: dict[str, dict[str, Callable[..., None]]] = {
    'See it work, without a robot': {
        'demo': demo,
        'check': check,
        'flops': flops,
    },
    'Record and train': {
        'record': record,
        'import': import_lerobot,
        'export-lerobot': export_lerobot,
        'train': train,
    },
    'Judge a policy before it moves anything': {
        'evaluate': evaluate,
        'success': success,
    },
    'Prepare cameras and arm': {
        'calibrate camera': camera,
        'calibrate hand-eye': hand_eye,
        'calibrate arm': arm,
        'calibrate delay': delay,
        'calibrate reference': reference,
        'calibrate drift': drift,
    },
    'Drive an arm': {
        'export': export,
        'serve': serve,
        'monitor': monitor,
    },
    "Bring somebody else's policy": {
        'adopt': adopt,
        'convert-sampler': convert_sampler,
    },
    'Change the encoder': {
        'tutorial new-site': new_site,
        'pretrain': pretrain,
        'adapt': adapt,
        'import-encoder': import_encoder,
        'encoders list': list_known,
        'encoders show': show,
        'encoders verify': verify,
        'encoders compare': compare,
        'encoders serve': serve_encoders,
    },
    'Measure speed and safety': {
        'benchmark backends': benchmark_backends,
        'benchmark gpu': benchmark_gpu,
        'benchmark timing': timing,
        'faults': faults,
        'safety-tables': safety_tables,
    },
}
"""Task -> its commands; tasks in the order in which a newcomer meets them."""
_ELSEWHERE = (
    'The policy node itself is started by ROS 2:',
    '  ros2 launch ros2_gridsampler policy.launch.py --show-args',
    '  policy_node --ros-args -p policy:=POLICY -p arm:=ARM -p camera_topics:="[A,B]"',
    '  (the second where ROS is not installed)',
    'New here: `gridsampler demo`, then `gridsampler record --out DEMOS`.',
)
COMMANDS = {name: command for group in CONTENTS.values() for name, command in group.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command that the arguments name, by default those of the process."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    run_moved(given)
    answer(lambda: _run(given))


def _run(given: list[str]) -> None:
    words = [word for word in given[:2] if not word.startswith('-')]
    chosen = next((n for n in (' '.join(words), *words[:1]) if n in COMMANDS), None)
    if chosen is not None:
        rest = json_argument(given[len(chosen.split()) :])
        parse(COMMANDS[chosen], f'gridsampler {chosen}', rest)()
    elif given and given[0].startswith('--tyro-'):
        _application().cli(prog='gridsampler', args=given)
    elif given == ['--version']:
        print(f'ros2_gridsampler {importlib.metadata.version("ros2_gridsampler")}')
    elif not words and set(given) <= {'-h', '--help'}:
        print(contents())
    elif len(words) == 1 and set(given[1:]) <= {'-h', '--help'} and _below(words[0]):
        print(contents(words[0]))
    else:
        raise ValueError(_unknown(given, words))


def contents(above: str = '') -> str:
    """Returns the table of contents, a line per command under its task.

    Args:
        above: First word of the commands to list, such as 'calibrate'; all of them if empty.
    """
    width = max(map(len, COMMANDS)) + 2
    lines = [f'usage: gridsampler {above or "COMMAND"} ...']
    if not above:
        lines += ['', 'Vision-language-action policies with few visual tokens, on ROS 2.']
    for task, commands in CONTENTS.items():
        shown = {n: c for n, c in commands.items() if not above or n in _below(above)}
        if shown:
            lines += ['', task]
        for name, command in shown.items():
            lines.append(f'  {name:{width}}{_first_line(command)}')
    if not above:
        lines += ['', *_ELSEWHERE]
    return '\n'.join([*lines, '', '`gridsampler COMMAND --help` explains a command.'])


def _first_line(command: Callable[..., None]) -> str:
    return (inspect.getdoc(command) or '').partition('\n')[0].rstrip('.')


def _below(word: str) -> list[str]:
    return [name for name in COMMANDS if name.startswith(f'{word} ')]


def _unknown(given: list[str], words: list[str]) -> str:
    asked = ' '.join(words) or given[0]
    below = _below(words[0]) if words else []
    # A typing error in the first word must not hide behind a long second one.
    candidates = difflib.get_close_matches(asked, below or COMMANDS, 2, 0.6)
    candidates += difflib.get_close_matches(words[0] if words else asked, COMMANDS, 2, 0.6)
    near = ' or '.join(f'`gridsampler {name}`' for name in list(dict.fromkeys(candidates))[:2])
    hint = f'did you mean {near}? ' if near else ''
    listing = f'`gridsampler {words[0]}`' if below else '`gridsampler`'
    return f'There is no command {asked!r}; {hint}{listing} lists them.'


def _application() -> tyro.extras.SubcommandApp:
    """The same commands as one parser, from which tyro writes completions for a shell."""
    application = tyro.extras.SubcommandApp()
    above: dict[str, tyro.extras.SubcommandApp] = {}
    for name, command in COMMANDS.items():
        first, _, second = name.partition(' ')
        if not second:
            application.command(name=name)(command)
            continue
        if first not in above:
            above[first] = tyro.extras.SubcommandApp()
            application.command(above[first], name=first)
        above[first].command(name=second)(command)
    return application
