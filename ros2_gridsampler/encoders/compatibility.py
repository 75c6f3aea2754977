# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A policy and another encoder -> the policy on that encoder, or the sentence why not."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..policy.encoder import Encoder
from ..policy.manifest import Manifest
from ..policy.policy import Policy
from ..policy.policy_config import EncoderConfig, PolicyConfig
from .encoder_checkpoint import EncoderManifest, load_encoder
from .encoder_store import default_folder
from .known_encoders import KnownEncoder, find_encoder, known_encoders


class EncoderDoesNotFit(ValueError):
    """An encoder that a policy must not see through; the text says what differs."""


@dataclass(frozen=True)
class PolicyNeeds:
    """What a policy asks of an encoder.

    Attributes:
        config: Config of the policy.
        weights_sha256: Hash of the policy's weights file.
        encoder_sha256: Hash of the encoder that the policy came with.
        name: Name of the policy, for messages.
    """

    config: PolicyConfig
    weights_sha256: str
    encoder_sha256: str
    name: str

    @classmethod
    def of(cls, manifest: Manifest, name: str) -> 'PolicyNeeds':
        """Returns what the policy of a manifest asks for."""
        return cls(manifest.policy, manifest.weights_sha256, manifest.encoder_sha256, name)

    def differences(self, encoder: EncoderManifest) -> list[str]:
        """Returns what keeps an encoder from replacing the policy's own, if anything."""
        own, other = self.config.encoder, encoder.encoder
        found = [
            f'{name} is {getattr(other, name)} instead of {getattr(own, name)}'
            for name in ('image_height', 'image_width', 'patch', 'width')
            if getattr(other, name) != getattr(own, name)
        ]
        # Inside the tower the points are read after a block that another depth does not have.
        if other.depth != own.depth and self.config.sample_after != own.depth:
            found.append(
                f'depth is {other.depth} instead of {own.depth}, and the policy reads its points '
                f'after block {self.config.sample_after}'
            )
        ours, theirs = self.config.preparation, encoder.preparation
        found += [
            f'pictures are prepared with {name} {getattr(theirs, name)} instead of '
            f'{getattr(ours, name)}'
            for name in ('width', 'height', 'crop', 'rectify')
            if getattr(theirs, name) != getattr(ours, name)
        ]
        return found

    def is_validated(self, encoder: EncoderManifest) -> bool:
        """Returns whether the encoder is the policy's own, or was measured with it."""
        if encoder.encoder_sha256 == self.encoder_sha256:
            return True
        measured = encoder.results.get('policies')
        return isinstance(measured, list) and any(
            isinstance(entry, dict) and entry.get('policy_sha256') == self.weights_sha256
            for entry in measured
        )

    def check(
        self,
        encoder: EncoderManifest,
        name: str,
        *,
        allow_unvalidated: bool,
        known: Iterable[KnownEncoder],
    ) -> None:
        """Refuses an encoder that does not fit.

        Args:
            encoder: Its manifest.
            name: Its name, for the text.
            allow_unvalidated: Whether it need not have been measured with this policy.
            known: Encoders to name instead; looked through only where this one is refused.

        Raises:
            EncoderDoesNotFit: It differs in what must agree.
        """
        if found := self.differences(encoder):
            reason = f'{"; ".join(found)}.'
        elif not allow_unvalidated and not self.is_validated(encoder):
            reason = (
                'it was never measured with this policy. Fit it with gridsampler adapt, or set '
                'swap.allow_unvalidated where nothing can be broken.'
            )
        else:
            return
        fitting = [
            other.name
            for other in known
            if not self.differences(other.manifest)
            and (allow_unvalidated or self.is_validated(other.manifest))
        ]
        raise EncoderDoesNotFit(
            f'Encoder {name!r} does not fit policy {self.name!r}: {reason} '
            + (f'These would fit: {fitting}.' if fitting else 'No encoder that is here would fit.')
        )


def with_encoder(policy: Policy, encoder: Encoder) -> Policy:
    """Returns a copy of the policy on another encoder; the policy stays as it is."""
    # The memo puts the encoder where the copy would copy the old one.
    changed = copy.deepcopy(policy, {id(policy.encoder): encoder})
    changed.config = config_with_encoder(policy.config, encoder.config)
    return changed.eval()


def config_with_encoder(own: PolicyConfig, encoder: EncoderConfig) -> PolicyConfig:
    """Returns the config with another encoder; points read after the tower still are."""
    after = own.sample_after if own.sample_after < own.encoder.depth else encoder.depth
    return replace(own, encoder=encoder, sample_after=after)


def see_through(policy: Policy, needs: PolicyNeeds, name: str) -> Policy:
    """Returns a copy of a policy on a named encoder that fits in shape, measured with it or not.

    For simulations and measurements; an arm asks `PolicyNeeds.check` for more.

    Raises:
        ValueError: The encoder does not fit or must not be believed.
        FileNotFoundError: There is none of that name.
    """
    store = default_folder()
    encoder, manifest = load_encoder(find_encoder(name, store))
    needs.check(manifest, name, allow_unvalidated=True, known=known_encoders(store))
    return with_encoder(policy, encoder)
