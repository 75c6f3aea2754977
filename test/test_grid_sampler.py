# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""GridS reads where it points: equal to grid_sample, whole at the border, spread at the start."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ros2_gridsampler.policy.grid_sampler import GridSampler, read_bilinear, spread_points


def reference(feature_map: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """PyTorch's own sampler on the same convention."""
    grid = (2 * points - 1)[:, None]
    channels_first = feature_map.permute(0, 3, 1, 2).contiguous()
    read = torch.nn.functional.grid_sample(
        channels_first, grid, align_corners=True, padding_mode='border'
    )
    return read[:, :, 0].transpose(1, 2)


@given(rows=st.integers(2, 9), columns=st.integers(2, 9), seed=st.integers(0, 10**6))
@settings(max_examples=40)
def test_reading_equals_grid_sample_in_values_and_gradients(rows, columns, seed):
    torch.manual_seed(seed)
    feature_map = torch.randn(2, rows, columns, 5, requires_grad=True)
    # Away from cell centres, where a hat function has two one-sided derivatives.
    cells = torch.tensor([columns - 1, rows - 1])
    points = ((torch.rand(2, 7, 2) * cells).floor().clamp(max=cells - 1) + 0.1) / cells
    points = (points + 0.8 * torch.rand_like(points) / cells).requires_grad_()
    weights = torch.randn(2, 7, 5)
    ours, theirs = read_bilinear(feature_map, points), reference(feature_map, points)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    ours_gradient = torch.autograd.grad((ours * weights).sum(), (feature_map, points))
    theirs_gradient = torch.autograd.grad((theirs * weights).sum(), (feature_map, points))
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('point', [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.37), (0.5, 0.0)])
def test_a_constant_map_is_read_as_that_constant_even_at_the_border(dtype, point):
    feature_map = torch.ones(1, 6, 9, 4, dtype=dtype)
    read = read_bilinear(feature_map, torch.tensor([[point]]))
    assert torch.equal(read, torch.ones(1, 1, 4, dtype=dtype))


def test_a_coordinate_that_saturates_reads_the_last_cell():
    feature_map = torch.arange(12.0).view(1, 3, 4, 1)
    assert read_bilinear(feature_map, torch.ones(1, 1, 2)).item() == 11


def test_x_runs_along_columns_and_y_along_rows_of_a_map_that_is_not_square():
    rows, columns = torch.meshgrid(torch.arange(3.0), torch.arange(7.0), indexing='ij')
    feature_map = torch.stack([columns / 6, rows / 2], -1)[None]
    points = torch.rand(1, 20, 2)
    torch.testing.assert_close(read_bilinear(feature_map, points), points)


@pytest.mark.parametrize('tokens', [1, 2, 3, 4, 5, 16, 49])
def test_points_start_spread_over_the_picture(tokens):
    torch.manual_seed(0)
    sampler = GridSampler(channels=24, tokens=tokens)
    _, points = sampler(30 * torch.randn(8, 10, 10, 24))
    assert (points - spread_points(tokens)).abs().max() < 0.05
    if tokens > 1:
        distances = torch.cdist(points[0], points[0]) + torch.eye(tokens)
        assert distances.min() > 0.5 / tokens**0.5


def test_a_large_map_does_not_push_the_points_to_the_border():
    torch.manual_seed(0)
    _, points = GridSampler(channels=64, tokens=16)(30 * torch.randn(16, 8, 8, 64).exp())
    assert ((points < 0.01) | (points > 0.99)).float().mean() == 0


def test_a_bfloat16_map_gives_bfloat16_tokens_and_float32_points():
    sampler = GridSampler(channels=8, tokens=4)
    tokens, points = sampler(torch.randn(2, 5, 5, 8).bfloat16())
    assert tokens.dtype == torch.bfloat16
    assert points.dtype == torch.float32
    with torch.autocast('cpu', torch.bfloat16):
        _, mixed = sampler(torch.randn(2, 5, 5, 8))
    assert mixed.dtype == torch.float32
    # bfloat16 has 256 values between 0.5 and 1: float32 arithmetic shows more digits.
    assert not torch.equal(mixed, mixed.bfloat16().float())


def test_every_cell_under_a_point_and_the_predictor_receive_gradient():
    sampler = GridSampler(channels=8, tokens=4)
    feature_map = torch.randn(1, 6, 6, 8, requires_grad=True)
    tokens, _ = sampler(feature_map)
    (tokens * torch.randn_like(tokens)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in sampler.parameters())


def test_the_same_picture_gives_other_points_for_another_task_only_if_conditioned():
    torch.manual_seed(0)
    feature_map = torch.randn(1, 6, 6, 8)
    sampler = GridSampler(channels=8, tokens=4, context=16)
    _, one = sampler(feature_map, torch.randn(1, 16))
    _, other = sampler(feature_map, torch.randn(1, 16))
    assert not torch.equal(one, other)
    with pytest.raises(ValueError, match='made for a context of 16'):
        sampler(feature_map)
    with pytest.raises(ValueError, match='made for a context of 0'):
        GridSampler(channels=8)(feature_map, torch.randn(1, 16))


def test_the_paper_counts_1592608_parameters_at_2048_channels():
    sampler = GridSampler(channels=2048, tokens=16)
    assert sum(parameter.numel() for parameter in sampler.parameters()) == 1_592_608


def test_the_module_needs_nothing_but_torch():
    others = ('jaxtyping', 'cattrs', 'cv2', 'safetensors', 'rclpy', 'transformers')
    script = (
        f'import sys; sys.modules.update(dict.fromkeys({others}))\n'
        'import torch\n'
        'from ros2_gridsampler.policy.grid_sampler import GridSampler\n'
        'print(*GridSampler(8, tokens=3)(torch.zeros(2, 4, 5, 8))[0].shape)'
    )
    result = subprocess.run(
        [sys.executable, '-c', script], capture_output=True, text=True, check=False
    )
    assert result.stdout.split() == ['2', '3', '8'], result.stderr
