# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The code -> the reference pages of the site; nothing on them is typed by hand but `MEANING`."""

import ast
import contextlib
import dataclasses
import importlib
import importlib.util
import inspect
import io
import itertools
import os
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

ROOT = Path(__file__).parents[1]
NODES = ROOT / 'ros2_gridsampler' / 'nodes'
# Modules of `launch` that a launch file imports; only a ROS installation has them.
_LAUNCH = (
    'launch',
    'launch.actions',
    'launch.events',
    'launch.launch_description_sources',
    'launch.substitutions',
    'launch_ros',
    'launch_ros.actions',
)

MEANING = {
    '/clock': 'Time of the simulation, or of the recording that is played.',
    '/diagnostics': 'What is wrong, the cause first; `gridsampler monitor` shows it.',
    '~/action_chunk': 'The whole prediction, stamped with the capture time of its oldest stream.',
    '~/check_mounts': 'Compares the cameras with the reference views of the checkpoint, now.',
    '~/encoder': 'JSON: which encoder is in use, which is tried, and why one was refused.',
    '~/episode': 'JSON: the episode that runs, and how the earlier ones ended.',
    '~/gripper_command': (
        "Opening of the gripper [m], or its joint's position where the arm's file has `scale`; "
        'or the joints of `separate_joints`.'
    ),
    '~/instruction': 'The sentence to obey, in any language; an empty one holds the arm.',
    '~/joint_positions': 'Joint positions, in the order of the joints of the checkpoint.',
    '~/joint_trajectory': 'One point, due when the way to it can be done inside the limits.',
    '~/manifest': 'JSON: name, sha256, bytes and manifest of every encoder that is served.',
    '~/policy': 'JSON: checkpoint, hashes, engine, and why other engines were refused.',
    '~/pose_command': 'Where the hand should be, in the base frame of the arm.',
    '~/reset': 'Begins the next episode.',
    '~/resume': 'Goes on after `~/stop`, or when a person has looked at a doubted measurement.',
    '~/rollback': 'Brings the encoder before the last swap back.',
    '~/sampled_points': 'The pictures as the policy saw them, with the points that it read.',
    '~/stop': 'Decelerates inside the limits and holds until `~/resume`.',
    '~/timing': 'How long each stage of a prediction took [s].',
    '~/twist_command': 'Velocity of the hand, in the base frame of the arm.',
    '~/weights': (
        'The active encoder in chunks, all of them latched; each names the hash of the whole file.'
    ),
}
"""Topic or service with a name of its own -> what it is for."""


class Channel(NamedTuple):
    """A topic or service that a node opens under a name that stands in its code."""

    name: str
    kind: str
    direction: str
    quality: str


def commands_page() -> str:
    """Returns every command with its help, as the terminal shows it."""
    from ros2_gridsampler.command_line import CONTENTS

    parts = ['# Commands', 'What `gridsampler COMMAND --help` says, for every command.']
    for task, commands in CONTENTS.items():
        parts.append(f'## {task}')
        for name in commands:
            parts += [f'### gridsampler {name}', f'```text\n{_help(name)}\n```']
    return _joined(parts)


def _help(command: str) -> str:
    from ros2_gridsampler.command_line import main

    said = io.StringIO()
    narrow = mock.patch.dict(os.environ, {'COLUMNS': '96', 'NO_COLOR': '1', 'TERM': 'dumb'})
    with narrow, contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main([*command.split(), '--help'])
    plain = re.sub(r'\x1b\[[\d;]*m', '', said.getvalue())
    return '\n'.join(line.rstrip() for line in plain.strip().splitlines())


def parameters_page() -> str:
    """Returns the ROS parameters of every node, from the dataclasses that declare them."""
    parts = [
        '# Parameters',
        'The ROS parameters of each node. `ros2 param describe /policy_node NAME` says the same '
        'of a running node. A parameter that a node does not have is refused by name.',
    ]
    for node, kind in declared().items():
        parts += [f'## {node}', _table(list(_rows(kind)))]
    return _joined(parts)


def declared() -> dict[str, type]:
    """Returns the dataclass that each node declares as its parameters, the policy node first."""
    found = {}
    for path in sorted(NODES.glob('*_node.py'), key=lambda path: path.stem != 'policy_node'):
        if called := re.search(r'\bdeclare_parameters\(\s*self, (\w+)', path.read_text()):
            module = importlib.import_module(f'ros2_gridsampler.nodes.{path.stem}')
            found[path.stem] = getattr(module, called[1])
    return found


