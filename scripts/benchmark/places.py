"""Where to measure: tmpfs for the limit of the CPU, ext4 with a journal for that of a disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SHM = "/dev/shm"
IMAGE = 6 << 30
"""Bytes of the image, which is sparse: room for a million jobs of a block each."""
PER_INODE = "4096"


@contextmanager
def given(directory: str) -> Iterator[tuple[str, str]]:
    """A directory that was asked for, by the kind of its file system."""
    with temporary(directory) as home:
        yield kind_of(home), home


@contextmanager
def tmpfs() -> Iterator[tuple[str, str]]:
    """A directory in memory."""
    with temporary(SHM) as home:
        yield "tmpfs", home


@contextmanager
def ext4(directory: str | None) -> Iterator[tuple[str, str]]:
    """A new ext4 with a journal, in an image that passes the page cache by, as a disk does."""
    with temporary(directory) as home, ExitStack() as stack:
        image, place = f"{home}/image", f"{home}/mounted"
        with open(image, "wb") as file:
            file.truncate(IMAGE)
        os.mkdir(place)
        run("mkfs.ext4", "-q", "-F", "-O", "has_journal", "-i", PER_INODE, image)
        device = run("losetup", "--find", "--show", "--direct-io=on", image)
        stack.callback(run, "losetup", "--detach", device)
        run("mount", device, place)
        stack.callback(run, "umount", place)
        yield "ext4", place


def why_no_ext4() -> str | None:
    """What an image to be mounted is missing here; None if nothing."""
    if os.geteuid():
        return "mounting an image needs root"
    missing = [name for name in ("mkfs.ext4", "losetup", "mount", "umount") if shutil.which(name) is None]
    return f"no {', '.join(missing)} here" if missing else None


@contextmanager
def temporary(directory: str | None) -> Iterator[str]:
    """A directory that is removed again."""
    home = tempfile.mkdtemp(prefix="fsq-bench-", dir=directory)
    try:
        yield home
    finally:
        shutil.rmtree(home)


def run(*command: str) -> str:
    """Run a program; returns what it printed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def kind_of(path: str) -> str:
    """The kind of file system that a path is on, as the kernel names it."""
    real, best = os.path.realpath(path), ("", "?")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split()
            point, kind = fields[4], fields[fields.index("-") + 1]
            if f"{real}/".startswith(point.rstrip("/") + "/") and len(point) >= len(best[0]):
                best = (point, kind)
    return best[1]
