# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A bound that a field declares is enforced wherever the object is made, for every dataclass."""

import dataclasses
import importlib
import math
import pkgutil
import re
import typing
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies import tiny_policy

import ros2_gridsampler
from ros2_gridsampler.bounds import checked

BOUNDS = ('minimum', 'above', 'maximum')
CONFIGURATION = re.compile(r'(Config|Parameters|Budget|Settings|Preparation|Weights)$')
# What runs a program when it is imported.
PROGRAMS = re.compile(r'__main__$')


@cache
def all_dataclasses():
    """Every dataclass of the package whose libraries are installed."""
    found = {}
    for module in pkgutil.walk_packages(ros2_gridsampler.__path__, 'ros2_gridsampler.'):
        if PROGRAMS.search(module.name):
            continue
        try:
            loaded = importlib.import_module(module.name)
        except ImportError as error:
            if (error.name or '').startswith('ros2_gridsampler'):
                raise
            continue  # a library that this machine lacks
        room = module.name.removeprefix('ros2_gridsampler.')
        for kind in vars(loaded).values():
            own = isinstance(kind, type) and kind.__module__ == module.name
            if own and dataclasses.is_dataclass(kind):
                found[f'{room}.{kind.__name__}'] = kind
    return found


@cache
def examples():
    """An object of each configuration that has no defaults."""
    from ros2_gridsampler.bags.observation_replay import StreamTopics
    from ros2_gridsampler.calibrating.delay_estimate import DelayConfig
    from ros2_gridsampler.datasets.episodes import EpisodeConfig
    from ros2_gridsampler.datasets.frames import FrameConfig
    from ros2_gridsampler.policy.policy_config import EncoderConfig, TrunkConfig
    from ros2_gridsampler.seeing.calibration import ImagePreparation
    from ros2_gridsampler.seeing.depth_image import DepthRange
    from ros2_gridsampler.seeing.sample_stream import FrozenConfig
    from ros2_gridsampler.training.fine_tune import FineTuneConfig
    from ros2_gridsampler.training.mi_mae import MiMaeConfig
    from ros2_gridsampler.training.pretrain_config import PretrainConfig
    from ros2_gridsampler.training.recipe import TrainConfig
    from ros2_gridsampler.vla.lerobot_config import LerobotConfig
    from ros2_gridsampler.vla.remote_robot import RemoteConfig, RemoteRobot
    from ros2_gridsampler.vla.robot import Robot, Units

    policy = tiny_policy().config
    topics = StreamTopics({'front': '/front'}, '/joint_states')
    frames = FrameConfig(ImagePreparation(128, 128))
    model = MiMaeConfig(EncoderConfig(stem=()))
    remote = RemoteRobot(
        {'front': 'image'}, (64, 64), policy.joints, policy.action_space, policy.period
    )
    space = policy.action_space
    units = Units.same(len(policy.joints)), Units.same(len(space.names))
    robot = Robot(
        {'front': 'image'}, (64, 64), policy.joints, False, units[0], space, units[1], 0.05
    )
    episodes = EpisodeConfig(policy.observation, topics, None, policy.action_space, 5, 0.05)
    found = (
        policy,
        policy.observation,
        policy.preparation,
        frames,
        model,
        episodes,
        DepthRange(0.2, 1.5),
        FrozenConfig(0.5, 0.01),
        DelayConfig('joint'),
        PretrainConfig(frames, model),
        TrainConfig(episodes, EncoderConfig(), TrunkConfig()),
        FineTuneConfig(topics, None),
        LerobotConfig(None, {}, 5, 16, 64),
        robot,
        remote,
        RemoteConfig(remote, 5),
    )
    return {type(each): each for each in found}


def example(name):
    """An object of this dataclass."""
    kind = all_dataclasses()[name]
    return examples()[kind] if kind in examples() else kind()


def bounded_fields():
    """Name of a dataclass, field, for each field that holds one number or several."""
    for name, kind in sorted(all_dataclasses().items()):
        if getattr(getattr(kind, '__post_init__', None), '__qualname__', '').startswith('checked'):
            for field in dataclasses.fields(kind):
                yield name, field


