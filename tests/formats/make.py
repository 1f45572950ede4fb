"""How tests/formats/1.tar.gz was written; kept to tell what is in it. A released archive is never written again."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import tempfile

from support.clocks import FakeClock
from workqueue import Producer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim
from workqueue.engine.root import Root, init


def write(root: str) -> None:
    """Fill a root with a job of every kind, in every state."""
    init(root, ("default", "other"), slots=4)
    clock = FakeClock()
    producer = Producer(root, clock=clock)
    engine = DirectoryEngine(Root(root, clock=clock))
    for n, where in enumerate(("finish", "defer", "fail", "corrupt", "claim")):
        producer.submit({"n": n, "is": where}, keep="999w", label=where)
    for n, text in enumerate(sorted(os.listdir(f"{root}/default/new"))):
        claim = engine.take("default", text, n % 4)
        assert isinstance(claim, Claim)
        settle(engine, claim)
    producer.submit({"n": 5})
    producer.submit("text", label="a label", priority=1)
    producer.submit(b"\x00bytes", headers={"a": 1}, max_attempts=3, timeout="1m", expires="999w")
    producer.submit({"n": 6}, key="one")
    producer.submit({"n": 7}, at="2200-01-01T00:00+00:00")
    producer.submit_many([{"n": n} for n in range(10, 13)], queue="other")
    with open(f"{root}/whole", "wb") as file:
        file.write(b"a,b\n1,2\n")
    producer.submit(file=f"{root}/whole", mode="move", headers={"b": 2}, key="two")
    with open(f"{root}/default/new/bare file.csv", "wb") as file:
        file.write(b"c,d\n")
    held = producer.submit({"n": 8})
    os.rename(f"{root}/default/new/5-{held.id}-0", f"{root}/default/held/5-{held.id}-0")


def settle(engine: DirectoryEngine, claim: Claim) -> None:
    """Bring a claim to the state that its label names; the last stays a dead worker's."""
    error = {"attempt": 1, "at": 0, "kind": "error", "type": "ValueError", "message": "no"}
    match claim.name.label:
        case "finish":
            engine.finish(claim, b'{"rows": 1}')
        case "defer":
            engine.add_error(claim, error)
            engine.defer(claim, 60)
        case "fail":
            engine.add_error(claim, error)
            engine.fail(claim)
        case "corrupt":
            engine.corrupt(claim, "the payload's checksum does not match")


def main() -> None:
    """Write the archive that the command line names."""
    directory = tempfile.mkdtemp()
    write(f"{directory}/root")
    with tarfile.open(sys.argv[1], "w:gz") as archive:
        archive.add(f"{directory}/root", "root", filter=anonymous)
    shutil.rmtree(directory)


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who wrote the archive, and when."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 1_767_225_600
    return entry


if __name__ == "__main__":
    main()
