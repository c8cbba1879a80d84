"""``sojourn decode``: mobility signalling in a capture file, in words."""

from __future__ import annotations

import gc
import heapq
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

from cyclopts import Parameter

from sojourn.cli.errors import DONE, FAILED, WRONG_USAGE, CommandError

if TYPE_CHECKING:
    from sojourn.capture.files import Fault
    from sojourn.capture.report import Line, Report
    from sojourn.capture.signals import Reader, Signal
    from sojourn.capture.words import Words
    from sojourn.wire.tolerance import Profile

_POLL = 0.2
"""Seconds between two looks at a file that may have grown."""
_GARBAGE = 100_000
"""Objects between two searches for cycles: messages form none, and looking for them takes a quarter of the time."""
_NARROWEST = 40
_COLOURS = {"dim": "2", "name": "1", "good": "32", "bad": "31", "note": "33"}
_FOREVER = 1 << 127

Item = tuple[int, int, int, "str", "Signal | Fault"]


def decode(
    files: Annotated[list[Path], Parameter(negative=(), allow_leading_hyphen=True)],
    /,
    *,
    json_output: Annotated[bool, Parameter(name="--json", negative=())] = False,
    follow: Annotated[bool, Parameter(negative=())] = False,
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"], negative=())] = False,
    conversations: Annotated[bool, Parameter(name=["--conversations", "-c"], negative=())] = False,
    problems: Annotated[bool, Parameter(negative=())] = False,
    node: str | None = None,
    types: Annotated[str | None, Parameter(name="--type")] = None,
    discovery: Annotated[bool, Parameter(negative=())] = False,
    clock: Annotated[Literal["utc", "relative", "delta", "epoch"], Parameter(name="--time")] = "utc",
    plain: Annotated[bool, Parameter(negative=())] = False,
    key_of: Path | None = None,
    peer: str | None = None,
) -> int:
    """Tell in words what mobility signalling a capture file holds.

    One line a message: packet number, time, addresses, name, status, flags, sequence number, lifetime, options; then
    which packet it answers and how long that took. What breaks a rule is marked "!", with the RFC's section.

    Exit codes: 0 done, 1 the file could not be read to its end, 2 wrong usage.

    Parameters
    ----------
    files:
        Captures (pcap or pcapng, also with gzip); - is standard input. Several are merged by time, and packets that
        more than one of them saw are shown once.
    json_output:
        One JSON object per message; docs/decode.md describes it.
    follow:
        Wait for what is added to the file, until Ctrl-C.
    verbose:
        All fields and options as a tree.
    conversations:
        Requests with their answers, by node: round trips, retransmissions, what is missing, handovers.
    problems:
        Only messages that break a rule.
    node:
        Only messages about this node, as it is written in the output.
    types:
        Only these messages: PBU,PBA for example.
    discovery:
        Router and neighbour discovery too.
    clock:
        How to write times; relative and delta are seconds since the first message and since the one before.
    plain:
        Show identifiers of nodes as they are, not as hashes.
    key_of:
        A daemon's configuration file: hash with its identifier_key, as that daemon's log does.
    peer:
        Read as this implementation means what it sends, although no RFC does: mad-pmipv6, oai-pmipv6, ...
    """
    from sojourn.capture.report import Report

    if option := next((str(file) for file in files if str(file).startswith("-") and str(file) != "-"), None):
        raise CommandError(f"there is no option {option}. Try: sojourn decode --help", WRONG_USAGE)
    if follow and len(files) > 1:
        raise CommandError("--follow goes with one file only", WRONG_USAGE)
    words = _words(plain, key_of)
    wanted = _Filter(words, node, types, problems)
    output = _Output(
        Report(words, clock), verbose, json_output, several=len(files) > 1, flush=follow or not _regular(files)
    )
    view = _Conversations(output) if conversations else _Messages(output)
    profile = _profile(peer)
    gc.set_threshold(_GARBAGE)
    with ExitStack() as opened:
        readers = _readers(files, follow, discovery, profile, opened)
        try:
            for name, item in _merged(readers):
                view.take(name, item, wanted)
        finally:  # Ctrl-C is how following ends
            view.end()
            _summarize(readers, quiet=json_output)
    return FAILED if any(reader.tally.lost for _, reader in readers) else DONE


