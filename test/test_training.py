# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A run that was stopped goes on to the same losses, and refuses data that does not fit."""

import dataclasses
import json
import shutil
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from ros2_gridsampler.acting.action_chunk import TWIST_NAMES, ActionSpace
from ros2_gridsampler.bags.bag_reader import read_messages
from ros2_gridsampler.bags.bag_writer import BagWriter, build
from ros2_gridsampler.bags.observation_replay import StreamTopics
from ros2_gridsampler.datasets import episodes as episode_files
from ros2_gridsampler.datasets.episodes import ActionTopics, EpisodeConfig, store_episodes
from ros2_gridsampler.encoders.encoder_checkpoint import load_encoder_manifest, save_encoder
from ros2_gridsampler.engines import load
from ros2_gridsampler.policy.checkpoint import load_checkpoint
from ros2_gridsampler.policy.encoder import Encoder
from ros2_gridsampler.policy.instruction import read_instruction
from ros2_gridsampler.policy.manifest import golden_observation
from ros2_gridsampler.policy.policy_config import EncoderConfig, Statistics, TrunkConfig
from ros2_gridsampler.policy.sentence_encoder import encoder_folder
from ros2_gridsampler.seeing.calibration import ImagePreparation
from ros2_gridsampler.seeing.observation import ObservationConfig
from ros2_gridsampler.simulation import arm_messages
from ros2_gridsampler.simulation.arm_messages import EXPERT_GRIPPER, EXPERT_TWIST
from ros2_gridsampler.simulation.arm_state import JOINT_NAMES, ArmState
from ros2_gridsampler.training import train_policy, training_loop
from ros2_gridsampler.training.batches import Batches, held, jitter, load_paraphrases
from ros2_gridsampler.training.new_policy import policy_config
from ros2_gridsampler.training.recipe import TrainConfig, load_recipe
from ros2_gridsampler.training.train_policy import train

