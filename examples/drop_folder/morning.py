"""A morning at the drop folder: thirteen partners deliver, `fsq watch` and `fsq worker` take it from there.

All of it lies in a temporary directory. Exit status 0: of each file became what should.
"""

import contextlib
import ctypes
import glob
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator

import partners
from ingest import LOADED

from workqueue import Producer

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 20.0
PR_CAPBSET_DROP, OVER_FILES = 24, (1, 2)

STORY = {
    "bakery.csv": ("written as .part, renamed", ["loaded: 3 rows"]),
    "butcher.csv": ("written as a dot file, renamed", ["loaded: 2 rows"]),
    "grocer.csv": ("written slowly, open all the time", ["loaded: 5 rows"]),
    "printer.csv": ("written in bursts, closed in between", ["loaded: 4 rows"]),
    "tailor.csv": ("overwritten before it was taken", ["loaded: 3 rows"]),
    "weaver.csv": ("delivered anew after it was taken", ["loaded: 1 row", "loaded: 2 rows"]),
    "cutler.csv": ("delivered", ["loaded: 2 rows"]),
    "cutler-again.csv": ("the same content under another name", ["a duplicate: kept, not loaded"]),
    "locksmith.csv": ("may not be read", ["stays, and is tried again: Permission denied"]),
    "miller.csv.part": ("half of it, and no more", ["stays: not complete"]),
    "stranger.csv": ("a link to a file of ours", ["stays: is a symbolic link"]),
    "painter.csv": ("an error page", ["failed: these are not the columns of a delivery"]),
    "bank.csv": ("with a done-file", ["loaded: 4 rows"]),
    "insurer.csv": ("without the done-file", ["stays: not complete"]),
}
"""Of each file: what its partner does, and what is to become of it."""


def main() -> int:
    if not may_be_refused():
        STORY["locksmith.csv"] = ("may not be read, except by you", ["loaded: 1 row"])
    with tempfile.TemporaryDirectory(prefix="fsq-drop-folder-") as scratch, contextlib.chdir(scratch):
        os.environ[LOADED] = f"{scratch}/loaded"
        Producer(f"{scratch}/root", create=True)
        os.mkdir("incoming")
        os.mkdir("with-ok")
        deliver_and_take()
        found = outcomes()
    return told(found)


def deliver_and_take() -> None:
    """Let the partners deliver while the watches and a worker run, until all is taken that is complete."""
    always = ("--archive", "kept/{name}", "--json")
    still = ("--ready", "stable=700ms", "--dedupe", "sha256")
    with (
        running("watch", "incoming", *still, *always, into="still.jsonl"),
        running("watch", "with-ok", "--ready", "done-file={}.ok", *always, into="ok.jsonl"),
        running("worker", "--handler", f"{HERE}/ingest.py:load", "-n", "2", into="/dev/null"),
    ):
        partners.play("incoming", "with-ok")
        wait_for_folders()
    fsq("worker", "--handler", f"{HERE}/ingest.py:load", "--drain")


@contextlib.contextmanager
def running(*words: str, into: str) -> Iterator[None]:
    """Run fsq with its standard output in a file; it is told to stop at the end, and finishes what it has begun."""
    with open(into, "w", encoding="utf-8") as output:
        process = subprocess.Popen([sys.executable, "-m", "workqueue", "--root", "root", *words], stdout=output)
    try:
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        process.kill()  # of what has ended: nothing
        process.wait()


def wait_for_folders() -> None:
    """Wait until only that is left which is to stay, and has been told."""
    end = time.monotonic() + PATIENCE
    while {*os.listdir("incoming"), *os.listdir("with-ok")} != staying() or len(events("skipped", "unreadable")) < 2:
        if time.monotonic() > end:
            return  # what is wrong is shown at the end
        time.sleep(0.05)


def staying() -> set[str]:
    """Return the names of the files that are to stay."""
    return {name for name, (_, becomes) in STORY.items() if any(word.startswith("stays") for word in becomes)}


def outcomes() -> dict[str, list[str]]:
    """Find out what became of each file, by looking where it may have gone."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(glob.glob("loaded/*.json")):
        with open(path, encoding="utf-8") as file:
            loaded = json.load(file)
        found[loaded["file"]].append(f"loaded: {loaded['rows']} row{'s' * (loaded['rows'] != 1)}")
    for job in map(json.loads, fsq("ls", "failed", "--json").splitlines()):
        error = json.loads(fsq("show", job["id"], "--json"))["errors"][-1]
        found[job["label"]].append(f"failed: {error['message'].partition(':')[0]}")
    for event in events("duplicate"):
        is_kept = os.path.exists(event["archive"])
        found[event["path"]].append(f"a duplicate: {'kept, not loaded' if is_kept else 'and gone'}")
    for event in events("unreadable"):
        found[event["path"]].append(f"stays, and is tried again: {event['reason'].rpartition(': ')[2]}")
    for event in events("skipped"):
        found[event["path"]].append(f"stays: {event['reason'].partition(';')[0]}")
    for name in {*os.listdir("incoming"), *os.listdir("with-ok")} - set(found):
        found[name].append("stays: not complete")
    return dict(found)


def events(*names: str) -> list[dict[str, str]]:
    """Return what the watches have told, of some kinds."""
    told = []
    for path in ("still.jsonl", "ok.jsonl"):
        with open(path, encoding="utf-8") as lines:
            told += [json.loads(line) for line in lines if line.endswith("\n")]
    return [event for event in told if event["event"] in names]


def fsq(*words: str) -> str:
    """Run a command of fsq, and return what it prints."""
    command = [sys.executable, "-m", "workqueue", "--root", "root", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True).stdout


def told(found: dict[str, list[str]]) -> int:
    """Print what became of each file; return 0 if it is what should."""
    print(f"\n{'file':<18}{'the partner':<38}what became of it")
    for name in [*STORY, *sorted(set(found) - set(STORY))]:
        did, expected = STORY.get(name, ("", []))
        became = found.get(name, [])
        mark = "" if became == expected else f"   EXPECTED {', '.join(expected) or 'nothing'}"
        print(f"{name:<18}{did:<38}{', '.join(became) or 'nothing is known of it'}{mark}")
    return 0 if found == {name: becomes for name, (_, becomes) in STORY.items()} else 1


def may_be_refused() -> bool:
    """Start programs without root's power over all files, where that is what we are: it could read anything."""
    if os.geteuid() != 0:
        return True
    prctl = ctypes.CDLL(None).prctl
    return all(prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0 for capability in OVER_FILES)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
