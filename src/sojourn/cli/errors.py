"""How a command says that it cannot: a sentence for people and an exit code."""

from __future__ import annotations

DONE = 0
FAILED = 1
WRONG_USAGE = 2


class CommandError(Exception):
    """Raised by a command; `main` prints the sentence to the error stream and ends with `code`."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code
