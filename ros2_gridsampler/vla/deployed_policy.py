# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folder, ours or lerobot's -> what a node needs to drive an arm with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from jaxtyping import Float, UInt8

from ..acting.action_chunk import ActionSpace
from ..calibrating.reference_views import load_reference_views
from ..device import torch_device
from ..engines import Backend
from ..engines.converted_policy import is_converted, load_converted
from ..engines.engine import EngineRefused, Settings
from ..engines.engine_cache import EngineCache, default_folder
from ..engines.table import AUTOMATIC, Choice, find_engines, preference
from ..policy.instruction import read_instruction
from ..policy.manifest import Manifest, golden_observation, is_lerobot, load_manifest
from ..seeing.camera_record import CameraRecord
from ..seeing.observation import Observation, ObservationConfig
from ..seeing.opencv import has_opencv

if TYPE_CHECKING:
    from ..policy.policy import Policy

LEROBOT = 'eager'
"""Name of the engine by which lerobot computes its policies itself."""


class Cells(Protocol):
    """What drawing points asks of an encoder."""

    @property
    def patch(self) -> int:
        """Side of a cell [px]."""


class DeployedConfig(Protocol):
    """What a node asks of `PolicyConfig` or `LerobotConfig`."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras, in order."""

    @property
    def action_space(self) -> ActionSpace:
        """The action space in which it commands the arm."""

    @property
    def observation(self) -> ObservationConfig:
        """The streams that it reads."""

    @property
    def steps(self) -> int:
        """Targets per chunk."""

    @property
    def period(self) -> float:
        """Time between two targets [s]."""

    @property
    def continues(self) -> bool:
        """Whether it takes the first steps of its chunk, where they are already decided."""

    @property
    def ensemble_decay(self) -> float | None:
        """`ScheduleConfig.ensemble_decay` of a policy made for temporal ensembling, or None."""

    @property
    def tokens(self) -> int:
        """Visual tokens kept per camera."""

    @property
    def dense_tokens(self) -> int:
        """Tokens per camera before sampling."""

    @property
    def encoder(self) -> Cells:
        """The encoder's cells, by which sampled points are drawn."""


class Elsewhere(Protocol):
    """What a node asks of the machine on which a policy is computed, where it is another one."""

    @property
    def wrong(self) -> str:
        """What is wrong with it or with the way to it, in a sentence; empty where nothing is."""

    @property
    def numbers(self) -> dict[str, Any]:
        """Numbers for people, by name."""

    def interrupt(self) -> None:
        """Ends the call in progress, from any thread, and refuses others until `resume`."""

    def resume(self) -> None:
        """Lets calls happen again."""

    def close(self) -> None:
        """Lets go of the connection."""


@dataclass(frozen=True, eq=False)
class Golden:
    """The chunk that the example must give.

    Attributes:
        actions: In physical units.
        unit: A difference of one; a number, or one for each action.
        unit_name: What one is.
    """

    actions: Float[np.ndarray, 'steps actions']
    unit: Float[np.ndarray, '...']
    unit_name: str


@dataclass(frozen=True)
class DeployedPolicy:
    """A policy that was verified and can predict.

    Attributes:
        config: What it reads and commands.
        backend: Engine that predicts.
        example: An observation to warm up with.
        golden: What it must give for the example; None where nobody here knows.
        about: What people want to know of it: names, hashes, sizes.
        check_instruction: Refuses, by a ValueError, a sentence that the policy does not read
            whole.
        cameras: What is known of the cameras of the training.
        views: Reference views of the cameras that stand still.
        elsewhere: The machine that computes it; None where that is this process.
    """

    config: DeployedConfig
    backend: Backend
    example: Observation
    golden: Golden | None
    about: dict[str, Any]
    check_instruction: Callable[[str], object]
    cameras: Mapping[str, CameraRecord] = field(default_factory=dict)
    views: Mapping[str, UInt8[np.ndarray, 'height width 3']] = field(default_factory=dict)
    elsewhere: Elsewhere | None = None


def keeps_encoder(folder: Path) -> str:
    """Returns why the policy in a folder keeps its encoder; empty where others may be tried."""
    if is_converted(folder):
        return (
            'A converted policy keeps its own encoder; for another one use the checkpoint that it '
            'was converted from.'
        )
    return 'A lerobot policy keeps its own encoder.' if is_lerobot(folder) else ''