def recipes_page() -> str:
    """Returns the keys of the recipes of `models/recipes/`."""
    from ros2_gridsampler.training.adapt_config import AdaptConfig
    from ros2_gridsampler.training.fine_tune import FineTuneConfig
    from ros2_gridsampler.training.pretrain_config import PretrainConfig
    from ros2_gridsampler.training.recipe import TrainConfig

    of = {
        'gridsampler train': TrainConfig,
        'gridsampler train --base': FineTuneConfig,
        'gridsampler pretrain': PretrainConfig,
        'gridsampler adapt': AdaptConfig,
    }
    parts = [
        '# Recipes',
        'Keys of the YAML files of `models/recipes/`, each of which `--change KEY=VALUE` may '
        'change on the command line; `gridsampler adapt` has them as flags.',
    ]
    for command, kind in of.items():
        parts += [f'## {command}', _summary(kind), _table(list(_rows(kind)))]
    return _joined(parts)


def manifest_page() -> str:
    """Returns the fields of the files that a node believes only if everything agrees."""
    from ros2_gridsampler.encoders.encoder_checkpoint import EncoderManifest
    from ros2_gridsampler.policy.manifest import Manifest
    from ros2_gridsampler.vla.lerobot_checkpoint import Adoption
    from ros2_gridsampler.vla.remote_robot import RemoteRobot

    files = {
        'manifest.json of a policy': Manifest,
        'manifest.json of an encoder': EncoderManifest,
        'robot.json of an adopted lerobot policy': Adoption,
        'YAML of a robot for a policy server': RemoteRobot,
    }
    parts = [
        '# Manifests and robots',
        'What must agree between training and deployment. A field that is missing, unknown or of '
        'another type is refused with a sentence.',
    ]
    told: set[type] = set()
    for file, kind in files.items():
        parts.append(f'## {file}')
        for each in _nested(kind):
            if each not in told:
                told.add(each)
                parts += [f'### {each.__name__}', _summary(each), _table(list(_own_rows(each)))]
    return _joined(parts)


def report_page() -> str:
    """Returns the keys of report.json, with what the code says of each."""
    from ros2_gridsampler.evaluating.evaluation_report import KEYS, SCHEMA
    from ros2_gridsampler.evaluating.metrics import METRICS

    parts = [
        '# report.json',
        f'What `gridsampler evaluate` writes; `schema` is `{SCHEMA}`. How the scores are meant '
        'is on [another page](../howto/evaluation.md).',
        _markdown(('key', 'meaning'), [(f'`{key}`', text) for key, text in KEYS.items()]),
        '## Metrics',
        'One object each; `METRICS` of `evaluating/metrics.py` has their order.',
    ]
    for metric in METRICS:
        rows = [(f'`{key}`', text) for key, text in metric.keys.items()]
        title = re.sub(r'(?<!^)(?=[A-Z])', ' ', metric.__name__)
        parts += [
            f'### {title.capitalize()}',
            _summary(metric),
            _markdown(('key', 'meaning'), rows),
        ]
    return _joined(parts)


def launch_page() -> str:
    """Returns the arguments of every launch file."""
    parts = [
        '# Launch files',
        'Arguments of `ros2 launch ros2_gridsampler FILE`; one without a default must be given. '
        'An empty default leaves the value to the node.',
    ]
    for path in sorted((ROOT / 'launch').glob('*.launch.py')):
        module = _loaded(path)
        rows = [
            (f'`{name}`', '' if default is None else _code(default), text)
            for name, default, text in module.ARGUMENTS
        ]
        topics = getattr(module, 'TOPICS', {})
        rows += [
            (f'`{name}`', _code(topic), f'Instead of `{topic}`') for name, topic in topics.items()
        ]
        table = _markdown(('argument', 'default', 'meaning'), rows)
        parts += [f'## {path.name}', (module.__doc__ or '').strip(), table]
    return _joined(parts)


class _Stub(types.ModuleType):
    """Stands for a module of `launch` while the tables of a launch file are read."""

    def __getattr__(self, name: str) -> Any:
        return type(name, (), {})


