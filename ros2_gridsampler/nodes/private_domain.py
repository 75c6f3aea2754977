# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""This process and its children -> a ROS domain that no other machine or run sees."""

import contextlib
import os
import random
from collections.abc import Iterator

from .node_setup import prepare_process


@contextlib.contextmanager
def private_domain(shared: bool = False) -> Iterator[int]:
    """Sets the ROS variables of this process's environment, before anything of ROS begins.

    Afterwards the domain is free for others, so the variables are what they were.

    Args:
        shared: Stay in the domain that is set already, to meet nodes that run there.

    Yields:
        The domain.
    """
    if shared:
        prepare_process()
        yield int(os.environ.get('ROS_DOMAIN_ID', '0'))
        return
    with contextlib.ExitStack() as stack:
        try:
            from domain_coordinator import domain_id
        except ImportError:
            domain = random.randint(1, 100)  # noqa: S311 - not a secret
        else:
            claim = domain_id()
            domain = claim.__enter__()
            # It would break at an exception, so it is not told of one.
            stack.callback(claim.__exit__, None, None, None)
        variables = {'ROS_DOMAIN_ID': str(domain), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
        stack.callback(_restore, {name: os.environ.get(name) for name in variables})
        os.environ.update(variables)
        prepare_process()
        yield domain


def _restore(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
