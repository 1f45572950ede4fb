"""File systems in image files, and what a power cut leaves of them: a copy of the image, taken at one instant.

The loop device writes to the image what the file system has sent to its disk, and nothing of what it still keeps in
memory. So a copy is what a disk without a cache of its own would hold if the power had failed then; mounting it runs the
file system's own recovery. A copy is taken while nothing is on its way: else its parts would be of different times.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = {"ext4": 64, "xfs": 320, "btrfs": 128}
"""MiB: a little over the least that each can be made with."""
MKFS = {"ext4": ["-q", "-F"], "xfs": ["-q", "-f"], "btrfs": ["-q", "-f"]}
PATIENCE = 30.0
SYSTEM = ["/sbin", "/usr/sbin"]
"""Where the tools are, on PATH or not."""


def why_not(kind: str) -> str | None:
    """Why such a file system cannot be made and mounted here; None if it can."""
    if os.geteuid() != 0:
        return "only root may mount a file system"
    if tool(f"mkfs.{kind}") is None:
        return f"no mkfs.{kind}: install e2fsprogs, xfsprogs or btrfs-progs"
    if tool("losetup") is None or not os.path.exists("/dev/loop-control"):
        return "no loop devices"
    with open("/proc/filesystems", encoding="ascii") as known:
        return None if f"\t{kind}\n" in known.read() else f"this kernel does not know {kind}"


def tool(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM]))


def run(name: str, *args: str) -> str:
    """Run a tool; its output. An error is shown with what the tool said."""
    ran = subprocess.run([tool(name) or name, *args], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, f"{name} {' '.join(args)}: {ran.stderr}"
    return ran.stdout


def make(kind: str, path: str) -> None:
    """Make an image with an empty file system."""
    with open(path, "xb") as image:
        image.truncate(SIZES[kind] << 20)
    run(f"mkfs.{kind}", *MKFS[kind], path)


@contextlib.contextmanager
def mounted(path: str, place: str) -> Iterator[str]:
    """Mount an image, and give the loop device's name; unmounted in any case."""
    os.makedirs(place, exist_ok=True)
    device = run("losetup", "--find", "--show", path).strip()
    try:
        run("mount", device, place)
        try:
            yield os.path.basename(device)
        finally:
            run("umount", place)
    finally:
        run("losetup", "--detach", device)


def copy(path: str, device: str, target: str) -> None:
    """Copy an image as it is at one instant; whoever works in it must be stopped."""
    end = time.monotonic() + PATIENCE
    while True:
        before = written(device)
        run("cp", "--sparse=always", path, target)
        if before is not None and written(device) == before:
            return
        assert time.monotonic() < end, f"{device} is never quiet"
        time.sleep(0.005)


def written(device: str) -> list[str] | None:
    """What was written so far; None while something is on its way."""
    with open(f"/sys/block/{device}/inflight", encoding="ascii") as file:
        if file.read().split() != ["0", "0"]:
            return None
    with open(f"/sys/block/{device}/stat", encoding="ascii") as file:
        return file.read().split()[4:7]
