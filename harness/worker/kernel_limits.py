"""Limits that a process sets on itself and can never lift: what it may open (Landlock), and what it may ask (seccomp).

Used by a worker before it reads anything of a stranger, with the standard library alone, since it may run in any
environment. Sources: the kernel's documentation, userspace-api/landlock and userspace-api/seccomp_filter.
"""

import contextlib
import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_CAPABILITY_VERSION_3: Final = 0x20080522

LEAST_LANDLOCK: Final = 3
"""First version of Landlock that also denies the truncation of files (kernel 6.2)."""
_LANDLOCK_CREATE_RULESET: Final = 444
_LANDLOCK_ADD_RULE: Final = 445
_LANDLOCK_RESTRICT_SELF: Final = 446
_LANDLOCK_VERSION: Final = 1
_LANDLOCK_PATH_BENEATH: Final = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15
"""Rights that a rule for a single file may grant; 1 << 14 is truncation, 1 << 15 is ioctl on devices."""
_ALL_BY_VERSION: Final[Mapping[int, int]] = MappingProxyType({3: (1 << 15) - 1, 5: (1 << 16) - 1})
"""All rights to files that a version knows."""
_TCP_FROM_VERSION: Final = 4
_ALL_TCP: Final = 3
_SCOPES_FROM_VERSION: Final = 6
_ALL_SCOPES: Final = 3
"""Abstract Unix sockets and signals to processes outside."""

_O_PATH: Final = 0o10000000

# Every name leads out of the process: to a network or a server of this machine, into another process, to keys of the
# user, or around the limits. `socketpair`, which Python needs, is not among them.
_DENIED: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "socket": (41, 198),
        "ptrace": (101, 117),
        "process_vm_readv": (310, 270),
        "process_vm_writev": (311, 271),
        "pidfd_getfd": (438, 438),
        "kcmp": (312, 272),
        "add_key": (248, 217),
        "request_key": (249, 218),
        "keyctl": (250, 219),
        "bpf": (321, 280),
        "perf_event_open": (298, 241),
        "userfaultfd": (323, 282),
        "io_uring_setup": (425, 425),
        "io_uring_enter": (426, 426),
        "io_uring_register": (427, 427),
        "open_by_handle_at": (304, 265),
        "mount": (165, 40),
        "umount2": (166, 39),
        "pivot_root": (155, 41),
        "chroot": (161, 51),
        "setns": (308, 268),
        "unshare": (272, 97),
        "move_mount": (429, 429),
        "open_tree": (428, 428),
        "fsopen": (430, 430),
        "init_module": (175, 105),
        "finit_module": (313, 273),
        "kexec_load": (246, 104),
    }
)
"""System calls that a confined process may not make, with their numbers on x86-64 and on 64-bit ARM."""

_ARCHITECTURES: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
)
"""Name of the architecture in a seccomp filter, and place of its number above."""
_X32: Final = 0x40000000
_ALLOW: Final = 0x7FFF0000
_DENY: Final = 0x00050000 | errno.EPERM
_KILL: Final = 0x80000000


class LimitError(Exception):
    """The kernel does not offer a limit, or refuses it."""


def landlock_version() -> int:
    """Version of the kernel's Landlock; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, _system_call(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION))


def forbid_new_privileges() -> None:
    """Keeps this process and its children from gaining privileges, as by a set-user-id program.

    Raises:
        LimitError: If the kernel refuses.
    """
    if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise LimitError(f"no_new_privs: {_reason()}")


@contextlib.contextmanager
def not_dumpable() -> Iterator[None]:
    """Keeps other processes of the user from reading the memory and environment of this one, for a `with` block.

    The kernel then gives `/proc/PID/environ` and `mem` to the superuser only, and writes no core file.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    before = _libc().prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0)
    _libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    try:
        yield
    finally:
        if before == 1:
            _libc().prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def drop_capabilities() -> None:
    """Gives up all capabilities of this process: with some, a superuser reads other processes past all limits.

    Raises:
        LimitError: If the kernel refuses.
    """
    nothing = struct.pack("=6I", 0, 0, 0, 0, 0, 0)
    if _libc().capset(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), nothing) != 0:
        raise LimitError(f"capabilities: {_reason()}")


