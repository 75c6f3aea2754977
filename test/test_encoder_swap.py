# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""An encoder has to fit, to answer alike and to keep the safety filter quiet, or the old stays."""

import itertools
import logging
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from policies import tiny_policy
from scipy.stats import t as student

from ros2_gridsampler.encoders.action_drift import Answer, Drift
from ros2_gridsampler.encoders.candidate_maker import CandidateMaker
from ros2_gridsampler.encoders.compatibility import EncoderDoesNotFit, PolicyNeeds, with_encoder
from ros2_gridsampler.encoders.encoder_changes import EncoderChanges, ShadowRefused, run_shadow
from ros2_gridsampler.encoders.encoder_checkpoint import load_encoder_manifest, save_encoder
from ros2_gridsampler.encoders.encoder_store import NAMES
from ros2_gridsampler.encoders.engine_maker import EngineMaker
from ros2_gridsampler.encoders.known_encoders import (
    KnownEncoder,
    find_encoder,
    known_encoders,
)
from ros2_gridsampler.encoders.swap_config import SwapConfig
from ros2_gridsampler.encoders.swap_trial import Counts, SwapTrial, chance_of_more
from ros2_gridsampler.encoders.swappable_backend import Candidate, SwappableBackend
from ros2_gridsampler.engines import load
from ros2_gridsampler.engines.engine import Settings
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.policy.encoder import Encoder
from ros2_gridsampler.policy.manifest import (
    MANIFEST,
    BadCheckpoint,
    golden_observation,
    load_manifest,
)
from ros2_gridsampler.policy.policy_config import EncoderConfig, Statistics
from ros2_gridsampler.seeing.calibration import ImagePreparation

CONFIG = SwapConfig(shadow_observations=4, shadow_time=5.0, trial_time=5.0)


def keep_encoder(encoder, folder, results=None, preparation=None):
    config = encoder.config
    save_encoder(
        encoder,
        folder,
        preparation=preparation or ImagePreparation(config.image_width, config.image_height),
        method='untrained',
        loss_weights={},
        steps=0,
        compute=0.0,
        training={},
        results=results or {},
    )
    return load_encoder_manifest(folder)


@pytest.fixture
def policy(tmp_path):
    model = tiny_policy(sample_after=3)
    save_checkpoint(model, tmp_path / 'policy', training={}, results={})
    return model


@pytest.fixture
def needs(policy, tmp_path):
    return PolicyNeeds.of(load_manifest(tmp_path / 'policy'), 'policy')


def candidate(policy, name='new'):
    engine = load(policy, [golden_observation(policy.config)], backends=('eager',))
    return Candidate(name, name, engine)


def observations(config, count):
    """Different pictures, like those of a moving arm."""
    generator = np.random.default_rng(0)
    golden = golden_observation(config)
    for _ in range(count):
        images = {
            name: generator.integers(0, 256, image.shape, np.uint8)
            for name, image in golden.images.items()
        }
        yield replace(golden, images=images)


def shadow(new, live, config=CONFIG, **options):
    """Run the shadow while another thread predicts, as in the node."""
    steps = iter(range(10**6))
    policy_config = live.current.backend.config
    stop = threading.Event()

    def drive():
        for observation in observations(policy_config, 10**6):
            if stop.is_set():
                return
            live.predict(observation)

    thread = threading.Thread(target=drive)
    thread.start()
    try:
        return run_shadow(
            new,
            live,
            config,
            names=policy_config.action_space.names,
            statistics=policy_config.action_statistics,
            relative=policy_config.relative,
            clock=lambda: next(steps) * 1e-3,
            wait=lambda: stop.wait(0.005),
            **options,
        )
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'patch': 32}, 'patch is 32 instead of 16'),
        ({'width': 64}, 'width is 64 instead of 32'),
        ({'image_width': 96}, 'image_width is 96 instead of 64'),
    ],
)
def test_an_encoder_of_another_shape_is_refused_with_what_differs_and_what_would_fit(
    needs, tmp_path, change, reason
):
    own = needs.config.encoder
    other = keep_encoder(Encoder(replace(own, **change)), tmp_path / 'other')
    fits = keep_encoder(Encoder(own), tmp_path / 'fits')
    known = [KnownEncoder(n, tmp_path / n, m) for n, m in (('other', other), ('fits', fits))]
    with pytest.raises(EncoderDoesNotFit, match=reason) as refusal:
        needs.check(other, 'other', allow_unvalidated=True, known=known)
    assert "These would fit: ['fits']" in str(refusal.value)


