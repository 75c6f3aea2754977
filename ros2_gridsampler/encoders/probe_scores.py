# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""What linear readers got out of frozen encoders, in their manifests -> one table of all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..files import structure
from .encoder_checkpoint import EncoderManifest

PROBES = 'probes'
"""Key of the scores among the results of a manifest."""
_BLIND = 'no picture'


@dataclass(frozen=True)
class Score:
    """How well one thing is read linearly from a frozen encoder.

    Attributes:
        probe: What was asked of the features.
        features: 'mean' token, whole 'map', or 'none'.
        value: In `unit`.
        unit: '%' right, or 'cm' of error.
        interval: 95%, over pictures or over episodes.
        samples: Pictures or episodes.
        data: What was looked at.
    """

    probe: str
    features: str
    value: float
    unit: str
    interval: tuple[float, float]
    samples: int
    data: str = ''

    def __post_init__(self) -> None:
        """Refuses text that would do something to a terminal."""
        text = f'{self.probe}{self.features}{self.unit}{self.data}'
        if not text.isprintable() or len(text) > 200:
            raise ValueError(f'{text[:80]!r} names no probe in at most 200 printable characters')

    def __str__(self) -> str:
        """Value and interval, for people."""
        low, high = self.interval
        return f'{self.value:.2f} ({low:.2f} to {high:.2f})'


def read_scores(manifest: EncoderManifest) -> list[Score]:
    """Returns the scores that the manifest of an encoder holds; none where it was not probed.

    Raises:
        ValueError: They are not as `experiments.probes --keep` writes them.
    """
    found = manifest.results.get(PROBES, [])
    if not isinstance(found, list):
        raise ValueError(f'{PROBES} are no list but {found!r:.80}')
    return [structure(content, Score) for content in found]


def score_table(encoders: Mapping[str, Sequence[Score]]) -> str:
    """Returns a table with a row for each thing that was asked, and a column for each encoder.

    The last column is what is known without any picture.

    Args:
        encoders: Name -> its scores; those without any have no column.
    """
    columns: dict[str, dict[tuple[str, str], str]] = {
        name: {_row(score): str(score) for score in scores if score.features != 'none'}
        for name, scores in encoders.items()
        if scores
    }
    every = [score for scores in encoders.values() for score in scores]
    blind = {(s.probe, s.data): str(s) for s in every if s.features == 'none'}
    seen = [score for score in every if score.features != 'none']
    columns[_BLIND] = {_row(s): blind.get((s.probe, s.data), '') for s in seen}
    heads = ['read linearly [unit], on how many', *columns]
    rows = [
        [', '.join(row), *(cells.get(row, '') for cells in columns.values())]
        for row in dict.fromkeys(map(_row, seen))
    ]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = (
        '  '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (heads, *rows)
    )
    return '\n'.join(lines)


def _row(score: Score) -> tuple[str, str]:
    """Scores of one row can be compared: the same question to the same data."""
    about = f'{score.probe} from the {score.features} [{score.unit}]'
    return about, f'{score.samples} of {score.data}' if score.data else str(score.samples)
