# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The cost of an evaluation is counted without the policy's, on a bag that is what it says."""

import json

import pytest
from arm_recordings import ARM, arm_policy
from policies import tiny_policy

from experiments.benchmark_bag import RATE, write_bag
from experiments.evaluation_benchmark import measure_cost
from ros2_gridsampler.bags.bag_reader import read_messages
from ros2_gridsampler.policy.checkpoint import save_checkpoint
from ros2_gridsampler.seeing.camera_message import decode_image


@pytest.mark.parametrize('raw', [False, True])
def test_the_bag_has_pictures_that_move_of_the_size_that_was_asked_for(tmp_path, raw):
    write_bag(tmp_path / 'bag', arm_policy().config, 3, (64, 48), raw)
    messages = [m for m in read_messages(tmp_path / 'bag') if m.topic.startswith('/camera')]
    pictures = [decode_image(m.message) for m in messages]
    assert [picture.shape for picture in pictures] == [(48, 64, 3)] * 3
    assert (pictures[0] != pictures[1]).any()
    assert messages[0].type.endswith('msg/Image' if raw else 'msg/CompressedImage')


def test_what_is_left_without_the_policy_is_compared_with_the_recording(tmp_path):
    pytest.importorskip('imageio_ffmpeg', reason='ffmpeg is not installed; pip install .[sim]')
    save_checkpoint(arm_policy(), tmp_path / 'policy', training={}, results={})
    cost = measure_cost(tmp_path / 'policy', ARM, frames=20, size=(96, 72), rounds=1)
    for each in (*cost.rounds, *cost.bare):
        assert 0 < each.model < each.total
        assert each.times_real_time == pytest.approx(20 / RATE / (each.total - each.model))
    assert cost.peak_memory > 0
    assert json.loads(cost.to_json())['frames'] == 20
    assert f'{cost.rounds[0].times_real_time:.1f} times real time' in str(cost)


def test_a_policy_for_which_no_bag_can_be_made_is_refused(tmp_path):
    save_checkpoint(tiny_policy(), tmp_path / 'policy', training={}, results={})
    with pytest.raises(ValueError, match='no policy of joint targets with one camera'):
        measure_cost(tmp_path / 'policy', ARM)