def test_an_encoder_that_saw_other_pictures_is_refused(needs, tmp_path):
    cut = ImagePreparation(64, 64, crop=(0.1, 0.1, 0.8, 0.8))
    other = keep_encoder(Encoder(needs.config.encoder), tmp_path / 'other', preparation=cut)
    with pytest.raises(EncoderDoesNotFit, match=r'crop \(0.1, 0.1, 0.8, 0.8\) instead of None'):
        needs.check(other, 'other', allow_unvalidated=True, known=())


def test_another_depth_fits_only_where_the_points_are_read_after_the_tower(
    policy, needs, tmp_path
):
    deep = Encoder(replace(needs.config.encoder, depth=5))
    manifest = keep_encoder(deep, tmp_path / 'deep')
    needs.check(manifest, 'deep', allow_unvalidated=True, known=())
    changed = with_encoder(policy, deep)
    assert changed.config.sample_after == 5
    inside = replace(needs, config=tiny_policy(sample_after=2).config)
    with pytest.raises(EncoderDoesNotFit, match='after block 2'):
        inside.check(manifest, 'deep', allow_unvalidated=True, known=())


def test_an_encoder_that_was_never_measured_with_the_policy_is_refused(policy, needs, tmp_path):
    torch.manual_seed(3)
    stranger = Encoder(needs.config.encoder)
    unknown = keep_encoder(stranger, tmp_path / 'unknown')
    with pytest.raises(EncoderDoesNotFit, match='never measured with this policy'):
        needs.check(unknown, 'unknown', allow_unvalidated=False, known=())
    for results in ({'policies': 'all'}, {'policies': [1]}, {'policies': [{}]}):
        vague = keep_encoder(stranger, tmp_path / 'vague', results)
        assert not needs.is_validated(vague)
    entry = {'policy_sha256': needs.weights_sha256}
    measured = keep_encoder(stranger, tmp_path / 'measured', {'policies': [entry]})
    needs.check(measured, 'measured', allow_unvalidated=False, known=())
    own = keep_encoder(policy.encoder, tmp_path / 'own')
    needs.check(own, 'own', allow_unvalidated=False, known=())


def test_a_policy_on_another_encoder_is_a_copy_that_sees_through_it(policy):
    inputs = [torch.randint(0, 256, (1, 2, 64, 64, 3), dtype=torch.uint8)]
    inputs += [torch.zeros(1, 10), torch.zeros(1, 1, 4, dtype=torch.int64)]
    before = policy(*inputs)[0]
    same = with_encoder(policy, policy.encoder)
    assert torch.equal(same(*inputs)[0], before)
    assert same.trunk is not policy.trunk
    torch.manual_seed(7)
    other = with_encoder(policy, Encoder(policy.config.encoder))
    assert not torch.allclose(other(*inputs)[0], before)
    assert torch.equal(policy(*inputs)[0], before)


def test_an_encoder_is_found_by_path_and_by_name_and_the_sentence_lists_them(tmp_path):
    assert find_encoder('mi_mae_libero', tmp_path).name == 'mi_mae_libero'
    folder = tmp_path / 'mine'
    keep_encoder(Encoder(EncoderConfig(32, 32, width=16, depth=1, heads=2, stem=())), folder)
    assert find_encoder(str(folder), tmp_path) == folder
    with pytest.raises(FileNotFoundError, match="'mae_libero', 'mi_mae_libero'"):
        find_encoder('nothing', tmp_path)


