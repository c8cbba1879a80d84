"""The sentences of an RFC that demand something (MUST, SHOULD and their negations), by section."""

from __future__ import annotations

import re
from pathlib import Path

VECTORS = Path(__file__).parent.parent / "vectors"
_SHARED = [Path(__file__).parents[3] / "shared", Path(__file__).parents[4] / "shared"]
"""Where the RFCs are, beside a clone or beside the directory of work trees."""
_BREAK = re.compile(r"(.)\n+Gundavelli, et al\..*\[Page \d+\]\n\f?\n?RFC 5213 .*\n+")
_HEADING = re.compile(r"^(\d+(?:\.\d+)*)\.  \S", re.MULTILINE)
_KEYWORD = re.compile(r"\b(?:MUST|SHOULD)(?: NOT)?\b")
_END = re.compile(r"(?<=[.:])\s+(?=[A-Z*o])")
_FIGURE = re.compile(r"^\s*(?:[+|].*|Figure \d+:.*)$", re.MULTILINE)


def original(name: str) -> str | None:
    """The text of an RFC from the shared directory; None where there is none."""
    for shared in _SHARED:
        path = shared / "rfc" / name
        if path.is_file():
            return path.read_text()
    return None


def between(text: str, first: str, last: str) -> str:
    """The part from the heading `first` to the heading `last`, without page breaks."""
    begin, end = text.rindex(f"\n{first}"), text.rindex(f"\n{last}")
    return _BREAK.sub(_joined, text[begin:end]).strip() + "\n"


def _joined(found: re.Match[str]) -> str:
    """A page may end within a sentence."""
    return found.group(1) + ("\n\n" if found.group(1) in ".:|" else "\n")


def demands(text: str) -> list[tuple[str, str]]:
    """(section, sentence) for each sentence with a keyword, in order."""
    found = []
    headings = list(_HEADING.finditer(text))
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        body = text[heading.start() : following.start() if following else len(text)].partition("\n")[2]
        for paragraph in re.split(r"\n\s*\n", _FIGURE.sub("\n", body)):
            for sentence in _END.split(" ".join(paragraph.split())):
                if _KEYWORD.search(sentence):
                    found.append((heading.group(1), re.sub(r"^(?:[o*]|\d+\.) +", "", sentence)))
    return found
