# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Pages of the documentation -> their command blocks, and what is said about running them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_MARK = re.compile(r'\s*<!-- (run by|not run:) (.+) -->')


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: Path, relative to the root.
        line: Number of the line of its fence, from 1.
        language: What stands behind the fence.
        text: What stands between the fences.
        run_by: Path of the test that runs it; empty where none does.
        not_run: Why none does; empty where nothing is said.
    """

    page: str
    line: int
    language: str
    text: str
    run_by: str
    not_run: str

    @property
    def commands(self):
        """The commands, split into words; a line that ends with a backslash goes on.

        What the shell puts in by itself, `$(...)`, is one word.
        """
        lines = re.sub(r'\$\([^)]*\)', '$()', self.text.replace('\\\n', ' ')).splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def pages():
    """The pages that people read, relative to the root."""
    patterns = ('README.md', 'CONTRIBUTING.md', 'docs/**/*.md', 'models/**/README.md')
    return sorted(
        {str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern)}
    )


def blocks(page):
    """The fenced blocks of a page."""
    found, lines = [], (ROOT / page).read_text('utf-8').splitlines()
    fences = [number for number, line in enumerate(lines) if line.lstrip().startswith('```')]
    for begin, end in zip(fences[::2], fences[1::2], strict=True):
        mark = _MARK.fullmatch(lines[begin - 1]) if begin else None
        how, said = mark.groups() if mark else ('', '')
        found.append(
            Block(
                page=page,
                line=begin + 1,
                language=lines[begin].strip().strip('`'),
                text='\n'.join(line.strip() for line in lines[begin + 1 : end]) + '\n',
                run_by=said if how == 'run by' else '',
                not_run=said if how == 'not run:' else '',
            )
        )
    return found


def command_blocks():
    """All blocks of commands, of all pages."""
    return [block for page in pages() for block in blocks(page) if block.language == 'bash']
