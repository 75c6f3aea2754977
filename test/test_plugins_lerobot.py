# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""GridS in lerobot's policies, and those policies as ours: an observation becomes a chunk."""

import copy
import dataclasses
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

os.environ.setdefault('HF_HUB_OFFLINE', '1')
pytest.importorskip(
    'lerobot', reason="lerobot is not installed; on Python 3.12: pip install '.[lerobot]'"
)
import lerobot_policies as small
from elsewhere import META, PLACES, elsewhere, moved

from ros2_gridsampler.policy.manifest import BadCheckpoint
from ros2_gridsampler.policy.point_locator import cell_centres
from ros2_gridsampler.seeing.observation import Observation
from ros2_gridsampler.vla.lerobot import SamplerPlan, attach
from ros2_gridsampler.vla.lerobot_checkpoint import (
    ROBOT,
    load_model_folder,
    save_model_folder,
)
from ros2_gridsampler.vla.lerobot_config import golden_observation
from ros2_gridsampler.vla.lerobot_policy import LerobotPolicy, adopt, load_lerobot_policy
from ros2_gridsampler.vla.robot import Units, state_vector
from ros2_gridsampler.vla.sequence_sampler import read_at

pytestmark = pytest.mark.filterwarnings('ignore')
# Tokens of a dense picture: 128x128 in windows of 32 px; 96x128 at stride 32.
PANDA = Path(__file__).parents[1] / 'calibration/panda.yaml'
DENSE = {'smolvla': (4, 4), 'act': (3, 4)}
PLANS = [
    ('smolvla', SamplerPlan(2)),
    ('smolvla', SamplerPlan(2, per_camera=True)),
    ('smolvla', SamplerPlan(2, after=1)),
    ('act', SamplerPlan(2)),
    ('act', SamplerPlan(2, per_camera=True)),
]


@pytest.fixture(scope='module')
def vlm(tmp_path_factory):
    return small.language_model(tmp_path_factory.mktemp('vlm'))


def chunk(policy):
    noise = {} if policy.config.type == 'act' else {'noise': torch.ones(2, small.STEPS, 8)}
    return policy.predict_action_chunk(small.batch(), **noise)


def samplers(policy):
    from ros2_gridsampler.policy.grid_sampler import GridSampler

    return [module for module in policy.modules() if isinstance(module, GridSampler)]