def load_policy(
    folder: Path,
    backend: Choice,
    compute: Callable[[Policy], Backend] | None,
    settings: Settings | None = None,
    progress: Callable[[str], object] = lambda text: None,
) -> DeployedPolicy:
    """Loads whatever checkpoint is in a folder, verified.

    Args:
        folder: A checkpoint of this package, a converted one, or an adopted one of lerobot.
        backend: Name of the engine; for a lerobot policy 'eager' is lerobot itself, converted
            ones are computed by the engine that they were converted for.
        compute: Makes that engine from a policy of this package; not asked for others.
        settings: How a converted or a lerobot policy computes; the defaults of `Settings` where
            there are none.
        progress: Told what is being built of a lerobot policy, in a sentence.

    Raises:
        BadCheckpoint: The folder must not drive an arm; the text says why.
        ValueError: The backend cannot compute this policy, or not on this device.
    """
    settings = settings or Settings()
    if is_converted(folder):
        engine, manifest = load_converted(folder, settings)
        only = engine.report.backend
        _refuse_other(backend, only, f'A converted policy is computed by {only}')
        return _own(folder, engine, manifest, {'backend': only})
    require_torch(folder)
    import torch

    torch.set_num_threads(settings.threads)
    if is_lerobot(folder):
        return _lerobot(folder, backend, settings, progress)
    from ..policy.checkpoint import load_checkpoint

    policy, manifest = load_checkpoint(folder)
    if compute is None:
        raise ValueError(f'Nothing makes an engine of {folder}, which is not converted.')
    return _own(folder, compute(policy), manifest, {})


def action_space_of(folder: Path) -> ActionSpace:
    """Returns in which action space the policy of a folder commands, without loading it.

    Raises:
        BadCheckpoint: The folder does not say.
    """
    if is_lerobot(folder):
        require_torch(folder)
        from .lerobot_checkpoint import load_adoption

        return load_adoption(folder).robot.action_space
    return load_manifest(folder).policy.action_space


def reference_views(
    folder: Path, manifest: Manifest
) -> dict[str, UInt8[np.ndarray, 'height width 3']]:
    """Returns a checkpoint's views; none without OpenCV, which is what compares them."""
    return load_reference_views(folder, manifest.cameras) if has_opencv() else {}


def require_torch(folder: Path) -> None:
    """Refuses a policy that cannot be computed here.

    Raises:
        ValueError: PyTorch is not installed; says what to do.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f'{folder} needs PyTorch, which is not installed here; install it, or convert the '
            'policy where it is: gridsampler export --backend openvino --policy POLICY --out '
            'FOLDER.'
        ) from error


def _own(
    folder: Path, engine: Backend, manifest: Manifest, about: dict[str, Any]
) -> DeployedPolicy:
    config = manifest.policy
    hashes = {
        'weights sha256': manifest.weights_sha256,
        'encoder sha256': manifest.encoder_sha256,
        'statistics sha256': manifest.statistics_sha256,
    }
    return DeployedPolicy(
        config,
        engine,
        golden_observation(config),
        Golden(
            np.array(manifest.golden_actions),
            np.array(config.action_statistics.scale),
            'standard deviations',
        ),
        hashes | about | _describe(folder, config),
        partial(read_instruction, config.instruction),
        manifest.cameras,
        reference_views(folder, manifest),
    )


def _lerobot(
    folder: Path, backend: Choice, settings: Settings, progress: Callable[[str], object]
) -> DeployedPolicy:
    from .lerobot_config import golden_observation as example
    from .lerobot_policy import LerobotPolicy, load_lerobot_policy

    device = torch_device(settings.device)
    if backend == AUTOMATIC and device.type == 'cuda':
        # Where a GPU is, no engine on the CPU is better than PyTorch; a named engine chooses.
        settings = replace(settings, device=str(device))
    names = [name for name in preference(backend) if name != LEROBOT]
    policy, adoption = load_lerobot_policy(folder)
    about = {'weights sha256': adoption.sha256['model.safetensors'], 'backend': LEROBOT}
    computed: Backend = policy
    golden = np.array(adoption.golden_actions)
    if names:
        from .lerobot_engines import compile_policy

        try:
            compiled = compile_policy(
                policy,
                find_engines(names),
                settings,
                strict=backend != AUTOMATIC,
                cache=EngineCache(default_folder()),
                progress=progress,
            )
        except EngineRefused as error:
            if backend != AUTOMATIC:
                raise
            about['backends refused'] = str(error)
        else:
            computed = compiled
            about |= compiled.report.about()
    if computed is policy:
        about['device'] = str(device)
        if device.type != 'cpu':
            computed = policy = LerobotPolicy(policy.model.to(device), policy.config.robot)
    return DeployedPolicy(
        policy.config,
        computed,
        example(policy.config),
        Golden(golden, np.array(max(float(np.ptp(golden)), 1e-9)), 'parts of its range'),
        about | _describe(folder, policy.config),
        policy.check_instruction,
    )


def _refuse_other(backend: Choice, only: str, because: str) -> None:
    if backend not in (AUTOMATIC, only):
        raise ValueError(f'{because}: set backend to {only!r} or leave it, got {backend!r}.')


def _describe(folder: Path, config: DeployedConfig) -> dict[str, Any]:
    return {
        'policy': folder.name,
        'cameras': list(config.cameras),
        'joints': list(config.observation.joints),
        'actions': list(config.action_space.names),
        'tokens per camera': config.tokens,
        'dense tokens per camera': config.dense_tokens,
    }