def test_a_damaged_encoder_is_named_with_what_is_wrong_and_hides_no_other(tmp_path):
    keep_encoder(
        Encoder(EncoderConfig(32, 32, width=16, depth=1, heads=2, stem=())), tmp_path / 'hash'
    )
    (tmp_path / 'hash' / MANIFEST).write_text('{}')
    (tmp_path / NAMES).write_text('{"mine": "hash"}')
    damaged = {}
    names = [known.name for known in known_encoders(tmp_path, damaged)]
    assert 'mi_mae_libero' in names
    assert 'mine' not in names
    assert list(damaged) == ['mine']
    with pytest.raises(BadCheckpoint) as refusal:
        find_encoder('mine', tmp_path)
    assert str(refusal.value) == damaged['mine']
    for rubbish in ('[]', '{', '"x"'):
        (tmp_path / NAMES).write_text(rubbish)
        damaged = {}
        assert [known.name for known in known_encoders(tmp_path, damaged)] == names
        assert damaged.keys() == {str(tmp_path / NAMES)}


def test_the_same_encoder_passes_the_shadow_run_and_another_does_not(policy):
    live = SwappableBackend(candidate(policy, 'old'), lambda: 0.0)
    loose = replace(CONFIG, max_latency_ratio=1e12)
    drift = shadow(candidate(with_encoder(policy, policy.encoder)), live, loose)
    assert min(drift.cosine) > 0.999
    assert max(drift.deviation) < 1e-4
    torch.manual_seed(9)
    stranger = Encoder(policy.config.encoder)
    with torch.no_grad():
        for parameter in stranger.parameters():
            parameter.mul_(3.0)
    with pytest.raises(ShadowRefused, match='cosine .* at least 0.9|off by'):
        shadow(candidate(with_encoder(policy, stranger)), live, loose)


def test_without_observations_nothing_is_swapped_but_recorded_ones_do(policy):
    live = SwappableBackend(candidate(policy, 'old'), lambda: 0.0)
    steps = iter(range(10**6))
    options = {
        'names': policy.config.action_space.names,
        'statistics': policy.config.action_statistics,
        'relative': False,
        'clock': lambda: float(next(steps)),
        'wait': lambda: None,
    }
    loose = replace(CONFIG, max_latency_ratio=1e12, max_latency=1e12)
    new = candidate(with_encoder(policy, policy.encoder))
    with pytest.raises(ShadowRefused, match='0 observations came within 5 s, 4 are needed'):
        run_shadow(new, live, loose, **options)
    recorded = list(observations(policy.config, 6))
    assert run_shadow(new, live, loose, recorded=lambda: recorded, **options).observations == 4


def test_steps_that_were_given_to_both_do_not_hide_how_they_differ():
    torch.manual_seed(2)
    policy = tiny_policy(sample_after=3, head='continuing').eval()
    config = policy.config
    torch.manual_seed(9)
    other = with_encoder(policy, Encoder(config.encoder).eval())
    golden = golden_observation(config)
    given = np.tile(config.action_statistics.mean, (config.steps - 1, 1))
    live = SwappableBackend(candidate(policy, 'old'), lambda: 0.0)
    drift = run_shadow(
        candidate(other),
        live,
        replace(CONFIG, min_cosine=-1.0, max_deviation=1e9, max_latency_ratio=1e12),
        names=config.action_space.names,
        statistics=config.action_statistics,
        relative=False,
        clock=lambda: 0.0,
        wait=lambda: live.predict(golden, given),
    )
    # All but the last step were given.
    last = [engine.predict(golden, given).chunk.targets[-1] for engine in (policy, other)]
    expected = np.abs(last[0] - last[1]) / config.action_statistics.scale
    assert expected.max() > 0
    assert np.allclose(drift.deviation, expected, rtol=1e-3, atol=1e-6)


