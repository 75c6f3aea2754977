# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A node -> whether others have its name, and with it its services."""

from typing import Any


def namesakes(node: Any) -> str:
    """A sentence about other nodes of this name; empty where there are none.

    This is a reason to warn, and none to refuse a start: one that was killed and started again
    sees itself, until the middleware forgets the first.
    """
    own = (node.get_name(), node.get_namespace())
    others = node.get_node_names_and_namespaces().count(own) - 1
    if others < 1:
        return ''
    name = node.get_fully_qualified_name()
    return (
        f'{others} other node(s) are called {name} too: they share {name}/stop, topics and '
        'parameters, and whoever calls reaches any of them. Start each arm with its own '
        'namespace or name (launch arguments), or end the others; one that was killed is seen '
        'for about 20 s more.'
    )
