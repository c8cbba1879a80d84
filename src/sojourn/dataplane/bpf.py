"""The system call bpf(2): maps and programs (see `bpf_assembler`), by ctypes.

It is for root. In a user namespace the kernel takes a *token* instead (Linux 6.9): a bpf file system on which root left
word that whoever has it may load programs; it is looked for at /sys/fs/bpf. Without either every call here is a
PermissionError. A program that the kernel's verifier refuses is an OSError with the verifier's last words.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator

TOKEN_DIRECTORY = "/sys/fs/bpf"
_CALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "i686": 357, "armv7l": 386}
_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_NEXT_KEY, _PROGRAM_LOAD = range(6)
_OBJECT_INFO, _TOKEN_CREATE = 15, 36
_SCHED_CLS = 3
"""BPF_PROG_TYPE_SCHED_CLS: what a tc filter is made of."""
_HAS_TOKEN = 1 << 16
"""BPF_F_TOKEN_FD."""
_WITHOUT_MEMORY = 1
"""BPF_F_NO_PREALLOC: elements take memory when they are there."""
_LOG_SIZE = 1 << 16
HASH, ARRAY, PER_CPU_ARRAY, LONGEST_PREFIX = 1, 2, 6, 11
"""Kinds of maps (enum bpf_map_type)."""

_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, request: bytes | ctypes.Array[ctypes.c_char]) -> int:
    """Raises OSError."""
    number = _CALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"bpf(2) is not known for {platform.machine()}")
    memory = ctypes.create_string_buffer(request, len(request)) if isinstance(request, bytes) else request
    result: int = _libc.syscall(number, command, memory, len(memory))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _name(name: str) -> bytes:
    """The kernel takes letters, digits, dots and underscores."""
    return name.replace("-", "_").encode()[:15]


class Token:
    """Leave to use bpf(2) without being root; -1 when none is needed or there is none."""

    def __init__(self) -> None:
        self.descriptor = -1
        try:
            directory = os.open(TOKEN_DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            self.descriptor = _bpf(_TOKEN_CREATE, struct.pack("=II", 0, directory))
        except OSError:
            pass  # the kernel says what is missing when something is made
        finally:
            os.close(directory)

    def close(self) -> None:
        """Let go of it; what was made with it stays."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Map:
    """Octets by key, shared with programs; gone when neither we nor a program has it any more."""

    def __init__(self, name: str, kind: int, key: int, value: int, entries: int, token: Token | None = None) -> None:
        """`key` and `value` are lengths, `name` (15 characters) is for people. Raises OSError."""
        self.name = name
        self.key_size, self.value_size = key, value
        grows = _WITHOUT_MEMORY if kind in (HASH, LONGEST_PREFIX) else 0
        request = struct.pack("=5I8x16s20x", kind, key, value, entries, grows, _name(name))
        if token is not None and token.descriptor >= 0:
            flags = struct.pack("=I", grows | _HAS_TOKEN)
            request = request[:16] + flags + request[20:64] + struct.pack("=12xi", token.descriptor)
        self.descriptor = _bpf(_MAP_CREATE, request)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        """Insert or replace. Raises OSError, E2BIG when it is full."""
        self._element(_MAP_UPDATE, key, ctypes.create_string_buffer(value, self.value_size))

    def __getitem__(self, key: bytes) -> bytes:
        """Raises KeyError."""
        value = ctypes.create_string_buffer(self.value_size)
        try:
            self._element(_MAP_LOOKUP, key, value)
        except FileNotFoundError:
            raise KeyError(key) from None
        return value.raw

    def discard(self, key: bytes) -> None:
        """Remove it if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._element(_MAP_DELETE, key, None)

    def __iter__(self) -> Iterator[bytes]:
        """Keys. One that is removed meanwhile may make it begin anew."""
        key: bytes | None = None
        while True:
            following = ctypes.create_string_buffer(self.key_size)
            try:
                self._element(_MAP_NEXT_KEY, key, following)
            except FileNotFoundError:
                return
            key = following.raw
            yield key

    def _element(self, command: int, key: bytes | None, value: ctypes.Array[ctypes.c_char] | None) -> None:
        memory = None if key is None else ctypes.create_string_buffer(key, self.key_size)
        addresses = [0 if part is None else ctypes.addressof(part) for part in (memory, value)]
        _bpf(command, struct.pack("=I4xQQQ", self.descriptor, *addresses, 0))

    def close(self) -> None:
        """Let go of it; a program that uses it keeps it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Program:
    """A program for tc filters; gone when neither we nor a filter has it any more."""

    def __init__(self, name: str, code: bytes, token: Token | None = None) -> None:
        """`code` is what `Assembler.assemble` returns. Raises OSError, the verifier in its own words."""
        self.name = name
        try:
            self.descriptor = _load(name, code, token, None)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EACCES):
                raise
            log = ctypes.create_string_buffer(_LOG_SIZE)
            try:
                self.descriptor = _load(name, code, token, log)
            except OSError:
                words = [line for line in log.value.decode("ascii", "replace").splitlines() if line]
                said = [line for line in words if not line.startswith(("processed ", "verification time"))]
                raise OSError(error.errno, f"the kernel refuses program {name}: {'; '.join(said[-3:])}") from error

    def close(self) -> None:
        """Let go of it; a filter that uses it keeps it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _load(name: str, code: bytes, token: Token | None, log: ctypes.Array[ctypes.c_char] | None) -> int:
    instructions, license_text = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
    where = (ctypes.addressof(instructions), ctypes.addressof(license_text))
    level, size, at = (0, 0, 0) if log is None else (1, len(log), ctypes.addressof(log))
    with_token = token is not None and token.descriptor >= 0
    flags = _HAS_TOKEN if with_token else 0
    request = struct.pack(
        "=IIQQIIQII16sII", _SCHED_CLS, len(code) // 8, *where, level, size, at, 0, flags, _name(name), 0, 0
    )
    if token is not None and with_token:
        request += struct.pack("=72xi4x", token.descriptor)
    return _bpf(_PROGRAM_LOAD, request)
