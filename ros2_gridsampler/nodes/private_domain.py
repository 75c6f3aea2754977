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
    """Set the ROS variables of this process's environment; before anything of ROS begins.

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
        os.environ['ROS_DOMAIN_ID'] = str(domain)
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
        prepare_process()
        yield domain
