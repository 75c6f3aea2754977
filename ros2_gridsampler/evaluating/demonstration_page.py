# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""A demonstration -> index.html, episodes.mp4, latency.png and result.json in one folder."""

import json
from pathlib import Path

import jinja2
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..acting.latency import STAGES
from .demonstration_record import Demonstration, EpisodeSeen
from .film import Clip, write_film

FILM, FIGURE, RESULT, PAGE = 'episodes.mp4', 'latency.png', 'result.json', 'index.html'

_COLOURS = ('#9aa5b1', '#4c8bb8', '#2f6690', '#d98e32')


def write_page(seen: Demonstration, folder: Path, *, progress: bool = False) -> str:
    """Writes the page of a demonstration; it loads nothing from the network.

    Args:
        seen: What was measured.
        folder: Created where needed; files of these names are replaced.
        progress: Whether to show a bar for the film.

    Returns:
        The table, as text for a terminal.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clips = [_clip(seen, number) for number in range(len(seen.episodes))]
    has_film = any(clip.pictures for clip in clips)
    if has_film:
        write_film(clips, folder / FILM, progress=progress)
    has_figure = bool(seen.stages.get('total'))
    if has_figure:
        _plot_latency(seen, folder / FIGURE)
    text = json.dumps(seen.numbers(), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / RESULT).write_text(text + '\n', encoding='utf-8')
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(Path(__file__).with_suffix('.html').read_text(encoding='utf-8'))
    page = template.render(
        seen=seen,
        film=FILM if has_film else '',
        figure=FIGURE if has_figure else '',
        result=RESULT,
    )
    (folder / PAGE).write_text(page, encoding='utf-8')
    return seen.table()


def _clip(seen: Demonstration, number: int) -> Clip:
    episode = seen.episodes[number]
    heading = f'Episode {number + 1} of {len(seen.episodes)}  ·  {seen.suite} task {episode.task}'
    verdict = _verdict(seen, episode)
    return Clip(heading, episode.instruction, episode.success, verdict, episode.pictures)


def _verdict(seen: Demonstration, episode: EpisodeSeen) -> str:
    seconds = f'{episode.steps * seen.period:.1f} s'
    return f'Solved in {seconds}' if episode.success else f'Not solved in {seconds}'


def _plot_latency(seen: Demonstration, path: Path) -> None:
    summaries = seen.latency()
    totals = [1e3 * total for total in seen.stages['total']]
    # Neither pyplot nor its global state: the page may be written by any thread.
    figure = Figure(figsize=(6, 4.6), layout='constrained')
    FigureCanvasAgg(figure)
    bars, histogram = figure.subplots(2, 1, height_ratios=(1, 2.6))
    left = 0.0
    for stage, colour in zip(STAGES[:-1], _COLOURS, strict=True):
        width = 1e3 * summaries[stage].p50
        bars.barh(0, width, left=left, color=colour, label=f'{stage} {width:.1f} ms')
        left += width
    bars.set_yticks([])
    bars.set_xlabel('median of each stage [ms]')
    bars.set_title('From camera stamp to command stamp', loc='left', fontsize=11)
    bars.legend(
        ncols=4,
        loc='lower center',
        bbox_to_anchor=(0.5, 1.3),
        frameon=False,
        fontsize=9,
        columnspacing=1.0,
    )
    histogram.hist(totals, bins=40, color=_COLOURS[2])
    total = summaries['total']
    for name, value, height in (('p50', total.p50, 0.98), ('p99', total.p99, 0.86)):
        histogram.axvline(1e3 * value, color=_COLOURS[3], linewidth=1.5)
        histogram.annotate(
            f' {name} {1e3 * value:.1f} ms ',
            (1e3 * value, height),
            xycoords=('data', 'axes fraction'),
            ha='right' if value > 0.7 * total.maximum else 'left',
            va='top',
        )
    histogram.set_xlabel('total [ms]')
    histogram.set_ylabel('chunks')
    for axes in (bars, histogram):
        axes.spines[['top', 'right']].set_visible(False)
    bars.spines['left'].set_visible(False)
    figure.savefig(path, dpi=150)