SIZE = (32, 32)
CONFIG = TrainConfig(
    EpisodeConfig(
        ObservationConfig(
            {'agentview': ImagePreparation(*SIZE)}, SIZE, ('panda_finger_joint1',), True
        ),
        StreamTopics({'agentview': '/agentview/image_raw'}, pose=arm_messages.POSE),
        ActionTopics(
            arm_messages.EXPERT_TWIST, arm_messages.EXPERT_GRIPPER, arm_messages.LANDMARKS
        ),
        ActionSpace('end_effector_twist', TWIST_NAMES, arm_messages.BASE_FRAME),
        steps=4,
        period=0.05,
    ),
    EncoderConfig(32, 32, patch=8, width=16, depth=1, heads=2, stem=(4,)),
    TrunkConfig(width=16, depth=1, heads=2),
    tokens=1,
    sample_after=1,
    steps=12,
    batch=8,
    warm_up=2,
    save_every=5,
    held_out=0.34,
)


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Three episodes of an arm that follows a bright spot."""
    folder = tmp_path_factory.mktemp('bags')
    for episode in range(3):
        generator = np.random.default_rng(episode)
        with BagWriter(folder / f'episode_{episode}') as writer:
            sentence = build('std_msgs/msg/String', data=f'follow spot {episode % 2}')
            writer.write('/instruction', sentence, 1.0, latched=True)
            for step in range(15):
                time = 1 + 0.05 * step
                x, y = generator.integers(2, 28, 2)
                image = np.zeros((32, 32, 3), np.uint8)
                image[y : y + 3, x : x + 3] = 255
                spot = np.array([x / 32, y / 32, 0.0])
                pose = np.array([0.5, 0, 0.2, 0, 0, 0, 1])
                state = ArmState(
                    {'agentview': image}, JOINT_NAMES, np.zeros(9), np.zeros(9), pose, time
                )
                for topic, message in arm_messages.state_messages(state, time, compressed=False):
                    writer.write(topic, message, time)
                twist = np.concatenate([spot - 0.5, [0, 0, 0.1 * step]])
                for topic, message in arm_messages.command_messages(
                    twist,
                    0.08,
                    time,
                    twist_topic=arm_messages.EXPERT_TWIST,
                    gripper_topic=arm_messages.EXPERT_GRIPPER,
                ):
                    writer.write(topic, message, time)
                marks = arm_messages.landmark_message(spot[None], time)
                writer.write(arm_messages.LANDMARKS, marks, time)
    return sorted(folder.iterdir())


def paraphrased(folder):
    """A file with another way to say each instruction of the episodes."""
    path = folder / 'ways.yaml'
    path.write_text(
        'follow spot 0: [go after the first one]\nfollow spot 1: [go after the next]\n'
    )
    return str(path)


def losses(folder):
    """The logged losses by step."""
    lines = [json.loads(line) for line in (folder / 'log.jsonl').read_text().splitlines()]
    return {line['step']: line for line in lines if 'action' in line}


def test_a_chunk_label_holds_the_actions_from_its_time_on_and_then_a_hold(bags, tmp_path):
    store = store_episodes(bags, CONFIG.episodes, tmp_path)
    assert len(store) == 45
    # Entry 5 counts the steps of the episode.
    np.testing.assert_allclose(store.chunks[4][:, 5], [0.4, 0.5, 0.6, 0.7], atol=1e-6)
    np.testing.assert_allclose(store.chunks[13][:, 5], [1.3, 1.4, 0, 0], atol=1e-6)
    np.testing.assert_allclose(store.chunks[13][:, 6], 0.08)
    np.testing.assert_allclose(
        store.landmarks[4][0], store.chunks[4][0, :3] + 0.5 * (np.arange(3) < 3), atol=1e-6
    )
    assert store.images(np.array([3, 40])).shape == (2, 1, 32, 32, 3)
    again = store_episodes(bags, CONFIG.episodes, tmp_path)
    np.testing.assert_array_equal(again.images(np.array([7])), store.images(np.array([7])))


def test_one_observation_of_a_bag_is_in_memory_at_a_time(bags, tmp_path, monkeypatch):
    read, seen = episode_files.read_observations, []

    def watched(*arguments):
        for observation in read(*arguments):
            # The one before may still be held by the loop that asks for this one.
            assert sum(known() is not None for known in seen) <= 1
            seen.append(weakref.ref(observation))
            yield observation

    monkeypatch.setattr(episode_files, 'read_observations', watched)
    store_episodes(bags, CONFIG.episodes, tmp_path)
    assert len(seen) == 45


def test_a_disk_full_of_samples_is_one_sentence_and_is_read_anew_when_there_is_room(
    bags, tmp_path, full_disk
):
    store_episodes(bags, CONFIG.episodes, tmp_path)
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    (folder / 'samples.npz').unlink()
    full_disk(folder / 'frames.bin')
    with pytest.raises(OSError, match=r'disk of .* is full; free some space, or name .*--cache'):
        store_episodes(bags, CONFIG.episodes, tmp_path)
    (folder / 'frames.bin').unlink()
    assert len(store_episodes(bags, CONFIG.episodes, tmp_path)) == 45


def test_a_full_disk_leaves_the_recipe_of_a_run_as_it_was(bags, tmp_path, full_disk):
    run = tmp_path / 'run'
    train(dataclasses.replace(CONFIG, steps=2), bags, run, tmp_path / 'cache')
    before = (run / 'config.json').read_bytes()
    full_disk(run / 'config.json.partial')
    with pytest.raises(OSError, match='No space left'):
        train(dataclasses.replace(CONFIG, steps=2), bags, run, tmp_path / 'cache')
    assert (run / 'config.json').read_bytes() == before
    (run / 'config.json.partial').unlink()
    train(dataclasses.replace(CONFIG, steps=2), bags, run, tmp_path / 'cache')


def darkened(bag, out):
    """The same bag, its pictures black."""

    def change(messages):
        for topic, message, moment in messages:
            if topic == '/agentview/image_raw':
                message.data = np.zeros_like(message.data)
            yield topic, message, moment

    return rewritten(bag, out, change)


def test_an_episode_without_pictures_is_refused_before_anything_is_kept_or_left_out(
    bags, tmp_path
):
    dark = [*bags, darkened(bags[0], tmp_path / 'dark')]
    config, cache = dataclasses.replace(CONFIG, steps=2), tmp_path / 'cache'
    with pytest.raises(
        ValueError, match=r'In 1 of 4 episodes .*: dark \(/agentview/image_raw: 15'
    ):
        train(config, dark, tmp_path / 'run', cache)
    assert not (tmp_path / 'run/config.json').exists()
    train(config, dark, tmp_path / 'run', cache, 'leave-out')
    record = json.loads((tmp_path / 'run/manifest.json').read_text())['training']
    assert record['bags'] == 3
    assert record['recordings']['left_out'] == record['recordings']['dark_episodes'] == ['dark']
    assert record['recordings']['black'] == 15
    assert json.loads((tmp_path / 'run/bag_health.json').read_text())['choice'] == 'leave-out'


def rewritten(bag, out, change):
    """The same bag, its messages changed on the way."""
    with BagWriter(out) as writer:
        for topic, message, moment in change(
            [(m.topic, m.message, m.time) for m in read_messages(bag)]
        ):
            writer.write(topic, message, moment, latched=topic == '/instruction')
    return out


def test_a_label_that_is_overtaken_keeps_its_time(bags, tmp_path):
    def delay(messages):
        twists = [i for i, message in enumerate(messages) if message[0] == EXPERT_TWIST]
        moved, place = twists[10], twists[14]
        late = (*messages[moved][:2], messages[place][2] + 1e-3)
        yield from messages[:moved]
        yield from messages[moved + 1 : place + 1]
        yield late
        yield from messages[place + 1 :]

    bag = rewritten(bags[0], tmp_path / 'late', delay)
    store = store_episodes([bag], CONFIG.episodes, tmp_path / 'cache')
    whole = store_episodes(bags[:1], CONFIG.episodes, tmp_path / 'cache')
    np.testing.assert_array_equal(store.chunks, whole.chunks)


@pytest.mark.parametrize('hop', [3600, -3600])
def test_labels_whose_clock_was_set_are_refused(bags, tmp_path, hop):
    def set_clock(messages):
        for topic, message, moment in messages:
            if topic == EXPERT_TWIST and abs(moment - 1.2) < 0.01:
                message.header.stamp.sec += hop
            yield topic, message, moment

    bag = rewritten(bags[0], tmp_path / 'hopped', set_clock)
    with pytest.raises(ValueError, match=f'hopped: .* {EXPERT_TWIST} .*a clock was set'):
        store_episodes([bag], CONFIG.episodes, tmp_path / 'cache')


def test_a_landmark_that_is_not_finite_is_refused_with_its_bag(bags, tmp_path):
    def spoil(messages):
        for topic, message, moment in messages:
            if topic == arm_messages.LANDMARKS and moment > 1.2:
                message.poses[0].position.y = float('nan')
            yield topic, message, moment

    bag = rewritten(bags[0], tmp_path / 'spoilt', spoil)
    with pytest.raises(ValueError, match=r'spoilt: .*landmarks.*not finite'):
        store_episodes([bag], CONFIG.episodes, tmp_path / 'cache')


def test_a_bag_that_was_changed_in_place_is_read_again(bags, tmp_path):
    bag = tmp_path / 'bag'
    shutil.copytree(bags[0], bag)
    before = store_episodes([bag], CONFIG.episodes, tmp_path / 'cache')
    time.sleep(0.01)
    for file in bags[1].iterdir():
        (bag / file.name.replace('1', '0')).write_bytes(file.read_bytes())
    metadata = bag / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace('episode_1', 'episode_0'))
    after = store_episodes([bag], CONFIG.episodes, tmp_path / 'cache')
    assert not np.array_equal(before.images(np.arange(9)), after.images(np.arange(9)))


def test_a_training_that_diverges_stops_and_keeps_what_was_saved(bags, tmp_path):
    run = tmp_path / 'run'
    wild = dataclasses.replace(CONFIG, learning_rate=1e30, save_every=1, warm_up=0)
    with pytest.raises(ValueError, match=r'diverged: the gradient of step \d+ is .*learning_rate'):
        train(wild, bags, run, tmp_path / 'cache')
    assert not (run / 'manifest.json').exists()
    saved = load_file(run / 'state.safetensors')
    assert all(torch.isfinite(tensor.float()).all() for tensor in saved.values())


@pytest.mark.parametrize(('name', 'value'), [('steps', 0), ('period', 0.0), ('period', np.nan)])
def test_chunks_without_an_end_are_refused(name, value):
    with pytest.raises(ValueError, match=f'{name} is {value}'):
        dataclasses.replace(CONFIG.episodes, **{name: value})


def test_a_folder_of_a_pretraining_is_left_alone(bags, tmp_path):
    (tmp_path / 'config.yaml').write_text('steps: 3')
    with pytest.raises(ValueError, match='holds a pretraining'):
        train(CONFIG, bags, tmp_path, tmp_path / 'cache')


def test_training_takes_light_from_whole_samples_and_no_more_than_it_was_told():
    images = np.full((400, 2, 8, 8, 3), 200, np.uint8)
    # The rest is the tint, which also changes what is not dimmed.
    tint = 0.1 + 12 / 200 + 0.01
    plain = jitter(images, np.random.default_rng(0), 0.0) / 200
    assert abs(plain - 1).max() < tint
    left = jitter(images, np.random.default_rng(0), 0.7).mean((2, 3, 4)) / 200
    assert left.min() > 0.3 * (1 - tint)
    assert left.min() < 0.4
    assert np.median(left) == pytest.approx(1 - 0.7 / 4, abs=0.05)
    # The cameras of a sample are in one room.
    assert np.corrcoef(left.T)[0, 1] > 0.8
    images[...] = 0
    assert jitter(images, np.random.default_rng(0), 1.0).max() <= 12


@pytest.mark.parametrize(
    ('head', 'reducer'), [('direct', 'grid_sampler'), ('flow', 'random_points')]
)
def test_a_run_that_was_stopped_goes_on_to_the_same_losses(
    bags, tmp_path, monkeypatch, head, reducer
):
    # Validation comes after steps 4 and 8, and the second of them draws numbers.
    config = dataclasses.replace(
        CONFIG, head=head, reducer=reducer, conditioned=reducer == 'grid_sampler', save_every=2
    )
    whole = train(config, bags, tmp_path / 'whole', tmp_path / 'cache')

    class PowerCut(Exception):
        pass

    class Cut:
        """As if the power went after step 5, and the state is that of step 4."""

        calls = 0

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        @property
        def requested(self) -> bool:
            if run_of[0].step == 5:
                raise PowerCut
            return False

    run_of = []
    restored = train_policy.RunState

    class Watched(restored):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            run_of[:] = [self]

    with monkeypatch.context() as patch:
        patch.setattr(train_policy, 'RunState', Watched)
        patch.setattr(training_loop, 'StopRequest', Cut)
        with pytest.raises(PowerCut):
            train(config, bags, tmp_path / 'cut', tmp_path / 'cache')
    resumed = train(config, bags, tmp_path / 'cut', tmp_path / 'cache')
    assert losses(tmp_path / 'cut')[12] == losses(tmp_path / 'whole')[12]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    loaded, manifest = load_checkpoint(tmp_path / 'cut')
    assert manifest.training['instructions'] == ['follow spot 0', 'follow spot 1']
    assert loaded.config.landmarks == 1
    # Spots that jump give nothing that could be found again.
    assert manifest.cameras['agentview'].no_view_because


def test_a_run_of_another_architecture_is_not_gone_on_with(bags, tmp_path):
    train(CONFIG, bags, tmp_path / 'run', tmp_path / 'cache')
    wider = dataclasses.replace(CONFIG, tokens=3)
    with pytest.raises(ValueError, match=r'another recipe \(tokens differ\)'):
        train(wider, bags, tmp_path / 'run', tmp_path / 'cache')
    with pytest.raises(ValueError, match=r'another recipe \(bags differ\)'):
        train(CONFIG, bags[:2], tmp_path / 'run', tmp_path / 'cache')
    (tmp_path / 'run' / 'config.json').unlink()
    with pytest.raises(ValueError, match='another architecture'):
        train(wider, bags, tmp_path / 'run', tmp_path / 'cache')


def test_a_run_from_before_a_key_existed_goes_on_only_with_its_default(bags, tmp_path):
    train(CONFIG, bags, tmp_path / 'run', tmp_path / 'cache')
    file = tmp_path / 'run' / 'config.json'
    before = json.loads(file.read_text())
    del before['dimming']
    file.write_text(json.dumps(before))
    with pytest.raises(ValueError, match=r'another recipe \(dimming differ\)'):
        train(dataclasses.replace(CONFIG, dimming=0.5), bags, tmp_path / 'run', tmp_path / 'cache')
    train(CONFIG, bags, tmp_path / 'run', tmp_path / 'cache')


def test_what_may_change_in_a_run_that_goes_on_may_change(bags, tmp_path):
    train(CONFIG, bags, tmp_path / 'run', tmp_path / 'cache')
    train(dataclasses.replace(CONFIG, save_every=3), bags, tmp_path / 'run', tmp_path / 'cache')


def test_a_frozen_encoder_stays_the_published_one(bags, tmp_path):
    preparation = ImagePreparation(*SIZE)
    facts = {'method': 'mae', 'loss_weights': {}, 'steps': 0, 'compute': 0.0}
    about = {**facts, 'training': {}, 'results': {}}
    save_encoder(Encoder(CONFIG.encoder), tmp_path / 'own', preparation=preparation, **about)
    config = dataclasses.replace(CONFIG, pretrained=str(tmp_path / 'own'))
    frozen = dataclasses.replace(config, frozen_encoder=True)
    source = load_encoder_manifest(tmp_path / 'own').encoder_sha256
    for name, change in (('free', config), ('frozen', frozen)):
        train(change, bags, tmp_path / name, tmp_path / 'cache')
        found = load_checkpoint(tmp_path / name)[1].encoder_sha256
        assert (found == source) == (name == 'frozen')

    other = dataclasses.replace(preparation, crop=(0, 0, 0.5, 0.5))
    save_encoder(Encoder(CONFIG.encoder), tmp_path / 'other', preparation=other, **about)
    foreign = dataclasses.replace(config, pretrained=str(tmp_path / 'other'))
    with pytest.raises(ValueError, match='has the preparation .* the recipe asks for'):
        train(foreign, bags, tmp_path / 'no', tmp_path / 'cache')


def test_a_run_may_start_from_a_policy_with_another_stem_but_not_with_another_trunk(
    bags, tmp_path
):
    first = train(CONFIG, bags, tmp_path / 'first', tmp_path / 'cache')
    stem = dataclasses.replace(CONFIG.encoder, stem=(6,))
    config = dataclasses.replace(CONFIG, start=str(tmp_path / 'first'), steps=1)
    other = train(
        dataclasses.replace(config, encoder=stem, learning_rate=1e-12),
        bags,
        tmp_path / 'other',
        tmp_path / 'cache',
    )
    kept, taken = first.state_dict(), other.state_dict()
    for name in ('encoder.blocks.0.attn.qkv.weight', 'action_head.linear.weight'):
        assert torch.allclose(kept[name], taken[name], atol=1e-9)
    trunk = dataclasses.replace(CONFIG.trunk, depth=2)
    with pytest.raises(ValueError, match='the recipe asks for'):
        train(dataclasses.replace(config, trunk=trunk), bags, tmp_path / 'no', tmp_path / 'cache')


def test_bags_without_actions_or_with_other_joints_are_refused(bags, tmp_path):
    episodes = CONFIG.episodes
    nowhere = dataclasses.replace(episodes.labels, action='/nowhere')
    with pytest.raises(ValueError, match='no label on /nowhere'):
        store_episodes(bags, dataclasses.replace(episodes, labels=nowhere), tmp_path)
    other = dataclasses.replace(episodes.observation, joints=('elbow',))
    with pytest.raises(ValueError, match="joint states of \\['elbow'\\]"):
        store_episodes(bags, dataclasses.replace(episodes, observation=other), tmp_path)
    typed = dataclasses.replace(episodes.labels, action='/joint_states')
    with pytest.raises(ValueError, match='TwistStamped, but /joint_states is sensor_msgs'):
        store_episodes(bags, dataclasses.replace(episodes, labels=typed), tmp_path)


def test_two_processes_read_the_same_bags_one_after_the_other(bags, tmp_path, monkeypatch):
    written, write = [], episode_files._write_store

    def slow(*arguments):
        written.append(arguments)
        time.sleep(0.2)
        write(*arguments)

    monkeypatch.setattr(episode_files, '_write_store', slow)
    with ThreadPoolExecutor(2) as pool:
        stores = list(pool.map(lambda _: store_episodes(bags, CONFIG.episodes, tmp_path), 'ab'))
    assert len(written) == 1
    assert [len(store) for store in stores] == [45, 45]


def test_actions_and_landmarks_without_a_stamp_count_from_their_arrival(tmp_path):
    with BagWriter(tmp_path / 'unstamped') as writer:
        sentence = build('std_msgs/msg/String', data='go')
        writer.write('/instruction', sentence, 1.0, latched=True)
        for step in range(15):
            now = 1 + 0.05 * step
            picture = {'agentview': np.zeros((32, 32, 3), np.uint8)}
            pose = np.array([0.5, 0, 0.2, 0, 0, 0, 1])
            state = ArmState(picture, JOINT_NAMES, np.zeros(9), np.zeros(9), pose, now)
            for topic, message in arm_messages.state_messages(state, now, compressed=False):
                writer.write(topic, message, now)
            twist = np.array([0, 0, 0, 0, 0, 0.1 * step])
            topics = {'twist_topic': EXPERT_TWIST, 'gripper_topic': EXPERT_GRIPPER}
            for topic, message in arm_messages.command_messages(twist, 0.08, 0.0, **topics):
                writer.write(topic, message, now)
            marks = arm_messages.landmark_message(np.full((1, 3), 0.01 * step), 0.0)
            writer.write(arm_messages.LANDMARKS, marks, now)
    store = store_episodes([tmp_path / 'unstamped'], CONFIG.episodes, tmp_path)
    np.testing.assert_allclose(store.chunks[4][:, 5], [0.4, 0.5, 0.6, 0.7], atol=1e-6)
    np.testing.assert_allclose(store.landmarks[4], 0.04, atol=1e-6)


@pytest.mark.parametrize(
    ('bags', 'share', 'kept'),
    [(1, 0.04, []), (5, 0.0, []), (2, 0.04, [1]), (24, 0.04, [23]), (50, 0.04, [24, 49])],
)
def test_of_two_bags_or_more_one_at_least_is_held_out(bags, share, kept):
    assert np.flatnonzero(held(bags, share)).tolist() == kept


def test_without_a_bag_held_out_nothing_is_called_validation(bags, tmp_path):
    train(CONFIG, bags[:1], tmp_path / 'run', tmp_path / 'cache')
    _, manifest = load_checkpoint(tmp_path / 'run')
    assert manifest.results['validation'] == {}
    assert 'validation' not in (tmp_path / 'run' / 'log.jsonl').read_text()


def test_a_number_that_never_changes_keeps_its_unit_and_gets_no_noise(bags, tmp_path):
    constant = Statistics.of(np.full((480_000, 1), 0.3, np.float32))
    assert constant.scale == (1.0,)
    np.testing.assert_allclose(constant.mean, 0.3, rtol=1e-6)
    store = store_episodes(bags, CONFIG.episodes, tmp_path)
    still = store.proprioception.std(0) < 1e-6
    assert 0 < still.sum() < len(still) or still.all()
    policy = policy_config(CONFIG, store, np.arange(len(store)))
    noisy = Batches(store, policy, 0.5, seed=0)(np.arange(8), step=1).proprioception.numpy()
    moved = np.abs(noisy - store.proprioception[:8]).max(0) > 0
    np.testing.assert_array_equal(moved, ~still)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ('reducer=fixed_gird', "'fixed_gird' is not known"),
        ('tokens=65', '1 to 64 tokens'),
        ('tokens=1.9', 'expected an integer, got 1.9'),
        ('steps=.inf', 'expected an integer, got inf'),
        ('seed=true', 'expected an integer, got True'),
        ('conditioned=yes please', 'expected true or false'),
        ('sample_after=99', 'encoder has 4 blocks'),
        ('trunk={width: 128, depth: 3, heads: 3}', 'no multiple of 3 heads'),
        ('trunk={width: 128, depth: 3, heads: 0}', 'heads is 0, expected at least 1'),
        ('encoder={patch: 0}', 'patch is 0, expected at least 1'),
        ('encoder={stem: [0]}', 'stem is 0, expected at least 1'),
        ('encoder={depth: -1}', 'depth is -1'),
    ],
)
def test_a_recipe_that_makes_no_policy_is_refused_before_any_bag_is_read(change, words, request):
    recipe = request.config.rootpath / 'models' / 'recipes' / 'libero_spatial.yaml'
    with pytest.raises(ValueError, match=words):
        load_recipe(recipe, [change])


def test_cloning_teaches_an_encoder_the_actions_of_the_recordings(bags, tmp_path):
    pytest.importorskip('lightning_fabric')
    from ros2_gridsampler.training.adapt_config import AdaptConfig
    from ros2_gridsampler.training.adapt_encoder import adapt

    able = dataclasses.replace(
        CONFIG,
        reducer='dense',
        tokens=16,
        conditioned=False,
        steps=250,
        learning_rate=5e-3,
        average_decay=0.9,
        save_every=200,
    )
    train(able, bags, tmp_path / 'run', tmp_path / 'cache')
    torch.manual_seed(7)
    facts = {'method': 'mae', 'loss_weights': {}, 'steps': 0, 'compute': 0.0}
    preparation = ImagePreparation(*SIZE)
    save_encoder(
        Encoder(CONFIG.encoder),
        tmp_path / 'stranger',
        preparation=preparation,
        training={},
        results={},
        **facts,
    )
    adapted = adapt(
        tmp_path / 'run',
        tmp_path / 'stranger',
        bags,
        tmp_path / 'out',
        tmp_path / 'cache',
        AdaptConfig(
            steps=1, every=1, cloning_steps=150, cloning_learning_rate=5e-3, held_out=0.34
        ),
        CONFIG.episodes,
    )
    found, fit = adapted.measured, adapted.fits['cloning']
    # Of a chunk only the first step can be seen in the picture: the error has little to lose.
    assert found['action error, cloned'] < found['action error, aligned'] - 0.002
    # With three bags one tells when to end and is measured on.
    assert found['action error, cloned'] == pytest.approx(min(fit.errors), abs=1e-5)


def test_the_published_recipe_is_read_and_a_mistyped_one_is_refused(tmp_path, request):
    recipe = request.config.rootpath / 'models' / 'recipes' / 'libero_spatial.yaml'
    config = load_recipe(recipe)
    assert config.tokens < 0.1 * config.encoder.grid[0] * config.encoder.grid[1]
    content = yaml.safe_load(recipe.read_text())
    content['tokns'] = 4
    (tmp_path / 'bad.yaml').write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match='tokns'):
        load_recipe(tmp_path / 'bad.yaml')
    for text, words in (
        ('a: [1', 'is not YAML'),
        ('', 'expected keys and values'),
        ('[1]', 'got'),
    ):
        (tmp_path / 'bad.yaml').write_text(text)
        with pytest.raises(ValueError, match=words):
            load_recipe(tmp_path / 'bad.yaml', ['tokens=4'])
    with pytest.raises(ValueError, match='no YAML after its ='):
        load_recipe(recipe, ['tokens=['])


@pytest.mark.parametrize('reader', ['hashed_words', 'all-MiniLM-L6-v2'])
def test_training_draws_from_the_other_ways_to_say_an_instruction(bags, tmp_path, reader):
    if reader != 'hashed_words':
        try:
            encoder_folder()
        except FileNotFoundError as error:
            pytest.skip(str(error))
    config = dataclasses.replace(
        CONFIG, instruction=reader, paraphrases=paraphrased(tmp_path), steps=2
    )
    policy = train(config, bags, tmp_path / 'run', tmp_path / 'cache')
    store = store_episodes(bags, CONFIG.episodes, tmp_path / 'cache')
    ways = load_paraphrases(config.paraphrases)
    batches = Batches(store, policy.config, 0.0, 0, paraphrases=ways)
    first = np.flatnonzero(store.sentence == 0)[:8]
    wanted = {
        read_instruction(reader, text).tobytes()
        for text in (store.instructions[0], *ways[store.instructions[0]])
    }
    drawn = {row.numpy().tobytes() for step in range(20) for row in batches(first, step).words}
    assert drawn == wanted
    original = read_instruction(reader, store.instructions[0]).tobytes()
    assert {row.numpy().tobytes() for row in batches(first).words} == {original}
    loaded, manifest = load_checkpoint(tmp_path / 'run')
    assert manifest.policy.instruction == reader
    golden = [golden_observation(loaded.config)]
    assert load(loaded, golden, backends=('eager',)).predict(golden[0]).chunk.targets.shape[0] == 4


def test_a_policy_that_reads_sentences_anew_starts_from_one_that_hashes_words(bags, tmp_path):
    try:
        encoder_folder()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    first = train(
        dataclasses.replace(CONFIG, steps=1), bags, tmp_path / 'first', tmp_path / 'cache'
    )
    config = dataclasses.replace(
        CONFIG, instruction='all-MiniLM-L6-v2', start=str(tmp_path / 'first'), steps=1
    )
    second = train(
        dataclasses.replace(config, learning_rate=1e-12),
        bags,
        tmp_path / 'second',
        tmp_path / 'cache',
    )
    for name, weight in first.trunk.state_dict().items():
        torch.testing.assert_close(second.trunk.state_dict()[name], weight, atol=2e-3, rtol=0)


@pytest.mark.parametrize('content', ['[]', 'follow spot 0: yes', 'follow spot 0: [1, 2]'])
def test_a_file_that_gives_no_sentences_is_refused(tmp_path, content):
    path = tmp_path / 'ways.yaml'
    path.write_text(content)
    with pytest.raises(ValueError, match='list of sentences'):
        load_paraphrases(str(path))