def _words(plain: bool, key_of: Path | None) -> Words:
    from sojourn.capture.words import Identities, Words
    from sojourn.telemetry.identifiers import Identifiers

    identifiers = Identifiers(_key(key_of), plain)

    def address(text: str) -> str:
        shown: str = identifiers.row({"address": text})["address"]
        return shown

    return Words(Identities(identifiers.node, identifiers.link_layer, address, hidden=not plain))


def _key(key_of: Path | None) -> str:
    if key_of is None:
        return ""
    from sojourn.daemon.configuration import load
    from sojourn.files.toml import ConfigurationError

    try:
        return load(key_of).file.identifier_key
    except ConfigurationError as error:
        raise CommandError(str(error), WRONG_USAGE) from None


# --- reading ------------------------------------------------------------------------------------------------------


def _regular(files: Sequence[Path]) -> bool:
    return all(file.is_file() for file in files)


def _profile(name: str | None) -> Profile | None:
    if name is None:
        return None
    from sojourn.wire.tolerance import PROFILES

    if name not in PROFILES:
        raise CommandError(f"there is no peer {name!r}; there are {', '.join(PROFILES)}", WRONG_USAGE)
    return PROFILES[name]


def _readers(
    files: Sequence[Path], follow: bool, discovery: bool, peer: Profile | None, opened: ExitStack
) -> list[tuple[Path, Reader]]:
    from sojourn.capture.signals import Reader
    from sojourn.capture.source import Source

    found = []
    for file in files:
        stream = opened.enter_context(_open(file))
        source = Source(stream, _waiter(stream) if follow else None)
        origin = file.stem if len(files) > 1 else ""
        found.append((file, Reader(source, origin=origin, discovery=discovery, peer=peer)))
    return found


def _open(file: Path) -> BinaryIO:
    if str(file) == "-":
        if sys.stdin.isatty():
            raise CommandError("standard input is a terminal. Try: tcpdump -U -w - | sojourn decode -", WRONG_USAGE)
        return open(0, "rb", buffering=0, closefd=False)
    try:
        return file.open("rb", buffering=0)
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None


def _waiter(stream: BinaryIO) -> Callable[[], bool]:
    """Whether more may come at the end of `stream`: always from a file that did not shrink, never from a pipe."""

    def wait() -> bool:
        if not stream.seekable() or os.fstat(stream.fileno()).st_size < stream.tell():
            return False
        time.sleep(_POLL)
        return True

    return wait


def _merged(readers: Sequence[tuple[Path, Reader]]) -> Iterator[tuple[str, Signal | Fault]]:
    """All captures as one, in the order of time; what has no time stays where it stands in its file."""
    if len(readers) == 1:
        file, reader = readers[0]
        yield from ((str(file), item) for item in reader.signals())
        return
    streams = [_keyed(index, str(file), reader) for index, (file, reader) in enumerate(readers)]
    yield from ((name, item) for *_, name, item in heapq.merge(*streams))


def _keyed(index: int, name: str, reader: Reader) -> Iterator[Item]:
    latest = -_FOREVER
    for place, item in enumerate(reader.signals()):
        stamp = getattr(item, "time", None)
        latest = latest if stamp is None else max(latest, stamp)
        yield latest, index, place, name, item


class _Filter:
    """Which messages are wanted."""

    def __init__(self, words: Words, node: str | None, types: str | None, problems: bool) -> None:
        self._words = words
        self._node = node
        self._types = None if types is None else {name.strip().rstrip("*").lower() for name in types.split(",")}
        self._problems = problems

    def __call__(self, signal: Signal, who: Callable[[Signal, bytes], str], node: bytes | None) -> bool:
        if self._problems and not signal.grave:
            return False
        if self._types is not None and signal.name.rstrip("*").lower() not in self._types:
            return False
        return self._node is None or (node is not None and who(signal, node) == self._node)


# --- writing ------------------------------------------------------------------------------------------------------


class _Messages:
    """A line, a tree or an object a message."""

    def __init__(self, output: _Output) -> None:
        from sojourn.capture.conversations import Pairing

        self._output = output
        self._pairing = Pairing()

    def take(self, name: str, item: Signal | Fault, wanted: _Filter) -> None:
        from sojourn.capture.conversations import node_of
        from sojourn.capture.files import Fault

        output, report = self._output, self._output.report
        if isinstance(item, Fault):
            output.fault(item, name)
            return
        place = self._pairing.place(item)
        node = node_of(item)
        if node is None and place.exchange is not None:
            node = place.exchange.node
        if not wanted(item, report.who, node) or (output.several and place.copy_of is not None):
            return
        if output.as_json:
            output.object(report.object(item, place))
        elif output.verbose:
            output.lines(report.tree(item, place))
        else:
            output.line(report.line(item, place))

    def end(self) -> None:
        """Nothing was held back."""


