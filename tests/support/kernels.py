"""A kernel that refuses a system call: made by a seccomp filter, which holds for the calling process until it ends."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

RENAMEAT2 = {"x86_64": 316, "aarch64": 276}
FSYNC = {"x86_64": 74, "aarch64": 82}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000


def forget_renameat2(code: int = errno.ENOSYS) -> None:
    """Let renameat2(2) fail with `code` from now on; only ever called in a child process."""
    refuse(RENAMEAT2[platform.machine()], code)


def break_fsync(code: int) -> None:
    """Let fsync(2) fail with `code` from now on; only ever called in a child process."""
    refuse(FSYNC[platform.machine()], code)


def refuse(number: int, code: int) -> None:
    """Let a system call fail."""
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (LOAD, 0, 0, 0),  # the system call's number
            (JUMP_IF_EQUAL, 0, 1, number),
            (RETURN, 0, 0, FAIL | code),
            (RETURN, 0, 0, ALLOW),
        )
    )
    buffer = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