def test_wishes_are_tried_without_anybody_who_waits_and_a_bad_one_changes_nothing(
    policy, needs, tmp_path
):
    keep_encoder(policy.encoder, tmp_path / 'good')
    torch.manual_seed(9)
    stranger = Encoder(policy.config.encoder)
    with torch.no_grad():
        for parameter in stranger.parameters():
            parameter.mul_(3.0)
    keep_encoder(stranger, tmp_path / 'stranger')
    candidates = CandidateMaker(
        policy,
        needs,
        tmp_path / 'store',
        EngineMaker(tmp_path / 'policy', 'eager', Settings(), lambda text: None),
        lambda engine: engine,
        allow_unvalidated=True,
    )
    config = SwapConfig(
        shadow_observations=4,
        shadow_time=0.1,
        max_latency_ratio=1e9,
        max_latency=1e9,
        trial_time=0.0,
        trial_commands=1,
    )
    log = logging.getLogger(__name__)
    changes = EncoderChanges(candidates, '', config, steady=time.monotonic, log=log)
    commands = itertools.count()
    recorded = list(observations(policy.config, 4))
    changes.start(lambda: Counts(next(commands), 0, 0), lambda: recorded)

    def outcome(name):
        changes.request(name)
        while not ((about := changes.about())['tried'] == name and about['outcome']):
            if about['state'] == 'trial':
                changes.live.predict(recorded[0])
            changes.watch()
            time.sleep(0.01)
        return about['outcome'], about['encoder']

    good, bad = str(tmp_path / 'good'), str(tmp_path / 'stranger')
    assert outcome(good) == ('accepted', good)
    assert outcome(bad) == ('refused', good)
    assert outcome(str(tmp_path / 'nobody')) == ('refused', good)
    changes.roll_back()
    assert changes.about()['encoder'] == 'own'
    with pytest.raises(ValueError, match='no encoder to go back to'):
        changes.roll_back()
    changes.stop()


@pytest.mark.parametrize('moment', ['loading', 'shadow', 'waiting'])
def test_a_rollback_calls_off_what_is_on_its_way(policy, moment):
    gate, entered = threading.Event(), threading.Event()

    class Candidates:
        config = policy.config

        def make(self, name, pause=None):
            if name == 'slow' and moment != 'shadow':
                entered.set()
                while not gate.is_set():
                    pause()
            return candidate(policy, name)

    def recorded():
        if changes.about()['tried'] == 'slow':
            # From here on nothing but the last look before the swap can keep it away.
            entered.set()
            assert gate.wait(10)
        return list(observations(policy.config, 4))

    limits = {'max_latency_ratio': 1e9, 'max_latency': 1e9, 'shadow_time': 0.1}
    config = SwapConfig(shadow_observations=4, trial_time=0.0, trial_commands=1, **limits)
    log, commands = logging.getLogger(__name__), itertools.count()
    (observation,) = observations(policy.config, 1)
    changes = EncoderChanges(Candidates(), '', config, steady=time.monotonic, log=log)
    changes.start(lambda: Counts(next(commands), 0, 0), recorded)

    def wait_for(**wanted):
        end = time.monotonic() + 60
        while not wanted.items() <= (about := changes.about()).items():
            assert time.monotonic() < end, about
            if about['state'] == 'trial':
                changes.live.predict(observation)
            changes.watch()
            time.sleep(0.005)
        return about

    changes.request('quick')
    wait_for(outcome='accepted', encoder='quick')
    changes.request('slow')
    assert entered.wait(10)
    if moment == 'waiting':
        changes.request('next')
    said = changes.roll_back()
    assert "'quick' was given up" in said
    assert "'slow' is not swapped in any more; 'own' is in use" in said
    gate.set()
    about = wait_for(state='idle', outcome='rolled back')
    assert (about['encoder'], about['swaps']) == ('own', 1)
    time.sleep(0.1)
    assert changes.about() == about
    assert changes.about()['refusals'] == 0
    changes.request('quick')
    wait_for(outcome='accepted', encoder='quick')
    changes.stop()


def answers(old, new, old_duration=0.01, new_duration=0.01):
    return [Answer(np.array(old, float), np.array(new, float), old_duration, new_duration)]


UNITS = Statistics((0.0, 0.0), (1.0, 1.0))