def _loaded(path: Path) -> Any:
    stubs = {name: _Stub(name) for name in _LAUNCH}
    with mock.patch.dict(sys.modules, stubs):
        specification = importlib.util.spec_from_file_location(path.stem, path)
        if specification is None or specification.loader is None:
            raise ImportError(f'{path} is no Python file.')
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
    return module


def topics_page() -> str:
    """Returns the topics and services of the nodes, as their code opens them."""
    from ros2_gridsampler.nodes.policy_parameters import PolicyParameters
    from ros2_gridsampler.simulation import arm_messages

    heads = ('name', 'direction', 'message', 'quality of service', 'meaning')
    rows = [
        (f'`{c.name}`', c.direction, c.kind, c.quality, MEANING[c.name])
        for c in sorted(channels())
    ]
    chosen = [row for row in _rows(PolicyParameters) if re.search(r'_topics?`$', row[0])]
    arm = {
        value: name
        for name, value in vars(arm_messages).items()
        if name.isupper() and isinstance(value, str) and value.startswith('/')
    }
    return _joined(
        [
            '# Topics and services',
            'A name that begins with `~` is below the name of its node. A launch file renames '
            'topics by [arguments](launch.md).',
            '## Names of the nodes',
            _markdown(heads, rows),
            '## Topics that a parameter of the policy node names',
            _table(chosen),
            '## Topics of the simulated arm and of its recordings',
            'Beside `/CAMERA/image_raw`, or `/CAMERA/image_raw/compressed`, of each camera.',
            _markdown(
                ('topic', 'name in `simulation/arm_messages.py`'),
                [(f'`{topic}`', f'`{name}`') for topic, name in arm.items()],
            ),
            '## Quality of service',
            _markdown(('name', 'profile', 'meaning'), list(_qualities())),
        ]
    )


def channels() -> set[Channel]:
    """Returns what the nodes open under names that stand in their code."""
    opens = {
        'create_publisher': ('out', 0, 1, 2),
        'create_subscription': ('in', 0, 1, 3),
        'subscribe_to_all': ('in', 1, 2, 4),
        'create_service': ('service', 0, 1, None),
        'create_slow_service': ('service', 1, 2, None),
    }
    found = set()
    for path in sorted(NODES.glob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
            # A command output: its publishers, in a dictionary.
            for given in node.args if called == '__init__' else ():
                for key, kind in _entries(given):
                    found.add(Channel(key, kind, 'out', 'NEWEST_RELIABLE'))
            if called not in opens:
                continue
            direction, of_kind, of_name, of_quality = opens[called]
            if len(node.args) <= of_name or not (topic := _own_name(node.args[of_name])):
                continue
            # What another node says is listed where that node opens it.
            if direction == 'in' and topic.startswith('/') and topic != '/clock':
                continue
            profile = '' if of_quality is None else ast.unparse(node.args[of_quality])
            # `weights_quality(...)`: a profile of its own, made by a function.
            profile = {'qos': 'LATCHED and STATE'}.get(profile, profile.partition('(')[0])
            kind = ast.unparse(node.args[of_kind])
            found.add(Channel(topic, kind, direction, profile))
    return found


def _own_name(node: ast.expr) -> str:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) and value[:1] in ('~', '/') else ''


def _entries(node: ast.expr) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None and (name := _own_name(key)):
                kind = ast.unparse(value)
                yield name, 'by `gripper_command_type`' if kind == 'gripper.kind' else kind


def _qualities() -> Iterator[tuple[str, str, str]]:
    body = ast.parse((NODES / 'topics.py').read_text()).body
    for assigned, said in itertools.pairwise(body):
        if (
            isinstance(assigned, ast.Assign)
            and isinstance(said, ast.Expr)
            and isinstance(said.value, ast.Constant)
        ):
            words = ast.unparse(assigned.value).removeprefix('QoSProfile')
            words = re.sub(r'\w+Policy\.', '', words).strip('()')
            yield f'`{ast.unparse(assigned.targets[0])}`', words, str(said.value.value)


