"""Where the runs of a sweep are done: on the cores of this machine, or on a cluster.

Both start tasks and hand out their outcomes as they end; a task is a function of a module and one argument, and opens
what it reads by its path. On this machine each task has a process of its own, so that one that crashes or needs all
memory takes nobody along. The cluster is Dask's (the extra ``cluster``), met here only.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

A = TypeVar("A")
_PATIENCE = 10.0
"""Seconds in which an interrupted run writes down how far it is."""


class ExecutorLost(Exception):
    """The cluster is gone; the text is for people."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[A]):
    """How a task ended."""

    argument: A
    result: Any
    failure: str = ""
    """A sentence, when it failed."""
    details: str = ""
    """The traceback of a failure, if there is one."""


class Executor(Protocol[A]):
    """Does tasks."""

    def start(self, argument: A) -> None:
        """One more task."""
        ...

    def next(self) -> Outcome[A]:
        """Wait until a task ends. Raises `ExecutorLost`. There must be one."""
        ...

    def close(self) -> None:
        """End what runs, and give it time to write down how far it is."""
        ...


# --- this machine ----------------------------------------------------------------------------------------------------


class LocalExecutor(Generic[A]):
    """As many processes at a time as `jobs`, each for one task."""

    def __init__(self, function: Callable[[A], Any], jobs: int) -> None:
        self._function = function
        self._jobs = jobs
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([function.__module__])
        self._waiting: deque[A] = deque()
        self._running: dict[Connection, tuple[ForkServerProcess, A]] = {}

    def start(self, argument: A) -> None:
        """It begins when a process is free."""
        self._waiting.append(argument)

    def next(self) -> Outcome[A]:
        """Wait until a task ends."""
        while self._waiting and len(self._running) < self._jobs:
            self._begin(self._waiting.popleft())
        connection = next(each for each in wait(list(self._running)) if isinstance(each, Connection))
        process, argument = self._running.pop(connection)
        try:
            outcome = Outcome(argument, *connection.recv())
        except EOFError:
            process.join()
            outcome = Outcome(argument, None, _ended(process.exitcode or 0))
        connection.close()
        process.join()
        return outcome

    def close(self) -> None:
        """Tell all processes to end, then make them."""
        self._waiting.clear()
        processes = [process for process, _ in self._running.values()]
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()
        for connection in self._running:
            connection.close()
        self._running.clear()

    def _begin(self, argument: A) -> None:
        ours, theirs = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_in_process, args=(theirs, self._function, argument))
        process.start()
        theirs.close()
        self._running[ours] = (process, argument)


def _ended(code: int) -> str:
    if code >= 0:
        return f"its process ended with {code} and without an answer"
    name = signal.Signals(-code).name
    hint = "; perhaps there was no memory left" if -code == signal.SIGKILL else ""
    return f"its process was ended by {name}{hint}"


def _in_process(answer: Connection, function: Callable[[Any], Any], argument: object) -> None:
    """What a process does. Ctrl-C at the terminal is the parent's: it tells its processes in its own way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        result: tuple[Any, ...] = (function(argument),)
    except KeyboardInterrupt:
        return
    except Exception as error:
        result = (None, *_failure(error))
    try:
        answer.send(result)
    except BrokenPipeError:
        pass  # the parent is gone
    except Exception as error:
        answer.send((None, *_failure(error)))  # what cannot be sent is a failure of the task


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _failure(error: BaseException) -> tuple[str, str]:
    """A sentence and the traceback."""
    return f"{type(error).__name__}: {error}".rstrip(": "), "".join(traceback.format_exception(error))


# --- a cluster --------------------------------------------------------------------------------------------------------


class ClusterExecutor(Generic[A]):
    """The workers of a Dask scheduler."""

    def __init__(self, function: Callable[[A], Any], address: str, patience: str = "10s") -> None:
        """Raises `ExecutorLost`, and ImportError without the extra."""
        from distributed import Client

        self._function = function
        self._address = address
        try:
            self._client = Client(address, timeout=patience, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ExecutorLost(f"there is no Dask scheduler at {address}: {error}") from None
        self._futures: dict[Any, A] = {}
        self._ended: SimpleQueue[Any] = SimpleQueue()

    def start(self, argument: A) -> None:
        """Workers take it as they are free; the same task twice is done twice."""
        future = self._client.submit(self._function, argument, pure=False)
        self._futures[future] = argument
        future.add_done_callback(self._ended.put)

    def next(self) -> Outcome[A]:
        """Wait until a task ends."""
        while True:
            future = self._next_ended()
            match future.status:  # looked at once: it may change
                case "finished":
                    return Outcome(self._futures.pop(future), future.result())
                case "error":
                    return Outcome(self._futures.pop(future), None, *_failure(future.exception()))
                case "pending" | "lost":  # its worker died with the result: it is done again
                    future.add_done_callback(self._ended.put)
                case _:
                    raise self._lost()

    def close(self) -> None:
        """Take back what waits or runs."""
        if self._client.status == "running":
            self._client.cancel(list(self._futures), force=True)
        self._futures.clear()
        with suppress(TimeoutError):  # of a scheduler that is gone
            self._client.close(timeout=_PATIENCE)

    def _next_ended(self) -> Any:
        """A future that was done, or was taken back because the scheduler is gone."""
        while True:
            try:
                return self._ended.get(timeout=1.0)
            except Empty:
                if self._client.status != "running":
                    raise self._lost() from None

    def _lost(self) -> ExecutorLost:
        return ExecutorLost(f"the Dask scheduler at {self._address} is gone")