@pytest.mark.parametrize(
    ('new', 'duration', 'reason'),
    [
        ([[1.0, -1.0], [0.5, -0.5]], 0.01, ''),
        ([[-1.0, -1.0], [-0.5, -0.5]], 0.01, 'a: cosine -1.000'),
        ([[1.0, -2.0], [0.5, -1.0]], 0.01, 'b: off by 0.750'),
        ([[np.nan, -1.0], [0.5, -0.5]], 0.01, 'a: cosine nan'),
        ([[1.0, -1.0], [0.5, -0.5]], 0.02, '2.00 times as slow'),
        ([[1.0, -1.0], [0.5, -0.5]], 2.0, '2.000 s per inference'),
    ],
)
def test_the_gate_names_the_joint_and_the_number(new, duration, reason):
    given = answers([[1.0, -1.0], [0.5, -0.5]], new, new_duration=duration)
    text = Drift.between(given, ('a', 'b'), UNITS).refusal(SwapConfig())
    assert reason in text
    assert bool(text) == bool(reason)


@given(st.floats(-5, 5), st.floats(0.01, 3))
def test_the_gate_does_not_depend_on_the_units_of_the_joints(mean, scale):
    generator = np.random.default_rng(0)
    old, new = generator.normal(size=(2, 8, 2))
    units = Statistics((mean, mean), (scale, scale))
    plain = Drift.between(answers(old, new), ('a', 'b'), UNITS)
    moved = Drift.between(answers(old * scale + mean, new * scale + mean), ('a', 'b'), units)
    assert np.allclose(plain.cosine, moved.cosine)
    assert np.allclose(plain.deviation, moved.deviation)


def test_a_joint_that_rests_in_both_is_judged_by_its_deviation_alone():
    old = [[1.0, 0.001], [0.5, -0.001]]
    drift = Drift.between(answers(old, [[1.0, -0.001], [0.5, 0.001]]), ('a', 'b'), UNITS)
    assert drift.refusal(SwapConfig()) == ''


class Broken:
    """An engine that fails when it is asked to, otherwise as another one."""

    def __init__(self, engine):
        self.engine = engine
        self.failing = False

    def predict(self, observation, prefix=None):
        if self.failing:
            raise ValueError('not finite')
        return self.engine.predict(observation, prefix)


def test_a_candidate_that_fails_on_trial_costs_no_prediction(policy):
    first = candidate(policy, 'old')
    live = SwappableBackend(first, lambda: 0.0)
    golden = golden_observation(policy.config)
    expected = live.predict(golden).chunk.targets
    broken = Broken(first.backend)
    live.swap(Candidate('broken', '', broken))
    live.predict(golden)
    broken.failing = True
    assert np.array_equal(live.predict(golden).chunk.targets, expected)
    assert live.current is first
    assert 'not finite' in live.failure
    assert live.roll_back() is None
    live.swap(Candidate('broken', '', broken))
    live.accept()
    with pytest.raises(ValueError, match='not finite'):
        live.predict(golden)
    assert live.roll_back().name == 'broken'
    live.predict(golden)


def test_a_swap_and_a_roll_back_fall_between_two_inferences(policy):
    first, second = candidate(policy, 'old'), candidate(policy, 'new')
    live = SwappableBackend(first, lambda: 0.0)
    golden = golden_observation(policy.config)
    live.swap(second)
    live.predict(golden)
    assert live.recent(0)[0][-1].by is second
    assert live.roll_back() is second
    assert live.current is first
    assert live.recent(0)[0] == [], 'what another one answered is nothing to compare with'


RATES = st.floats(0, 2)
# Between two looks of the trial [s].
LOOK = 0.1


def on_trial(arm, trial, ticks=10_000):
    """What came of a trial; `arm(tick, old)` gives the interventions of five commands."""
    counts, turn, since = Counts(0, 0, 0), 0, 0
    trial.begin(counts)
    for tick in range(ticks):
        if trial.turn != turn:
            turn, since = trial.turn, tick
        # The first two looks of a turn see what the other one's last chunk does.
        answered = tick >= since + 2
        interventions = arm(tick, trial.turn_of_old)
        counts = Counts(counts.commands + 5, counts.interventions + interventions, 0)
        ended, reason = trial.watch(tick * LOOK, counts, answered)
        if ended:
            return reason
    raise AssertionError('a trial ends')


