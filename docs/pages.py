# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""The pages of a clone, and the reference made from its code -> one folder for the site.

The folder has the layout of the clone, so a link that works in one works in the other. Run from
the root of a clone: `python -m docs.pages FOLDER`.
"""

import re
import shutil
import sys
from pathlib import Path

from .reference import PAGES, ROOT

REFERENCE = Path('docs', 'reference')
_WRITTEN = ('*.md', 'docs/**/*.md', 'models/**/README.md', 'experiments/README.md')
_FILES = ('resource/*.png', 'resource/*.jpg', 'docs/*.css')
# A link to a file of the clone; what begins with a scheme or with '#' is none.
_LINK = re.compile(r'(?<!!)\[([^\]\[]*)\]\((?!\w+:|#)([^)\s#]*)(#[^)\s]*)?\)')


def collect(folder: Path) -> None:
    """Writes all that the site is built from into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    made = {REFERENCE / name: make() for name, make in PAGES.items()}
    known = {*written(), *made}
    for path in written():
        made[path] = without_dead_ends((ROOT / path).read_text('utf-8'), path, known)
    for path, text in made.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, 'utf-8')
    for pattern in _FILES:
        for file in ROOT.glob(pattern):
            target = folder / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def written() -> list[Path]:
    """Returns the pages that stand in the clone, relative to its root."""
    return sorted(
        path.relative_to(ROOT)
        for pattern in _WRITTEN
        for path in ROOT.glob(pattern)
        if path.relative_to(ROOT).parts[:2] != REFERENCE.parts
    )


def without_dead_ends(text: str, page: Path, known: set[Path]) -> str:
    """Returns a page whose links to files of the clone that are no pages are plain text.

    A link to what is not there at all stays, so that the strict build of the site refuses it.

    Args:
        text: The page.
        page: Its path, relative to the root.
        known: All pages of the site.
    """

    def linked(match: re.Match[str]) -> str:
        words, target, _ = match.groups()
        place = (ROOT / page.parent / target).resolve()
        # The reference is in no clone.
        inside = place.relative_to(ROOT) if place.is_relative_to(ROOT) else place
        return words if inside not in known and place.exists() else match[0]

    return _LINK.sub(linked, text)


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit('Name the folder for the pages: python -m docs.pages FOLDER')
    collect(Path(sys.argv[1]))