def test_every_configuration_enforces_what_its_fields_declare():
    enforced = {name for name, _ in bounded_fields()}
    declaring = {
        name
        for name, kind in all_dataclasses().items()
        if any(key in field.metadata for field in dataclasses.fields(kind) for key in BOUNDS)
    }
    assert len(declaring) > 20
    assert declaring <= enforced
    numeric = {
        name
        for name, kind in all_dataclasses().items()
        if CONFIGURATION.search(name) and _numbers(kind)
    }
    assert numeric <= enforced, 'a configuration with numbers stands below @checked'


def _numbers(kind):
    hints = typing.get_type_hints(kind)
    return [f.name for f in dataclasses.fields(kind) if hints[f.name] in (int, float)]


def outside(field, value):
    """Numbers that the field's bounds forbid."""
    whole = isinstance(value, int)
    parts = []
    if 'minimum' in field.metadata or 'above' in field.metadata:
        low = field.metadata.get('minimum', field.metadata.get('above'))
        if whole:
            parts.append(st.integers(max_value=low - 1))
        else:
            parts.append(st.floats(max_value=low, exclude_max='above' not in field.metadata))
    if 'maximum' in field.metadata:
        high = field.metadata['maximum']
        if whole:
            parts.append(st.integers(min_value=high + 1))
        else:
            parts.append(st.floats(min_value=high, exclude_min=True))
    if not whole:
        parts.append(st.sampled_from((math.nan, math.inf, -math.inf)))
    return st.one_of(parts) if parts else None


@settings(max_examples=400)
@given(data=st.data())
def test_a_number_out_of_bounds_is_refused_by_name_with_what_was_expected(data):
    names = sorted({name for name, _ in bounded_fields()})
    for name in names:
        example(name)
    name = data.draw(st.sampled_from(names))
    whole = example(name)
    for field in dataclasses.fields(whole):
        value = getattr(whole, field.name)
        first = value[0] if isinstance(value, tuple) and value else value
        if isinstance(first, bool) or not isinstance(first, int | float):
            continue
        numbers = outside(field, first)
        if numbers is None:
            continue
        wrong = data.draw(numbers, label=field.name)
        broken = (*value[:-1], wrong) if isinstance(value, tuple) else wrong
        with pytest.raises(
            ValueError, match=rf'{field.name} is .*, expected (at|more|a )'
        ) as error:
            dataclasses.replace(whole, **{field.name: broken})
        if field.metadata.get('unit') and wrong == wrong:
            assert f'is {wrong} {field.metadata["unit"]}, expected' in str(error.value)


@given(value=st.integers(1, 5))
def test_numbers_within_the_bounds_are_taken_and_own_checks_come_after(value):
    @dataclasses.dataclass(frozen=True)
    @checked
    class Divided:
        parts: int = dataclasses.field(metadata={'minimum': 1, 'maximum': 5})

        def __post_init__(self):
            # Would be a ZeroDivisionError if it came first.
            if 60 % self.parts:
                raise ValueError('60 cannot be divided so.')

    assert Divided(value).parts == value
    with pytest.raises(ValueError, match='^parts is 0, expected at least 1 and at most 5$'):
        Divided(0)


@pytest.mark.parametrize(
    ('kind', 'wrong', 'sentence'),
    [
        ('seeing.stream_health.StreamBudget', {'max_age': -5}, 'max_age is -5 s, expected at le'),
        ('seeing.stream_health.LadderConfig', {'max_tail': -3}, 'max_tail is -3 s, expected at l'),
        ('encoders.swap_config.SwapConfig', {'trial_commands': -1}, 'trial_commands is -1, exp'),
    ],
)
def test_what_was_accepted_without_a_word_is_refused(kind, wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        all_dataclasses()[kind](**wrong)


def test_bounds_are_spelled_in_known_words_only():
    known = {*BOUNDS, 'help', 'unit', 'why', 'read_only', 'later'}
    for name, field in bounded_fields():
        assert set(field.metadata) <= known, f'{name}.{field.name}'
