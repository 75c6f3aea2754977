# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters that were given to a node and that it does not have -> a sentence that refuses them.

rclpy ignores them without a word, and the node would run with its defaults.
"""

import difflib
import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from .rclpy_repairs import DECLARED_BY_RCLPY, given_parameters

_PARAMETERS = 'ros__parameters'


def given_value(node: Any, name: str) -> Any:
    """Returns the value that a parameter was given at the start; None where it was given none."""
    given = given_parameters(node).get(name)
    return None if given is None else given.value


def refusal_of_unknown(node: Any, known: Collection[str]) -> str:
    """Returns why what a node was given at the start cannot be meant for it; '' where it can.

    Args:
        node: Any rclpy node.
        known: The parameters that it has.
    """
    unknown = [
        name
        for name in given_parameters(node)
        if name not in known
        and not name.startswith(DECLARED_BY_RCLPY)
        and not node.has_parameter(name)
    ]
    return ' '.join(_refusal(node, name, known) for name in sorted(unknown))


def refusal_of_files(node: Any, arguments: Sequence[str]) -> str:
    """Returns a sentence for a parameter file that holds nothing for a node; '' for none.

    Args:
        node: Any rclpy node.
        arguments: Command line of its process.
    """
    name = node.get_fully_qualified_name()
    for path in _files(arguments):
        # Not constructed: launch writes tags of Python's own types, which rcl passes over.
        content = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
        sections = sorted(set(_sections(content, '')))
        if not any(_applies(section, name) for section in sections):
            return (
                f'{path} holds parameters of {sections}, and this node is {name!r}: none of them '
                f"is for it. Write {name!r} or '/**' in front of {_PARAMETERS}, or start the node "
                'under the name in the file.'
            )
    return ''


def _refusal(node: Any, name: str, known: Collection[str]) -> str:
    # The name without its group may be right: 'max_age' for 'streams.max_age'.
    last = {candidate.rsplit('.')[-1]: candidate for candidate in known}
    near = [last[name]] if name in last else difflib.get_close_matches(name, known, 1, 0.75)
    near = near or [last[n] for n in difflib.get_close_matches(name.split('.')[-1], last, 1, 0.8)]
    meant = f'did you mean {near[0]!r}?' if near else 'leave it out.'
    given = given_value(node, name)
    return f'{node.get_name()} has no parameter {name!r} (given: {given!r}); {meant}'


def _files(arguments: Sequence[str]) -> Iterator[Path]:
    for option, value in itertools.pairwise(arguments):
        if option == '--params-file':
            yield Path(value)


def _sections(content: yaml.Node | None, prefix: str) -> Iterator[str]:
    """Names of the nodes in a parameter file, absolute; namespaces may be nested."""
    if not isinstance(content, yaml.MappingNode):
        return
    for key, inner in content.value:
        if key.value == _PARAMETERS:
            yield prefix or '/'
        else:
            yield from _sections(inner, f'{prefix}/{str(key.value).strip("/")}')


def _applies(section: str, name: str) -> bool:
    """Whether a section of a parameter file, '*' and '**' among its words, is for a node."""
    pattern = re.escape(section).replace('/\\*\\*', '(/[^/]+)*').replace('\\*', '[^/]+')
    return section == '/**' or re.fullmatch(pattern, name) is not None
