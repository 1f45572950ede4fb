"""submit_maildir.py QUEUE: submits standard input as a bare job, with nothing but the standard library.

A queue is a Maildir as far as producers go: ``mailbox.Maildir(...).add()`` writes to tmp/, syncs the file, and links it
into new/ under a name of its own. It does not sync new/; that is left to do.
"""  # noqa: INP001 - an example, no package

from __future__ import annotations

import mailbox
import os
import sys


def submit(queue: str, payload: bytes) -> str:
    """Put a job into the queue (ROOT/NAME); when this returns it survives a power cut."""
    name = mailbox.Maildir(queue, create=False).add(payload)
    directory = os.open(os.path.join(queue, "new"), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return name


if __name__ == "__main__":
    print(submit(sys.argv[1], sys.stdin.buffer.read()))