def limit_files(readable: Sequence[Path], writable: Sequence[Path]) -> None:
    """Denies this process all files but the given ones; other processes and, where possible, TCP are denied too.

    Args:
        readable: Files and folders that may be read and executed. Those that do not exist are left out.
        writable: Files, devices and folders that may also be written.

    Raises:
        LimitError: If the kernel has no Landlock, an older one than `LEAST_LANDLOCK`, or refuses.
    """
    version = landlock_version()
    if version < LEAST_LANDLOCK:
        raise LimitError(f"Landlock version {LEAST_LANDLOCK} or newer (Linux 6.2), found {version or 'none'}")
    everything = _ALL_BY_VERSION[5 if version >= 5 else 3]
    attributes = struct.pack(
        "=QQQ",
        everything,
        _ALL_TCP if version >= _TCP_FROM_VERSION else 0,
        _ALL_SCOPES if version >= _SCOPES_FROM_VERSION else 0,
    )
    size = 24 if version >= _SCOPES_FROM_VERSION else 16 if version >= _TCP_FROM_VERSION else 8
    ruleset = _system_call(_LANDLOCK_CREATE_RULESET, attributes, size, 0)
    if ruleset < 0:
        raise LimitError(f"Landlock: {_reason()}")
    try:
        for path in readable:
            _allow(ruleset, path, _READ & everything)
        for path in writable:
            _allow(ruleset, path, everything)
        if _system_call(_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0) != 0:
            raise LimitError(f"Landlock: {_reason()}")
    finally:
        os.close(ruleset)


def limit_system_calls() -> None:
    """Denies this process and its children sockets, other processes, keys, and ways around other limits.

    `forbid_new_privileges` must come first.

    Raises:
        LimitError: If the processor is not known here, or the kernel refuses.
    """
    found = _ARCHITECTURES.get(platform.machine())
    if found is None or not sys.platform.startswith("linux"):
        raise LimitError(f"a list of system calls of {platform.system()} on {platform.machine()}")
    program = _filter(*found)
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    if _libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(header), 0, 0) != 0:
        raise LimitError(f"seccomp: {_reason()}")


def _filter(architecture: int, place: int) -> bytes:
    """A classic BPF program: kills other architectures, denies the calls of the list, and allows the rest."""
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    numbers = [each[place] for each in _DENIED.values()]
    program = [(load, 0, 0, 4), (equal, 1, 0, architecture), (give, 0, 0, _KILL), (load, 0, 0, 0)]
    if place == 0:
        # Programs of the x32 interface have other numbers for the same calls.
        program += [(at_least, 0, 1, _X32), (give, 0, 0, _DENY)]
    for number in numbers:
        program += [(equal, 0, 1, number), (give, 0, 0, _DENY)]
    program.append((give, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in program)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, _O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        granted = rights if os.path.isdir(path) else rights & _OF_FILES  # noqa: PTH112 (a stat of the same path)
        rule = struct.pack("=Qi", granted, descriptor)
        if _system_call(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_PATH_BENEATH, rule, 0) != 0:
            raise LimitError(f"Landlock, {path}: {_reason()}")
    finally:
        os.close(descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _system_call(number: int, *arguments: int | bytes | None) -> int:
    passed = [ctypes.c_long(each) if isinstance(each, int) else ctypes.c_char_p(each) for each in arguments]
    call = _libc().syscall
    call.restype = ctypes.c_long
    return int(call(ctypes.c_long(number), *passed))


def _reason() -> str:
    return os.strerror(ctypes.get_errno())
