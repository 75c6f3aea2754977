# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Name of an encoder -> the policy on it, compiled and verified, or the sentence why not."""

import copy
from collections.abc import Callable
from pathlib import Path

from ..engines.compiled_policy import Backend, CompiledPolicy
from ..policy.policy import Policy
from ..policy.policy_config import PolicyConfig
from .compatibility import PolicyNeeds, config_with_encoder, with_encoder
from .encoder_checkpoint import EncoderManifest, load_encoder, load_encoder_manifest
from .engine_maker import EngineMaker
from .known_encoders import find_encoder, known_encoders
from .swappable_backend import Candidate


class CandidateMaker:
    """Puts one policy on other encoders.

    Args:
        policy: Policy on its own encoder.
        needs: What that policy asks of an encoder.
        store: Folder of received encoders.
        engines: Maker of that policy's engines.
        announce: Is told of every engine that was made; returns what predicts.
        allow_unvalidated: Whether an encoder need not have been measured with the policy.
    """

    def __init__(
        self,
        policy: Policy,
        needs: PolicyNeeds,
        store: Path,
        engines: EngineMaker,
        announce: Callable[[CompiledPolicy], Backend],
        *,
        allow_unvalidated: bool,
    ) -> None:
        # Engines patch the modules that they run, so copies are made from one that never is.
        self._base = copy.deepcopy(policy)
        self._needs = needs
        self._store = store
        self._engines = engines
        self._announce = announce
        self.allow_unvalidated = allow_unvalidated
        """Whether an encoder need not have been measured with the policy; may be set any time."""

    @property
    def config(self) -> PolicyConfig:
        """Configuration of the policy on its own encoder."""
        return self._base.config

    def refusal(self, name: str, *, allow_unvalidated: bool | None = None) -> str:
        """Returns why an encoder cannot be used, by its manifest; empty where it may.

        Args:
            name: Name of the encoder; empty for the policy's own.
            allow_unvalidated: As in the constructor; None for what is set now.
        """
        if not name:
            return ''
        try:
            manifest = load_encoder_manifest(find_encoder(name, self._store))
            self.check(manifest, name, allow_unvalidated=allow_unvalidated)
        except (ValueError, OSError) as error:
            return str(error)
        except RuntimeError as error:  # of expanduser, where there is no such user
            return f'{name!r} is no path: {error}'
        return ''

    def check(
        self, manifest: EncoderManifest, name: str, *, allow_unvalidated: bool | None = None
    ) -> None:
        """Refuses an encoder by its manifest.

        Args:
            manifest: Manifest of the encoder.
            name: Name of the encoder.
            allow_unvalidated: As in the constructor; None for what is set now.

        Raises:
            EncoderDoesNotFit: It differs in what must agree.
        """
        if allow_unvalidated is None:
            allow_unvalidated = self.allow_unvalidated
        self._needs.check(
            manifest,
            name,
            allow_unvalidated=allow_unvalidated,
            known=known_encoders(self._store),
        )

    def make(self, name: str, wait: Callable[[], None] | None = None) -> Candidate:
        """Checks that an encoder fits, and has the policy's engine made on it.

        Args:
            name: Name of the encoder; empty for the policy's own.
            wait: Where nothing may be held up meanwhile: returns after a short while; where it
                raises, nothing is made any more.

        Raises:
            ValueError: The encoder does not fit or must not be believed.
        """
        config, sha256, folder = self.config, self._needs.encoder_sha256, None
        if name:
            folder = find_encoder(name, self._store)
            manifest = load_encoder_manifest(folder)
            self.check(manifest, name)
            config = config_with_encoder(config, manifest.encoder)
            sha256 = manifest.weights_sha256
        if wait is None or not self._engines.comes_in_files:
            engine = self._engines.here(self._policy_on(folder))
        else:
            engine = self._engines.apart(folder, config, wait)
        return Candidate(name, sha256, self._announce(engine))

    def _policy_on(self, folder: Path | None) -> Policy:
        if folder is None:
            return copy.deepcopy(self._base)
        return with_encoder(self._base, load_encoder(folder)[0])
