# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The commands of the tutorial new_site.md do what it says; encoders.md says what a swap is."""

import importlib.util
import json

import pytest
import torch
from camera_bags import write_bag
from doc_pages import ROOT, blocks
from policies import tiny_policy
from test_encoder_swap import keep_encoder

from ros2_gridsampler.command_line import main
from ros2_gridsampler.encoders.encoder_checkpoint import load_encoder_manifest
from ros2_gridsampler.encoders.probe_scores import read_scores
from ros2_gridsampler.files import find
from ros2_gridsampler.policy.checkpoint import load_checkpoint, save_checkpoint
from ros2_gridsampler.policy.encoder import Encoder

PAGE = ' '.join((ROOT / 'docs' / 'howto' / 'encoders.md').read_text().split())


def tutorial(number=0):
    """The commands of a block of the tutorial, split into words."""
    mine = 'test/test_docs_encoders.py'
    run = [block for block in blocks('docs/tutorials/new_site.md') if block.run_by == mine]
    return run[number].commands


def test_the_tutorial_adapts_verifies_and_lists_an_encoder(tmp_path, capsys):
    pytest.importorskip('lightning_fabric')
    policy = tiny_policy(sample_after=3)
    save_checkpoint(policy, tmp_path / 'policy', training={}, results={})
    torch.manual_seed(5)
    keep_encoder(Encoder(policy.config.encoder), tmp_path / 'encoder')
    for number in range(2):
        write_bag(tmp_path / 'bags' / f'bag{number}', number)
    names = {
        'POLICY': str(tmp_path / 'policy'),
        'ENCODER': str(tmp_path / 'encoder'),
        'BAGS': str(tmp_path / 'bags'),
        'ENCODERS': str(tmp_path / 'encoders'),
        'ENCODERS/site_b': str(tmp_path / 'encoders' / 'site_b'),
    }
    commands = [[names.get(word, word) for word in words] for words in tutorial()]
    commands[0] += ['--steps', '3']
    assert [words[1] for words in commands] == ['adapt', 'encoders', 'encoders', 'encoders']
    # The last one serves until it is stopped; test_encoder_server has it.
    for words in commands[:-1]:
        assert words[0] == 'gridsampler'
        main(words[1:])
    said = capsys.readouterr().out
    assert 'features after' in said
    assert 'all checks passed' in said
    assert 'mi_mae_libero' in said


def test_the_table_of_a_card_is_what_the_manifest_beside_it_holds():
    folders = [path.parent for path in sorted(ROOT.glob('models/encoders/*/manifest.json'))]
    assert folders
    for folder in folders:
        scores = read_scores(load_encoder_manifest(folder))
        rows = [line for line in (folder / 'README.md').read_text().splitlines() if ' to ' in line]
        assert [row for row in rows if row.startswith('| ')] == [
            f'| {score.probe}, {score.features} | {score.value:.2f} {score.unit} | '
            f'{score.interval[0]:.2f} to {score.interval[1]:.2f} | {score.samples} |'
            for score in scores
        ]


def test_the_command_of_the_cards_shows_both_encoders_in_one_table(capsys):
    mine = 'test/test_docs_encoders.py'
    (block,) = [block for block in blocks('models/encoders/README.md') if block.run_by == mine]
    ((program, *words),) = block.commands
    assert program == 'gridsampler'
    main(words)
    said = capsys.readouterr().out
    assert ' mae_libero ' in said.partition('read linearly')[2]
    assert ' mi_mae_libero ' in said.partition('read linearly')[2]


