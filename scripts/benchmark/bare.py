"""The bare loops: the system calls of a maildir-like queue by `os`, with every name known and nothing around them."""

from __future__ import annotations

import ctypes
import fcntl
import os
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from benchmark.processes import together
from benchmark.scenario import Measured

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = b'{"fsq":1}\n{"path": "' + b"x" * 178 + b'"}'
"""200 bytes, as a small job has."""
SPACES = ("tmp", "new", "cur", "done", "keys", "commit", "later")
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def prepare(home: str) -> None:
    for space in SPACES:
        os.mkdir(f"{home}/{space}")


def name(number: int, who: int = 0) -> str:
    """As long as a job's name, and in order."""
    return f"5-01J{who:03d}{number:020d}-0"


def write(path: str, data: bytes = DATA, *, sync: bool = False) -> None:
    fd = os.open(path, NEW, 0o600)
    os.write(fd, data)
    if sync:
        os.fsync(fd)
    os.close(fd)


def sync_dir(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fsync(fd)
    os.close(fd)


# -- submit --------------------------------------------------------------------------------------------------------


def submit(home: str, count: int, who: int = 0, *, durable: bool = False) -> None:
    for number in range(count):
        text = name(number, who)
        write(f"{home}/tmp/{text}", sync=durable)
        os.rename(f"{home}/tmp/{text}", f"{home}/new/{text}")
        if durable:
            sync_dir(f"{home}/new")


def submits(home: str, count: int) -> Measured:
    prepare(home)
    return timed(lambda: submit(home, count))


def durable_submits(home: str, count: int) -> Measured:
    prepare(home)
    return timed(lambda: submit(home, count, durable=True))


def submits_of(processes: int, home: str, count: int, *, durable: bool = False) -> Measured:
    prepare(home)
    return together(processes, lambda who: submit(home, count // processes, who, durable=durable))


def keyed_submits(home: str, count: int) -> Measured:
    prepare(home)
    os.mkdir(f"{home}/keys/ab")

    def loop() -> None:
        for number in range(count):
            text = name(number)
            write(f"{home}/tmp/{text}", sync=True)
            shard = os.open(f"{home}/keys/ab", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(shard, fcntl.LOCK_EX)
            os.link(f"{home}/tmp/{text}", f"{home}/keys/ab/{text}")
            os.fsync(shard)
            os.rename(f"{home}/tmp/{text}", f"{home}/new/{text}")
            os.close(shard)
            sync_dir(f"{home}/new")

    return timed(loop)


def batches_by_threads(home: str, count: int, batch: int = 1000) -> Measured:
    """Write-out started for all, then a sync of each from 8 threads: right on every local file system."""
    prepare(home)
    start_write_out = write_out()

    def loop() -> None:
        with ThreadPoolExecutor(8) as pool:
            for start in range(0, count, batch):
                directory = f"{home}/tmp/{start}"
                os.mkdir(directory)
                for group in range(start, min(start + batch, count), 128):
                    fds = []
                    for number in range(group, min(group + 128, start + batch, count)):
                        fd = os.open(f"{directory}/{name(number)}", NEW, 0o600)
                        os.write(fd, DATA)
                        start_write_out(fd)
                        fds.append(fd)
                    list(pool.map(os.fsync, fds))
                    for fd in fds:
                        os.close(fd)
                sync_dir(directory)
                os.rename(directory, f"{home}/new/{start}")
                sync_dir(f"{home}/new")

    return timed(loop)


def batches_volatile(home: str, count: int, batch: int = 1000) -> Measured:
    prepare(home)

    def loop() -> None:
        for start in range(0, count, batch):
            directory = f"{home}/tmp/{start}"
            os.mkdir(directory)
            for number in range(start, min(start + batch, count)):
                write(f"{directory}/{name(number)}")
            os.rename(directory, f"{home}/new/{start}")

    return timed(loop)


def arrays(size: int, home: str, count: int, *, durable: bool = False, batch: int = 1000) -> Measured:
    """The same bytes, made by the same encoder: a file for each array, directories of them that appear as one."""
    prepare(home)
    encode = msgspec.json.Encoder().encode_lines
    start_write_out = write_out()

    def loop() -> None:
        rest = ({"n": number, "path": "x" * 30} for number in range(count))
        with ThreadPoolExecutor(8) as pool:
            for directory in (f"{home}/tmp/{start}" for start in range(0, count, size * batch)):
                os.mkdir(directory)
                fds: list[int] = []
                for data in map(encode, iter(lambda: list(islice(rest, size)), [])):
                    fd = os.open(f"{directory}/{name(len(fds))}", NEW, 0o600)
                    head = b'{"fsq":1,"array":%d,"len":%d,"crc":%d}\n' % (size, len(data), zlib.crc32(data))
                    os.write(fd, head + data)
                    fds.append(fd)
                    if durable:
                        start_write_out(fd)
                    if len(fds) == batch:
                        break
                if durable:
                    list(pool.map(os.fsync, fds))
                    sync_dir(directory)
                for fd in fds:
                    os.close(fd)
                os.rename(directory, f"{home}/new/{os.path.basename(directory)}")
                if durable:
                    sync_dir(f"{home}/new")

    return timed(loop)


def write_out() -> Callable[[int], object]:
    sync_file_range = ctypes.CDLL(None).sync_file_range
    sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return lambda fd: sync_file_range(fd, 0, 0, 2)


def timed(loop: Callable[[], object]) -> Measured:
    """How long a loop takes."""
    start = time.perf_counter()
    loop()
    return Measured(time.perf_counter() - start)