@given(RATES, RATES)
def test_the_old_encoder_returns_if_and_only_if_interventions_rise(before, after):
    config = SwapConfig()
    reason = on_trial(lambda tick, old: 5 * (before if old else after), SwapTrial(config))
    if abs(after - before - config.max_more_interventions) > 1e-6:
        assert bool(reason) == (after > before + config.max_more_interventions)


def rolled_back(factor, phase, episodes=300):
    """How often the old encoder returns where the new one multiplies all interventions.

    An arm moves in phases of `phase` [s] on average, each with 0.3 to 1.2 interventions a
    command, which come in bursts (twice as often in one tenth of a second as in another).
    """
    generator = np.random.default_rng(round(100 * factor + phase))
    returned = 0
    for _ in range(episodes):
        ends = np.cumsum(1 + generator.exponential(phase, 200))
        rates = generator.uniform(0.3, 1.2, len(ends))
        mean = 5 * rates[np.searchsorted(ends, np.arange(600) * LOOK)]
        bursts = generator.gamma(2.0, 0.5, 600)
        old, new = (generator.poisson(bursts * mean * f) for f in (1.0, factor))
        trial = SwapTrial(SwapConfig())
        returned += bool(on_trial(lambda t, turn, o=old, n=new: int((o if turn else n)[t]), trial))
    return returned / episodes


@pytest.mark.parametrize('phase', [1.0, 5.0, 30.0])
def test_a_livelier_phase_is_not_held_against_an_encoder_but_double_interventions_are(phase):
    rates = {factor: rolled_back(factor, phase) for factor in (1.0, 2.0, 3.0)}
    print(f'Phases of {phase:g} s: rolled back by factor {rates}.')  # noqa: T201 - docs
    assert rates[1.0] <= 0.04
    assert rates[2.0] >= 0.93
    assert rates[3.0] >= 0.99


@given(st.floats(-20, 20), st.floats(1e-3, 10), st.integers(1, 60))
def test_the_chance_of_more_is_student_s(mean, error, freedom):
    wanted = student.sf(mean / error, freedom)
    assert chance_of_more(mean, error, freedom) == pytest.approx(wanted, rel=1e-6, abs=1e-12)
    assert chance_of_more(abs(mean), 0.0, freedom) == (0.5 if mean == 0 else pytest.approx(0))


def test_one_prediction_that_is_not_finite_ends_the_trial_at_once():
    trial = SwapTrial(SwapConfig())
    trial.begin(Counts(100, 0, 0))
    assert trial.watch(0.1, Counts(101, 0, 1), False)[1]
    assert not trial.running


def test_a_trial_without_commands_or_answers_does_not_end_by_the_clock():
    trial = SwapTrial(SwapConfig(trial_time=1.0, trial_commands=1))
    trial.begin(Counts(100, 3, 0))
    for now in range(100):
        assert trial.watch(now, Counts(100, 3, 0), True) == (False, '')
        assert trial.watch(now, Counts(100 + now, 3, 0), False) == (False, '')
    assert trial.turn == 0
    for now in range(100, 400):
        # Activated anew, it counts from 0.
        ended, reason = trial.watch(now, Counts(now - 100, 3, 0), True)
        if ended:
            break
    assert (ended, reason) == (True, '')


def test_on_trial_the_new_encoder_and_the_old_one_answer_in_turn(policy):
    old, new = candidate(policy, 'old'), candidate(policy, 'new')
    live = SwappableBackend(old, lambda: 0.0)
    golden = golden_observation(policy.config)
    live.swap(new)
    for turn_of_old in (False, True, True, False):
        live.take_turn(old=turn_of_old)
        assert not live.answered
        assert live.answer(golden).by is (old if turn_of_old else new)
        live.predict(golden)
        assert live.answered
        assert live.current is new
    live.take_turn(old=True)
    assert live.accept()
    assert live.answer(golden).by is new
    live.swap(new)
    live.take_turn(old=True)
    live.roll_back()
    assert live.answer(golden).by is live.current
