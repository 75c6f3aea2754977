# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Policy -> PyTorch itself, operator by operator: the reference, and the last resort."""

import torch

from ..policy.policy import Policy
from .engine import EngineRefused, Inputs, Machine, Outputs, Precision
from .exported_graph import Graph, reduced, run_eagerly

NAME = 'eager'


def check(precision: Precision) -> Machine:
    """What an engine depends on here.

    Raises:
        EngineRefused: PyTorch has no such precision on a CPU.
    """
    if precision not in ('fp32', 'bf16'):
        raise EngineRefused(f'PyTorch does not compute {precision} on a CPU; use fp32 or bf16.')
    return Machine(f'torch {torch.__version__}', 'CPU')


class EagerEngine:
    """The policy, or a copy of it in 16 bits.

    Args:
        policy: In float32.
        precision: 'fp32' or 'bf16'.
        threads: Of one inference; PyTorch has one number for the whole process.
    """

    def __init__(self, policy: Policy, precision: Precision, threads: int) -> None:
        torch.set_num_threads(threads)
        self._graph = Graph(policy if precision == 'fp32' else reduced(policy, precision)).eval()

    def run(self, inputs: Inputs) -> Outputs:
        """Once."""
        return run_eagerly(self._graph, inputs)
