"""What the kernel can do and the standard library has no name for."""

from __future__ import annotations

import errno
import fcntl
import os

AT_FDCWD, RENAME_NOREPLACE = -100, 1
BTRFS_SYNC = 0x9408
"""BTRFS_IOC_SYNC of linux/btrfs.h, as x86, ARM, RISC-V and s390 number it. (That which starts a commit and that which
waits for one leave the data of others alone, but a commit that is started while another ends can be forgotten for the
half minute that commits are apart.)"""
NO_SUCH_CALL = {errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


def rename_noreplace(source: str, target: str) -> bool:
    """renameat2(2) with RENAME_NOREPLACE; False where this kernel, C library or file system does not have it."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    names = os.fsencode(source), os.fsencode(target)
    if libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.ENOSYS, errno.EINVAL}:
        return False
    raise OSError(code, os.strerror(code), source, None, target)


def commit_transaction(fd: int) -> bool:
    """Commit the transaction that runs, on btrfs; False on any other file system.

    A sync of a directory writes a log there, which is replayed after a power cut, and can bring a name back that was
    moved away, or removed, before the directory was synced again (docs/guarantees.md). No log outlives a commit. It
    writes what all files of the file system have to be written, too, as a sync on ext4 does.
    """
    try:
        fcntl.ioctl(fd, BTRFS_SYNC)
    except OSError as error:
        if error.errno in NO_SUCH_CALL:
            return False
        raise
    return True
