# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The example of an SROS2 policy allows what the nodes do, and no writing beyond it."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from policies import tiny_policy

from ros2_gridsampler.policy.checkpoint import save_checkpoint

POLICIES = Path(__file__).parents[1] / 'security' / 'policies.xml'
PATIENCE = 240.0


def allowed(node, kind, verb):
    """Topics or services of a node, its own name written out."""
    (profile,) = ElementTree.parse(POLICIES).getroot().findall(f".//profile[@node='{node}']")
    return {
        entry.text.replace('~', f'/{node}')
        for group in profile.findall(f"{kind}[@{verb}='ALLOW']")
        for entry in group
    }


def test_only_the_operator_may_set_parameters_and_nobody_but_the_server_may_send_weights():
    root = ElementTree.parse(POLICIES).getroot()
    for profile in root.iter('profile'):
        name = profile.get('node')
        asks = allowed(name, 'services', 'request')
        assert name == 'operator' or not any('set_parameters' in service for service in asks)
        sends = allowed(name, 'topics', 'publish')
        assert name == 'encoder_server' or not {
            '/encoder_server/weights',
            '/encoder_server/manifest',
        } & {topic.replace('~', f'/{name}') for topic in sends}


@pytest.mark.timeout(1200)
def test_the_policies_name_everything_that_the_nodes_do(start_node, watcher, tmp_path):
    from fuzzed_encoders import save_small_encoder

    save_checkpoint(tiny_policy(), tmp_path / 'policy', training={}, results={})
    save_small_encoder(tmp_path / 'served' / 'small')
    server = start_node(
        'ros2_gridsampler.nodes.encoder_server_node', folder=tmp_path / 'served', active='small'
    )
    policy = start_node(
        'ros2_gridsampler.nodes.policy_node',
        policy=tmp_path / 'policy',
        arm='panda',
        camera_topics='[/front/image, /wrist/image]',
        gripper_joints='[finger]',
        encoder_server='/encoder_server',
    )
    watcher.until(lambda: 'Serving' in server.text, server, PATIENCE)
    watcher.until(lambda: 'is ready' in policy.text, policy, PATIENCE)
    node = watcher.node
    for name, process in (('encoder_server', server), ('policy_node', policy)):

        def found(ask, name=name):
            return {entry for entry, _ in ask(name, '/')}

        publishes = watcher.until(
            lambda: found(node.get_publisher_names_and_types_by_node), process, PATIENCE
        )
        watcher.spin(2.0)
        publishes = found(node.get_publisher_names_and_types_by_node)
        assert publishes <= allowed(name, 'topics', 'publish')
        subscribes = found(node.get_subscriber_names_and_types_by_node)
        assert subscribes <= allowed(name, 'topics', 'subscribe')
        serves = found(node.get_service_names_and_types_by_node)
        assert serves <= allowed(name, 'services', 'reply')
        own = {topic for topic in publishes if topic.startswith(f'/{name}/')}
        assert own, 'the graph knows the node'
    assert server.end() == 0
    assert policy.end() == 0
