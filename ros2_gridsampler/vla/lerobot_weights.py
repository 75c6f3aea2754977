# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A lerobot config and a folder -> the policy with its weights, all of them or none.

Each policy class of lerobot repairs the names of its own checkpoints in `from_pretrained`, so
that is what loads them. It then goes on with random weights where they do not fit, some classes
with a printed line and no more; here that is an error.
"""

import contextlib
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from ..policy.manifest import BadCheckpoint
from .lerobot import REDUCERS, SamplerPlan, SeenPoints, attach
from .lerobot_folder import ADAPTER, WEIGHTS, cached, read_json
from .vision_tower import REDUCER


def load_weights(
    config: Any, folder: Path, plan: SamplerPlan | None
) -> tuple[Any, SeenPoints | None]:
    """Returns a policy as its own class loads it, and where it looks.

    Args:
        config: As `read_config` gives it.
        folder: Folder of `model.safetensors`.
        plan: What is attached before the weights come, which hold the reducers' too.

    Raises:
        BadCheckpoint: A tensor is missing, too many, or of another shape.
        OSError: The file, or something that the policy is built from, cannot be read.
        ValueError: lerobot has no such policy, or it cannot take the plan.
    """
    from lerobot.policies.factory import get_policy_class

    if not (folder / WEIGHTS).is_file():
        raise BadCheckpoint(f'{folder} has no {WEIGHTS}; copy the whole folder again.')
    kind: Any = get_policy_class(config.type)
    attached: list[SeenPoints] = []
    outcome: list[str] = []

    class Loading(kind):  # type: ignore[misc]
        """The same policy, which attaches reducers and says what became of its weights."""

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            if plan is not None:
                attached.append(attach(self, plan))

        def load_state_dict(
            self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False
        ) -> Any:
            try:
                found = super().load_state_dict(state_dict, strict=False, assign=assign)
            except RuntimeError as error:
                outcome.append(str(error))
                raise
            outcome.append(
                _misfit(self, found.missing_keys, found.unexpected_keys)
                or _quantised(self, state_dict)
            )
            return found

    # It prints what it does, and standard output may be somebody's JSON.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            policy: Any = Loading.from_pretrained(
                str(folder), config=config, strict=False, local_files_only=True
            )
        except SafetensorError as error:
            raise BadCheckpoint(
                f'{folder / WEIGHTS} is not a whole safetensors file: {error}. Copy it again.'
            ) from error
    if not outcome or outcome[-1]:
        raise BadCheckpoint(
            f'{folder / WEIGHTS} does not hold the weights of this {config.type!r}: '
            f'{outcome[-1] if outcome else "lerobot could not read it"}.'
        )
    policy.__class__ = kind
    return policy, attached[0] if attached else None


def _misfit(policy: Any, missing: list[str], unexpected: list[str]) -> str:
    """Returns what does not fit; a tensor that is another one by a second name is not missing."""
    state = policy.state_dict()
    given = {tensor.data_ptr() for name, tensor in state.items() if name not in missing}
    lacking = [name for name in missing if state[name].data_ptr() not in given]
    if not (lacking or unexpected):
        return ''
    hint = ''
    if any(REDUCERS in name or f'.{REDUCER}.' in name for name in unexpected):
        hint = '; its tokens are reduced, but reducers.json, which says how, is not beside it'
    return f'it lacks {_few(lacking)} and has {_few(unexpected)} besides{hint}'


def _quantised(policy: Any, given: Mapping[str, Tensor]) -> str:
    """Returns which weights are numbers of 8 bits, that mean nothing without their scales."""
    state = policy.state_dict()
    small = [
        name
        for name, tensor in given.items()
        if state[name].is_floating_point()
        and not (tensor.is_floating_point() and tensor.itemsize > 1)
    ]
    if not small:
        return ''
    return f'it has {_few(small)} in {given[small[0]].dtype}, not in floating point'


def _few(names: list[str]) -> str:
    return f'{", ".join(sorted(names)[:3]) or "nothing"}{", ..." if len(names) > 3 else ""}'


def needs_merging(folder: Path) -> bool:
    """Returns whether a folder holds a low-rank adapter (LoRA) instead of whole weights."""
    return (folder / ADAPTER).is_file() and not (folder / WEIGHTS).is_file()


def merge_adapter(config: Any, folder: Path) -> str:
    """Adds an adapter into the weights of its base and keeps them as `model.safetensors`.

    Args:
        config: Config of the policy in the adapter's folder.
        folder: As lerobot saves one: adapter, config, processors.

    Returns:
        What the base is called.

    Raises:
        BadCheckpoint: The base is not on this machine, or the adapter does not fit it.
    """
    from peft import PeftModel

    content = read_json(folder / ADAPTER)
    name, revision = content.get('base_model_name_or_path'), content.get('revision')
    if not name:
        raise BadCheckpoint(
            f'{folder / ADAPTER} does not name the policy that it adapts; write its folder there '
            'as base_model_name_or_path.'
        )
    base, _ = load_weights(config, _base_folder(folder, str(name), revision), None)
    try:
        adapted: Any = PeftModel.from_pretrained(base, str(folder))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise BadCheckpoint(f'{folder} does not adapt {name}: {str(error)[:300]}') from error
    whole = adapted.merge_and_unload()
    with tempfile.TemporaryDirectory(dir=folder) as partial:
        whole.save_pretrained(Path(partial))
        (Path(partial) / WEIGHTS).replace(folder / WEIGHTS)
    return str(name)


def _base_folder(folder: Path, name: str, revision: str | None) -> Path:
    """Returns where a base is: a path, beside the adapter, or in the local cache of the hub."""
    for path in (Path(name).expanduser(), folder / name):
        if (path / WEIGHTS).is_file():
            return path
    if (found := cached(name, WEIGHTS, revision)) is not None:
        return found.parent
    pinned = f' --revision {revision}' if revision else ''
    raise BadCheckpoint(
        f'{folder} is an adapter (LoRA) of {name!r}, which is not on this machine. Fetch it once '
        f'(hf download {name}{pinned}), or write the folder that holds it as '
        f'base_model_name_or_path into {folder / ADAPTER}.'
    )