class LiveTutorial:
    """The commands for a running node, by the services and topics that they stand for."""

    def __init__(self, watcher, start_node, encoders, node):
        from std_msgs.msg import String

        from ros2_gridsampler.nodes.topics import LATCHED

        self.watcher, self.start_node, self.encoders, self.node = (
            watcher,
            start_node,
            encoders,
            node,
        )
        self.said = watcher.collect(String, '/policy_node/encoder', LATCHED)

    def do(self, words):
        """Obey `ros2 ...`."""
        verb = '_'.join(words[1:3])
        getattr(self, verb)(*(word.replace('ENCODERS', str(self.encoders)) for word in words[3:]))

    def param_set(self, node, name, value):
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        message = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[message])
        service = f'{node}/set_parameters'
        result = self.watcher.call(SetParameters, service, request, self.node).results[0]
        assert result.successful, result.reason

    def launch_ros2_gridsampler(self, file, folder):
        module = f'ros2_gridsampler.nodes.{file.partition(".")[0]}_node'
        self.start_node(module, folder=folder.removeprefix('folder:='))

    def topic_echo(self, topic):
        assert topic == '/policy_node/encoder'
        assert json.loads(self.said[-1].data)['outcome'] == 'accepted'

    def service_call(self, service, kind):
        from std_srvs.srv import Trigger

        assert kind == 'std_srvs/srv/Trigger'
        answer = self.watcher.call(Trigger, service, Trigger.Request(), self.node)
        assert answer.success, answer.message

    def settles(self, encoder, outcome):
        """Wait until that encoder is in use, for that reason."""

        def settled():
            about = json.loads(self.said[-1].data) if self.said else {}
            done = about.get('outcome') == outcome and about['state'] == 'idle'
            return done and encoder in about['encoder']

        self.watcher.until(settled, self.node, 400.0)


@pytest.mark.skipif(
    importlib.util.find_spec('libero') is None,
    reason='LIBERO is not installed; pip install .[sim]',
)
@pytest.mark.timeout(1800)
def test_the_tutorial_swaps_serves_and_rolls_back_while_the_simulated_arm_is_driven(
    watcher, start_node, tmp_path, monkeypatch
):
    from geometry_msgs.msg import TwistStamped
    from ros_watcher import ALL

    policy, manifest = load_checkpoint(find('models', 'libero_spatial'))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in policy.encoder.parameters():
            parameter.mul_(1 + 1e-4 * torch.randn_like(parameter))
    measured = {'policies': [{'policy_sha256': manifest.weights_sha256}]}
    keep_encoder(policy.encoder, tmp_path / 'encoders' / 'site_b', measured)
    monkeypatch.setenv('LP_NUM_THREADS', '1')
    arm = start_node(
        'ros2_gridsampler.nodes.simulated_arm_node', tasks='[0]', episodes_per_task=100
    )
    topics = ('instruction:=/instruction', 'twist_command:=/arm/twist_command')
    cameras = [f'/{name}/image_raw/compressed' for name in ('agentview', 'wrist')]
    node = start_node(
        'ros2_gridsampler.nodes.policy_node',
        *(word for topic in topics for word in ('-r', f'~/{topic}')),
        policy='libero_spatial',
        arm='panda',
        camera_topics=f'[{", ".join(cameras)}]',
        encoder_server='/encoder_server',
        swap__store=tmp_path / 'store',
        # The machine of a test is busy, and may be slow for a while.
        swap__max_latency_ratio=1000.0,
        swap__max_latency=100.0,
        swap__trial_time=0.5,
        swap__max_more_interventions=10.0,
    )
    twists = watcher.collect(TwistStamped, '/arm/twist_command', ALL)
    live = LiveTutorial(watcher, start_node, tmp_path / 'encoders', node)
    watcher.until(lambda: len(twists) > 20 and live.said, node, 400.0)
    swap, launch, activate, echo, roll_back = tutorial(1)
    live.do(swap)
    live.settles('encoders/site_b', 'accepted')
    live.do(launch)
    live.settles('own', 'accepted')
    live.do(activate)
    live.settles(str(tmp_path / 'store'), 'accepted')
    live.do(echo)
    live.do(roll_back)
    live.settles('own', 'rolled back')
    assert 'Traceback' not in node.text
    assert node.end() == 0
    assert arm.end() == 0


def test_the_page_names_the_defaults_of_an_adaptation_as_they_are():
    from ros2_gridsampler.training.adapt_config import AdaptConfig

    config = AdaptConfig()
    for name in ('held_out', 'check_every', 'patience', 'steps', 'cloning_steps'):
        assert f'`--{name.replace("_", "-")}` ({getattr(config, name):g})' in PAGE, name


def test_the_page_names_the_thresholds_as_they_are():
    from ros2_gridsampler.encoders.swap_config import SwapConfig

    config = SwapConfig()
    for name in (
        'shadow_observations',
        'min_cosine',
        'max_deviation',
        'max_latency_ratio',
        'max_latency',
        'trial_time',
        'trial_commands',
        'max_more_interventions',
    ):
        place = PAGE.partition(f'`swap.{name}`')[2]
        assert place, f'{name} is not on the page'
        assert place.startswith(f' ({getattr(config, name):g}'), name