class _Conversations:
    """All requests and answers when the capture is over."""

    def __init__(self, output: _Output) -> None:
        from sojourn.capture.conversations import Conversations

        self._output = output
        self._all = Conversations()

    def take(self, name: str, item: Signal | Fault, wanted: _Filter) -> None:
        from sojourn.capture.conversations import node_of
        from sojourn.capture.files import Fault

        if isinstance(item, Fault):
            self._output.fault(item, name)
        elif wanted(item, self._output.report.who, node_of(item)):
            self._all.add(item)

    def end(self) -> None:
        output, report = self._output, self._output.report
        for conversation in self._all.all():
            if output.as_json:
                output.object(report.conversation_object(conversation))
            else:
                output.lines(report.conversation(conversation))
        if self._all.left_out:
            print(f"sojourn: {self._all.left_out} messages more than a conversation view holds", file=sys.stderr)


class _Output:
    """Standard output: folded and coloured on a terminal, one line a message elsewhere."""

    def __init__(self, report: Report, verbose: bool, as_json: bool, *, several: bool, flush: bool) -> None:
        self.report = report
        self.verbose = verbose
        self.as_json = as_json
        self.several = several
        self._flush = flush
        terminal = sys.stdout.isatty()
        self._width = max(_NARROWEST, shutil.get_terminal_size((80, 24)).columns) if terminal else None
        self._colour = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    def object(self, found: dict[str, Any]) -> None:
        print(json.dumps(found), flush=self._flush)

    def line(self, line: Line, depth: int = 0) -> None:
        self.lines(((depth, line),))

    def lines(self, lines: Iterable[tuple[int, Line]]) -> None:
        texts = [text for depth, line in lines for text in self._laid_out(line, depth)]
        print("\n".join(texts), flush=self._flush)

    def fault(self, fault: Fault, name: str) -> None:
        from sojourn.capture.report import Piece, fault_object

        if self.as_json:
            self.object(fault_object(fault, Path(name).stem if self.several else ""))
        else:
            label = f"{Path(name).stem}:{fault.number}" if self.several else str(fault.number or "-")
            where = f" (octet {fault.position} of the file)" if fault.position else ""
            self.line([Piece(f"{label:>5}", "dim"), Piece(f"! {fault.what}{where}", "bad")])

    def _laid_out(self, line: Line, depth: int) -> Iterator[str]:
        indent = "  " * depth
        if self._width is None:
            yield indent + " ".join(piece.text for piece in line)
            return
        room, text, used = self._width, indent, len(indent)
        for piece in line:
            for word in _words_of(piece.text, room - len(indent) - 6):
                gap = used > len(indent)
                if gap and used + 1 + len(word) > room:
                    yield text
                    text, used, gap = f"{indent}      ", len(indent) + 6, False
                text += f"{' ' if gap else ''}{self._styled(word, piece.style)}"
                used += gap + len(word)
        yield text

    def _styled(self, word: str, style: str) -> str:
        return f"\x1b[{_COLOURS[style]}m{word}\x1b[0m" if self._colour and style else word


def _words_of(text: str, room: int) -> Iterable[str]:
    """The words of a text; one that is longer than a line is cut. Leading blanks, which align numbers, stay."""
    lead = len(text) - len(text.lstrip())
    words = text.split()
    for number, word in enumerate(words):
        shown = " " * lead + word if number == 0 else word
        for begin in range(0, len(shown), room):
            yield shown[begin : begin + room]


def _summarize(readers: Sequence[tuple[Path, Reader]], quiet: bool) -> None:
    from sojourn.capture.report import summary

    sys.stdout.flush()
    for file, reader in readers:
        if not quiet:
            for line in summary(reader.tally):
                print(f"{f'{file}: ' if len(readers) > 1 else ''}{line}", file=sys.stderr)
        if reader.tally.lost:
            print(f"sojourn: {file} could not be read to its end without a gap", file=sys.stderr)