def arms_page() -> str:
    """Returns the arms whose limits come along, and the pages about arms."""
    from ros2_gridsampler.acting.arm_limits import load_arm

    rows = []
    for path in sorted((ROOT / 'calibration').glob('*.yaml')):
        limits = load_arm(path)
        hand = 'yes' if limits.end_effector else 'no'
        rows.append(
            (f'`{path.stem}`', str(len(limits.joints.names)), hand, f'`calibration/{path.name}`')
        )
    parts = [
        '# Arms',
        'Limits that come along, by the name that `arm:=` takes; check them against your arm. '
        'Another arm is a file of its own: [calibration](../howto/calibration.md).',
        _markdown(('arm', 'joints', 'limits of the hand', 'file'), rows),
    ]
    told = sorted((ROOT / 'docs' / 'arms').glob('*.md'))
    if told:
        titles = {path: path.read_text('utf-8').partition('\n')[0].strip('# ') for path in told}
        parts += ['## From the driver to the first motion']
        parts += ['\n'.join(f'- [{titles[path]}](../arms/{path.name})' for path in told)]
    return _joined(parts)


def _rows(kind: type, prefix: str = '') -> Iterator[tuple[str, str, str, str]]:
    """Yields name, type, default, and meaning with bounds, of all fields, groups written out."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _rows(typing.cast('type', hint), f'{prefix}{field.name}.')
        else:
            yield _row(field, hint, prefix, _attributes(kind))


def _own_rows(kind: type) -> Iterator[tuple[str, str, str, str]]:
    hints, said = typing.get_type_hints(kind), _attributes(kind)
    for field in dataclasses.fields(kind):
        yield _row(field, hints[field.name], '', said)


def _row(field: Any, hint: Any, prefix: str, said: Mapping[str, str]) -> tuple[str, str, str, str]:
    from ros2_gridsampler.bounds import bound_text

    if field.default is not dataclasses.MISSING:
        default = _code(field.default)
    elif field.default_factory is not dataclasses.MISSING:
        default = _code(field.default_factory())
    else:
        default = ''
    parts = [field.metadata.get('help') or said.get(field.name, '')]
    if {'minimum', 'maximum', 'above'} & field.metadata.keys():
        parts.append(f'({bound_text(field.metadata)})')
    elif 'unit' in field.metadata:
        parts.append(f'[{field.metadata["unit"]}]')
    return f'`{prefix}{field.name}`', _type_name(hint), default, ' '.join(filter(None, parts))


def _type_name(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return ', '.join(f'`{choice!r}`' for choice in typing.get_args(hint))
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__name__
    return re.sub(r'[\w.]*\.(?=\w)', '', str(hint)).replace('NoneType', 'None')


def _attributes(kind: type) -> dict[str, str]:
    """Returns what the docstrings of a dataclass and of those before it say of their fields."""
    said: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        text = inspect.cleandoc(each.__doc__ or '')
        for block in re.findall(r'^(?:Attributes|Args):\n((?:(?: {4}.*)?\n?)*)', text, re.M):
            for name, words in re.findall(r'^ {4}(\w+): ((?:.|\n {8})*)', block, re.M):
                said[name] = ' '.join(words.split())
    return said


def _nested(kind: type) -> list[type]:
    """Returns a dataclass and those in its fields, however deep, each once."""
    found = [kind]
    for hint in typing.get_type_hints(kind).values():
        for inner in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(inner) and inner not in found:
                found += [
                    each for each in _nested(typing.cast('type', inner)) if each not in found
                ]
    return found


def _summary(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or '').partition('\n\n')[0].replace('\n', ' ')


def _table(rows: Sequence[Sequence[str]]) -> str:
    return _markdown(('name', 'type', 'default', 'meaning'), rows)


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ['---'] * len(heads), *rows]
    return '\n'.join(f'| {" | ".join(map(_cell, line))} |' for line in lines)


def _cell(text: str) -> str:
    return ' '.join(text.split()).replace('|', r'\|')


def _code(value: object) -> str:
    text = str(value)
    return f'`{text}`' if text and len(text) < 100 else ('`""`' if value == '' else '')


def _joined(parts: Sequence[str]) -> str:
    return '\n\n'.join(parts) + '\n'


PAGES = {
    'commands.md': commands_page,
    'parameters.md': parameters_page,
    'launch.md': launch_page,
    'topics.md': topics_page,
    'manifest.md': manifest_page,
    'recipes.md': recipes_page,
    'report.md': report_page,
    'arms.md': arms_page,
}
"""Name of a page -> what makes its Markdown."""
