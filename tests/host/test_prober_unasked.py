"""A prober believes what quotes its own secret, and nothing else."""

from __future__ import annotations

import asyncio
import struct

import pytest

from sojourn.host.prober import Heard, Prober

_ECHO = struct.Struct("!BBHHH")
_SENDER = bytes(15) + b"\1"


@pytest.mark.parametrize(("error", "code"), [(0, 0), (1, 3), (2, 0), (3, 0)])
@pytest.mark.parametrize("known", [False, True])
def test_an_answer_or_error_without_our_token_counts_for_nothing(error: int, code: int, known: bool) -> None:
    """Errors were taken from whoever guessed sixteen bits: a way that works was told to be broken."""

    async def main() -> Heard | None:
        prober = Prober.__new__(Prober)  # its sockets need rights
        prober._identifier, prober._token = 7, b"12345678"
        future: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        prober._waiting = {1: (future, 0.0)}
        echo = _ECHO.pack(128, 0, 0, 7, 1) + (b"12345678" if known else b"guessed!")
        prober._heard(echo, _SENDER, error, code)
        return future.result() if future.done() else None

    heard = asyncio.run(main())
    assert (heard is not None) == known
