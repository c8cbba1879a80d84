"""What serves in a thread of its own until it is closed."""

from __future__ import annotations

import threading
from typing import TypeVar

B = TypeVar("B", bound="Background")


class Background:
    """A subclass says what it does (`_run`, until `_stop` is set) and what is left to close (`_leave`)."""

    def __init__(self) -> None:
        """The thread begins."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve no more."""
        self._stop.set()
        self._thread.join()
        self._leave()

    def __enter__(self: B) -> B:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        raise NotImplementedError

    def _leave(self) -> None:
        raise NotImplementedError