@pytest.mark.parametrize(('kind', 'plan'), PLANS)
def test_reading_every_cell_is_the_dense_policy(kind, plan, vlm):
    policy = small.policy(kind, vlm)
    expected = chunk(policy)
    rows, columns = DENSE[kind]
    attach(policy, dataclasses.replace(plan, tokens=rows * columns))
    for sampler in samplers(policy):
        read_at(sampler, cell_centres(rows, columns))
    torch.testing.assert_close(chunk(policy), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(('kind', 'plan'), PLANS)
def test_the_loss_of_the_host_reaches_every_point_predictor(kind, plan, vlm):
    policy = small.policy(kind, vlm)
    seen = attach(policy, plan)
    assert chunk(policy).shape == (2, small.STEPS, 7)
    assert [points.shape for points in seen.take()] == [(2, 2, 2)] * 2
    policy.train()
    loss, _ = policy.forward(small.batch())
    loss.backward()
    found = samplers(policy)
    assert len(found) == (2 if plan.per_camera else 1)
    for sampler in found:
        assert all(p.grad.abs().sum() > 0 for p in sampler.predict.parameters())
    names = {name for name, _ in policy.named_parameters()}
    assert sum('predict.0.weight' in name for name in names) == len(found)


def test_cameras_with_samplers_of_their_own_look_at_different_places(vlm):
    for kind in DENSE:
        policy = small.policy(kind, vlm)
        seen = attach(policy, SamplerPlan(1, per_camera=True))
        first, second = samplers(policy)
        read_at(first, torch.tensor([[0.2, 0.3]]))
        read_at(second, torch.tensor([[0.7, 0.8]]))
        for _ in range(2):
            chunk(policy)
            one, two = seen.take()
            torch.testing.assert_close(one[0], torch.tensor([[0.2, 0.3]]))
            torch.testing.assert_close(two[0], torch.tensor([[0.7, 0.8]]))


def test_act_is_told_where_a_token_was_read_and_not_its_number():
    policy = small.policy('act')
    policy.model.backbone.register_forward_hook(
        # The same feature everywhere: only the places can tell the tokens apart.
        lambda module, args, output: {'feature_map': torch.ones_like(output['feature_map'])}
    )
    attach(policy, SamplerPlan(2))
    (sampler,) = samplers(policy)
    pictures = {name: torch.zeros(1, 3, 96, 128) for name in small.CAMERAS.values()}
    inputs = {**pictures, 'observation.state': torch.zeros(1, small.STATE)}
    read_at(sampler, torch.tensor([[0.1, 0.1], [0.9, 0.9]]))
    one = policy.predict_action_chunk(dict(inputs))
    read_at(sampler, torch.tensor([[0.9, 0.9], [0.1, 0.1]]))
    swapped = policy.predict_action_chunk(dict(inputs))
    torch.testing.assert_close(one, swapped, atol=1e-5, rtol=1e-4)
    read_at(sampler, torch.tensor([[0.1, 0.9], [0.9, 0.1]]))
    assert not torch.allclose(one, policy.predict_action_chunk(dict(inputs)), atol=1e-5)


def test_a_copy_of_an_attached_policy_reads_with_its_own_samplers(vlm):
    for kind in DENSE:
        policy = small.policy(kind, vlm)
        attach(policy, SamplerPlan(2))
        before, twin = chunk(policy), copy.deepcopy(policy)
        for sampler in samplers(twin):
            read_at(sampler, torch.tensor([[0.9, 0.0], [0.1, 1.0]]))
        assert torch.equal(chunk(policy), before)
        assert not torch.equal(chunk(twin), before)


def test_plans_that_cannot_be_attached_are_refused(vlm):
    policy = small.policy('act')
    with pytest.raises(ValueError, match='no blocks to sample in'):
        attach(policy, SamplerPlan(2, after=1))
    attach(policy, SamplerPlan(2))
    with pytest.raises(ValueError, match='has reducers already'):
        attach(policy, SamplerPlan(2))
    with pytest.raises(ValueError, match='one reducer for all cameras'):
        SamplerPlan(2, after=1, per_camera=True)


def test_pi0_with_its_real_sizes_takes_the_samplers():
    from lerobot.policies.pi0.configuration_pi0 import PI0Config
    from lerobot.policies.pi0.modeling_pi0 import PI0Policy

    config = PI0Config(**small.features(7), device='cpu')
    config.device = 'meta'
    # Without memory: the 4 billion parameters are only shapes.
    with torch.device('meta'):
        policy = PI0Policy(config)
        images = [torch.empty(1, 3, 224, 224)] * 2
        seen_by = [torch.empty(1, dtype=torch.bool)] * 2
        words = torch.empty(1, 8, dtype=torch.long), torch.empty(1, 8, dtype=torch.bool)
        assert policy.model.embed_prefix(images, seen_by, *words)[0].shape == (1, 520, 2048)
        # A reducer that needs no autocast, which meta tensors do not have.
        for after in (None, 9):
            plan = SamplerPlan(16, after, reducer='constant_points')
            attached = PI0Policy(config)
            seen = attach(attached, plan)
            embedded = attached.model.embed_prefix(images, seen_by, *words)[0]
            assert embedded.shape == (1, 2 * 16 + 8, 2048)
            assert [points.shape for points in seen.take()] == [(1, 16, 2)] * 2


def folder_of(kind, vlm, path, plan=None):
    own = small.policy(kind, vlm)
    seen = None if plan is None else attach(own, plan)
    save_model_folder(small.model(kind, vlm, plan, seen, own), path)
    return path


@pytest.mark.parametrize(('kind', 'plan'), [*PLANS, ('smolvla', None), ('act', None)])
def test_a_folder_gives_the_same_policy_back_with_its_samplers(kind, plan, vlm, tmp_path):
    folder = folder_of(kind, vlm, tmp_path, plan)
    one, other = (load_model_folder(folder, '') for _ in range(2))
    assert one.plan == plan
    assert len(samplers(one.policy)) == (0 if plan is None else 1 + plan.per_camera)
    assert torch.equal(chunk(one.policy), chunk(other.policy))
    one.seen and one.seen.take()


@pytest.mark.parametrize(('kind', 'plan'), [('smolvla', SamplerPlan(2)), ('act', None)])
def test_an_observation_becomes_a_chunk_in_physical_units(kind, plan, vlm, tmp_path):
    folder = folder_of(kind, vlm, tmp_path, plan)
    language = str(vlm) if kind == 'smolvla' else ''
    robot = dataclasses.replace(
        small.robot(language), action=Units((2.0,) * 7, (0.0,) * 6 + (0.5,))
    )
    adopt(folder, robot)
    policy, adoption = load_lerobot_policy(folder)
    assert adoption.robot == robot
    golden = dataclasses.replace(golden_observation(policy.config), time=7.5)
    one, two = policy.predict(golden), policy.predict(golden)
    assert np.array_equal(one.chunk.targets, two.chunk.targets), 'replay would not equal live'
    assert one.chunk.start_time == 7.5
    assert one.chunk.period == 0.05
    assert one.chunk.targets.shape == (small.STEPS, 7)
    count = 0 if plan is None else 2
    assert all(points.shape == (count, 2) for points in one.points.values())
    rows, columns = DENSE[kind]
    assert policy.config.dense_tokens == rows * columns
    assert policy.config.tokens == (rows * columns if plan is None else 2)
    plain = dataclasses.replace(policy.config.robot, action=Units.same(7))
    policy.config = dataclasses.replace(policy.config, robot=plain)
    numbers = policy.predict(golden).chunk.targets
    np.testing.assert_allclose(one.chunk.targets[:, :6], 2 * numbers[:, :6], atol=1e-6)
    np.testing.assert_allclose(one.chunk.targets[:, 6], 2 * numbers[:, 6] + 0.5, atol=1e-6)


def test_every_input_reaches_the_action(vlm, tmp_path):
    policy = adopt(folder_of('smolvla', vlm, tmp_path), small.robot(str(vlm)))
    golden = golden_observation(policy.config)
    expected = policy.predict(golden).chunk.targets
    dark = {**golden.images, 'wrist': golden.images['wrist'] // 3}
    for change in (
        {'images': dark},
        {'joints': golden.joints + 0.2},
        {'instruction': 'pick up the bowl'},
    ):
        changed = policy.predict(dataclasses.replace(golden, **change)).chunk.targets
        assert not np.array_equal(changed, expected), f'{list(change)} has no influence'


def test_the_state_is_normalised_by_the_statistics_of_the_dataset(vlm, tmp_path):
    robot = dataclasses.replace(
        small.robot(), state=Units.same(3, math.pi / 180), action=Units.same(7)
    )
    policy = adopt(folder_of('act', None, tmp_path), robot)
    golden = golden_observation(policy.config)
    degrees = dataclasses.replace(golden, joints=np.radians([10.0, 20.0, 30.0]))
    state = policy.features(degrees)['observation.state']
    np.testing.assert_allclose(state, [10, 20, 30], rtol=1e-6)


def test_a_folder_without_a_robot_or_with_a_changed_file_is_refused(vlm, tmp_path):
    folder = folder_of('act', None, tmp_path)
    with pytest.raises(BadCheckpoint, match='joints, units and period are unknown'):
        load_lerobot_policy(folder)
    adopt(folder, small.robot())
    config = folder / 'config.json'
    text = config.read_text()
    config.write_text(text.replace('"n_heads": 2', '"n_heads": 4'))
    with pytest.raises(BadCheckpoint, match=r'config.json is not the file that robot.json'):
        load_lerobot_policy(folder)
    config.write_text(text)
    load_lerobot_policy(folder)
    (folder / ROBOT).write_text((folder / ROBOT).read_text().replace('"period": 0.05', '"p": 1'))
    with pytest.raises(BadCheckpoint, match='period'):
        load_lerobot_policy(folder)


def test_a_robot_that_does_not_fit_the_policy_is_refused(tmp_path):
    folder = folder_of('act', None, tmp_path)
    robot = small.robot()
    two = {'joints': ('finger', 'thumb'), 'state': Units.same(2)}
    with pytest.raises(BadCheckpoint, match='reads 3 numbers of state'):
        adopt(folder, dataclasses.replace(robot, **two))
    with pytest.raises(BadCheckpoint, match='name a camera for each'):
        adopt(folder, dataclasses.replace(robot, cameras={'front': small.CAMERAS['front']}))
    with pytest.raises(ValueError, match='units for 3'):
        dataclasses.replace(robot, uses_pose=True)
    assert not (folder / ROBOT).exists()


def test_a_processor_that_lerobot_does_not_know_is_not_imported(tmp_path):
    folder = folder_of('act', None, tmp_path)
    path = folder / 'policy_preprocessor.json'
    path.write_text(
        path.read_text().replace('"registry_name": "device_processor"', '"class": "os"')
    )
    with pytest.raises(BadCheckpoint, match='not one of lerobot itself'):
        load_model_folder(folder, '')


def test_weights_without_their_reducers_are_refused(vlm, tmp_path):
    folder = folder_of('act', None, tmp_path, SamplerPlan(2))
    (folder / 'reducers.json').unlink()
    with pytest.raises(BadCheckpoint, match=r'reducers.json, which says how, is not beside it'):
        load_model_folder(folder, '')


def test_a_rotation_enters_the_state_as_axis_times_angle():
    half = math.pi / 6
    for sign in (1, -1):
        quaternion = sign * np.array([0, 0, math.sin(half), math.cos(half)])
        pose = np.array([1, 2, 3, *quaternion])
        state = state_vector(Observation({}, np.array([9.0]), pose, 'x', 0.0))
        np.testing.assert_allclose(state, [1, 2, 3, 0, 0, math.pi / 3, 9], atol=1e-12)


def test_points_are_told_in_the_picture_without_its_padding(vlm, tmp_path):
    # 128x96 is shown as 128x128 with 32 rows above it.
    policy = adopt(folder_of('smolvla', vlm, tmp_path, SamplerPlan(2)), small.robot(str(vlm)))
    (sampler,) = samplers(policy._model.policy)
    read_at(sampler, torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    points = policy.predict(golden_observation(policy.config)).points['front']
    # Windows of 32 px: the first centre is 16 px into the padding, the last 16 px from the end.
    np.testing.assert_allclose(points[0], [15.5 / 127, 0], atol=1e-6)
    np.testing.assert_allclose(points[1], [111.5 / 127, 79.5 / 95], atol=1e-6)


def look_into_no_mask(monkeypatch):
    """transformers looks whether a mask hides nothing, which has no answer without values."""
    monkeypatch.setattr(
        'transformers.masking_utils._ignore_bidirectional_mask_sdpa', lambda *given: True
    )


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize(('kind', 'plan'), [*PLANS, ('smolvla', None), ('act', None)])
def test_every_policy_computes_and_learns_on_another_device(kind, plan, vlm, place, monkeypatch):
    def make():
        policy = small.policy(kind, vlm)
        if plan is not None:
            attach(policy, plan)
        return policy

    # lerobot reads its losses for the log, and these have no values.
    monkeypatch.setattr(torch.Tensor, 'item', lambda tensor: 0.0)
    look_into_no_mask(monkeypatch)
    with elsewhere(place) as device:
        policy = moved(make, device)
        inputs = {
            name: value.to(device) if isinstance(value, torch.Tensor) else value
            for name, value in small.batch().items()
        }
        noise = {} if kind == 'act' else {'noise': torch.ones(2, small.STEPS, 8, device=device)}
        chunk = policy.predict_action_chunk(dict(inputs), **noise)
        assert chunk.device == device
        assert chunk.shape == (2, small.STEPS, 7)
        # lerobot draws times by a distribution that looks at its values.
        times = {'time': torch.full((2,), 0.5, device=device)} if noise else {}
        assert policy.train().forward(inputs, **noise, **times)[0].device == device


@pytest.mark.parametrize(('kind', 'plan'), [('smolvla', SamplerPlan(2)), ('act', None)])
def test_an_observation_goes_to_the_device_and_only_the_chunk_comes_back(
    kind, plan, vlm, monkeypatch
):
    look_into_no_mask(monkeypatch)
    meta = torch.device('meta')
    own = small.policy(kind, vlm)
    seen = None if plan is None else attach(own, plan)
    model = small.model(kind, vlm, plan, seen, own)
    policy = LerobotPolicy(model.to(meta), small.robot(str(vlm) if kind == 'smolvla' else ''))
    with (
        pytest.raises(NotImplementedError, match='Cannot copy out of meta') as caught,
        elsewhere(META),
    ):
        policy.predict(golden_observation(policy.config))
    # Bringing actions to the CPU is the last step of lerobot's postprocessor.
    assert any(entry.name == '_process_tensor' for entry in caught.traceback)
    assert any('postprocess' in str(entry.statement) for entry in caught.traceback)


def test_a_saved_folder_does_not_remember_where_it_was_computed(tmp_path):
    model = small.model('act')
    expected = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    model.policy.config.device = 'cuda:1'
    for step in model.preprocess.steps:
        if type(step).__name__ == 'DeviceProcessorStep':
            step.device = 'cuda'
    save_model_folder(model, tmp_path)
    for name in ('config.json', 'policy_preprocessor.json', 'policy_postprocessor.json'):
        assert 'cuda' not in (tmp_path / name).read_text()
    again = load_model_folder(tmp_path, '')
    assert all(torch.equal(t, expected[n]) for n, t in again.policy.state_dict().items())


JOINTS = (*tuple(f'panda_finger_joint{i}' for i in (1, 2)), 'panda_joint2')


def simulated_robot(vlm):
    return dataclasses.replace(
        small.robot(str(vlm)),
        cameras={'agentview': small.CAMERAS['front'], 'wrist': small.CAMERAS['wrist']},
        joints=JOINTS,
        action=Units.same(7, 0.02),
    )


@pytest.mark.parametrize(('kind', 'plan'), [('smolvla', SamplerPlan(2, after=1)), ('act', None)])
def test_a_recording_of_the_simulated_arm_becomes_admissible_commands(kind, plan, vlm, tmp_path):
    from test_bag_reader import TOPICS, state, write

    from ros2_gridsampler.acting.arm_limits import load_arm
    from ros2_gridsampler.acting.chunk_schedule import ScheduleConfig
    from ros2_gridsampler.acting.controller import Controller
    from ros2_gridsampler.bags.observation_replay import read_observations
    from ros2_gridsampler.seeing.observation_buffer import ObservationBuffer
    from ros2_gridsampler.seeing.stream_health import StreamBudget
    from ros2_gridsampler.vla.deployed_policy import load_policy

    adopt(folder_of(kind, vlm, tmp_path / 'policy', plan), simulated_robot(vlm))
    deployed = load_policy(tmp_path / 'policy', 'eager', lambda own: own)
    bag = write(tmp_path / 'bag', steps=4)
    buffer = ObservationBuffer(deployed.config.observation, StreamBudget())
    observations = list(read_observations(bag, TOPICS, buffer))
    assert len(observations) == 4
    panda = load_arm(PANDA)
    controller = Controller(deployed.config.action_space, panda, ScheduleConfig(), 1.0)
    for observation in observations:
        chunk_found = deployed.backend.predict(observation).chunk
        assert chunk_found.start_time == observation.time
        now = observation.time + 0.02
        controller.measure(np.append(state(0).pose[:3], 0.04), now, now)
        controller.add(chunk_found, now)
        command = controller.command(now, 0.02)
        assert np.isfinite(command.values).all()
        assert not command.holding
    assert deployed.about['dense tokens per camera'] == math.prod(DENSE[kind])


def recipe(plan, steps, rank=0):
    from test_bag_reader import TOPICS

    from ros2_gridsampler.datasets.episodes import ActionTopics
    from ros2_gridsampler.simulation import arm_messages
    from ros2_gridsampler.training.fine_tune import FineTuneConfig

    return FineTuneConfig(
        dataclasses.replace(TOPICS, pose=''),
        ActionTopics(arm_messages.EXPERT_TWIST, arm_messages.EXPERT_GRIPPER),
        plan,
        rank,
        steps=steps,
        batch=4,
        learning_rate=3e-3,
        warm_up=2,
        held_out=0.5,
    )


@pytest.fixture
def demonstrations(tmp_path):
    """Two recordings with what the arm should have been told."""
    from test_bag_reader import state

    from ros2_gridsampler.bags.bag_writer import BagWriter, build
    from ros2_gridsampler.simulation import arm_messages

    for episode in range(2):
        with BagWriter(tmp_path / f'bags/{episode}') as writer:
            sentence = build('std_msgs/msg/String', data='pick up the bowl')
            writer.write('/instruction', sentence, 1.0, latched=True)
            for index in range(12):
                time = 1 + 0.05 * index
                twist = np.array([0.1, 0.02 * index, 0, 0, 0, 0])
                labels = arm_messages.command_messages(
                    twist,
                    0.04,
                    time,
                    twist_topic=arm_messages.EXPERT_TWIST,
                    gripper_topic=arm_messages.EXPERT_GRIPPER,
                )
                streams = arm_messages.state_messages(state(index), time, compressed=False)
                for topic, message in (*streams, *labels):
                    writer.write(topic, message, time)
    return [tmp_path / 'bags/0', tmp_path / 'bags/1']


@pytest.mark.parametrize(
    ('kind', 'plan', 'rank'),
    [
        ('smolvla', SamplerPlan(2), 2),
        ('smolvla', SamplerPlan(2, after=1), 0),
        ('act', SamplerPlan(2), 0),
    ],
)
def test_a_base_is_fine_tuned_on_bags_and_comes_out_as_a_policy(
    kind, plan, rank, vlm, tmp_path, demonstrations
):
    from ros2_gridsampler.training.fine_tune import fine_tune
    from ros2_gridsampler.vla.lerobot_policy import load_lerobot_policy

    base = folder_of(kind, vlm, tmp_path / 'base')
    adopt(base, simulated_robot(vlm))
    before = dict(load_model_folder(base, '').policy.named_parameters())
    out = tmp_path / 'run'
    fine_tune(base, recipe(plan, 12, rank), demonstrations, out, tmp_path / 'cache')
    lines = [json.loads(line) for line in (out / 'log.jsonl').read_text().splitlines()]
    losses = [line['loss'] for line in lines]
    assert len(losses) == 12
    assert np.isfinite(losses).all()
    policy, adoption = load_lerobot_policy(out / 'policy')
    assert policy._model.plan == plan
    assert adoption.robot.joints == JOINTS
    after = dict(policy._model.policy.named_parameters())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    if rank:
        assert moved
        assert all('lm_expert' in name or '_proj' in name or '_mlp_' in name for name in moved)
    else:
        assert any('action' in name for name in moved)
    sampler = samplers(policy._model.policy)[0]
    assert sampler.coordinate_embedding[-1].weight.abs().sum() > 0, 'the reducer did not learn'
    # The statistics are those of the bags: the gripper never moved, x always by 0.1 m/s.
    chunk_found = policy.predict(golden_observation(policy.config)).chunk
    assert np.isfinite(chunk_found.targets).all()


def test_a_fine_tuning_run_that_was_stopped_goes_on_to_the_same_losses(
    tmp_path, demonstrations, monkeypatch
):
    from ros2_gridsampler.training.fine_tune import FineTuning, fine_tune

    base = folder_of('act', None, tmp_path / 'base')
    adopt(base, simulated_robot(''))
    config = dataclasses.replace(recipe(SamplerPlan(2), 8), save_every=4)
    fine_tune(base, config, demonstrations, tmp_path / 'once', tmp_path / 'cache')

    class PowerCut(Exception):
        pass

    step = FineTuning.step

    def cut(run, given):
        if run.state.step == 4:
            raise PowerCut
        return step(run, given)

    with monkeypatch.context() as patch:
        patch.setattr(FineTuning, 'step', cut)
        with pytest.raises(PowerCut):
            fine_tune(base, config, demonstrations, tmp_path / 'twice', tmp_path / 'cache')
    fine_tune(base, config, demonstrations, tmp_path / 'twice', tmp_path / 'cache')
    once, twice = ((tmp_path / name / 'log.jsonl').read_text() for name in ('once', 'twice'))
    assert once == twice
    other = folder_of('act', None, tmp_path / 'other', SamplerPlan(2))
    adopt(other, simulated_robot(''))
    with pytest.raises(ValueError, match=r'another recipe \(base differ\)'):
        fine_tune(other, config, demonstrations, tmp_path / 'twice', tmp_path / 'cache')
