# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Small lerobot policies -> ONNX files of their networks, for a place that has no lerobot.

Run where lerobot is: `python test/lerobot_onnx.py FOLDER`. `test_tensorrt_lerobot.py` builds them.
"""
# ruff: noqa: T201

import os
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault('HF_HUB_OFFLINE', '1')
warnings.simplefilter('ignore')
import lerobot_policies as small  # noqa: E402
import pytest  # noqa: E402

from ros2_gridsampler.engines.exported_graph import export  # noqa: E402
from ros2_gridsampler.engines.onnxruntime import to_onnx  # noqa: E402
from ros2_gridsampler.vla.lerobot import SamplerPlan, attach  # noqa: E402
from ros2_gridsampler.vla.lerobot_engines import try_outs  # noqa: E402
from ros2_gridsampler.vla.lerobot_graphs import cut  # noqa: E402
from ros2_gridsampler.vla.lerobot_policy import LerobotPolicy  # noqa: E402

KINDS, PRECISIONS = ('act', 'smolvla', 'pi0'), ('fp32', 'fp16', 'bf16')


def main(out: Path, kinds: tuple[str, ...] = KINDS, precisions=PRECISIONS) -> None:
    """Writes every network of a small ACT, SmolVLA and pi0 in three precisions."""
    out.mkdir(parents=True, exist_ok=True)
    vlm = small.language_model(Path(tempfile.mkdtemp()))
    with pytest.MonkeyPatch.context() as patch:
        small.shrink_pi(patch, 'pi0', vlm)
        for kind in kinds:
            plan, own = SamplerPlan(2), small.policy(kind, vlm)
            seen = attach(own, plan)
            robot = small.robot('' if kind == 'act' else str(vlm))
            policy = LerobotPolicy(small.model(kind, vlm, plan, seen, own), robot)
            for name, part in cut(policy).parts.items():
                example = part.probes(try_outs(policy))[0]
                for precision in precisions:
                    path = out / f'{kind}_{name}_{precision}.onnx'
                    path.write_bytes(to_onnx(export(part, example, precision)))
                    print(path)


if __name__ == '__main__':
    main(Path(sys.argv[1]))
