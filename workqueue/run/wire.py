"""What passes between a supervisor and a worker: packets on a SOCK_SEQPACKET pair, which tells each end when the other
dies.

    worker:     +                     free: deal me names
                U queue name inode    this name cannot be renamed
    supervisor: N queue name…         claim these
                S [memory]            stop after the current job; with no word behind it, at the job's next save
                X run reason          this run is over; a SIGTERM follows
"""

from __future__ import annotations

import errno
import os
import socket
from typing import NamedTuple

LARGEST = 1 << 17
GONE = {errno.EPIPE, errno.ECONNRESET, errno.EBADF, errno.ENOTSOCK, errno.ENOTCONN}


class Packet(NamedTuple):
    """A kind, and its words."""

    kind: str
    words: tuple[str, ...] = ()


def pair() -> tuple[socket.socket, socket.socket]:
    """The supervisor's end and the worker's."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, kind: str, *words: str) -> bool:
    """Send a packet; False if the other end is dead, or a handler closed this one."""
    try:
        end.send(os.fsencode("\0".join((kind, *words))))
    except OSError as error:
        if error.errno not in GONE:
            raise
        return False
    return True


def says_stop(end: socket.socket) -> bool:
    """Whether a stop at the next save is what is to be read next. It is left there: an X behind it is a signal's."""
    return receive(end, wait=False, flags=socket.MSG_PEEK) == Packet("S")


def receive(end: socket.socket, *, wait: bool = True, flags: int = 0) -> Packet | None:
    """The next packet; None when the other end is dead, or, without waiting, when there is none."""
    try:
        data = end.recv(LARGEST, flags | (0 if wait else socket.MSG_DONTWAIT))
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno not in GONE:
            raise
        return None
    if not data:
        return None
    kind, *words = os.fsdecode(data).split("\0")
    return Packet(kind, tuple(words))
