"""Measure `fsq watch`: many small files made jobs once each, also while it is killed again and again."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter

from workqueue import Producer
from workqueue.engine.root import init

ID = re.compile(r"-([0-9A-Z]{26})-")


def fill(folder: str, count: int) -> float:
    """Deliver files as a partner does: under a hidden name, renamed when whole; returns the seconds it took."""
    os.makedirs(folder, exist_ok=True)
    begun = time.monotonic()
    for number in range(count):
        hidden, path = f"{folder}/.{number}", f"{folder}/{number:06}.csv"
        with open(hidden, "w", encoding="ascii") as file:
            file.write(f"{number},{number * number}\n")
        os.rename(hidden, path)
    return time.monotonic() - begun


def start(root: str, folder: str, *options: str) -> subprocess.Popen[bytes]:
    """Start the command."""
    words = [sys.executable, "-m", "workqueue", "-r", root, "watch", folder, "--ready", "rename", "--json", *options]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL)


def measured(root: str, folder: str, *options: str) -> dict[str, float]:
    """Run it once; seconds, and the most memory that it had."""
    begun = time.monotonic()
    process = start(root, folder, "--once", *options)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"fsq watch ended with {process.returncode}")
    return {
        "s": round(time.monotonic() - begun, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "rss_mb": round(usage.ru_maxrss / 1024),
    }


def contents(root: str) -> Counter[str]:
    """What the jobs hold, and how often."""
    new = f"{root}/default/new"
    found: Counter[str] = Counter()
    for name in os.listdir(new):
        with open(f"{new}/{name}", encoding="ascii") as file:
            found[file.read().rpartition("}\n")[2]] += 1
    return found


def check(root: str, count: int) -> dict[str, int]:
    """How many files are jobs, how many of them more than once, how many are not."""
    found = contents(root)
    wanted = {f"{number},{number * number}\n" for number in range(count)}
    return {"jobs": found.total(), "doubled": found.total() - len(found), "lost": len(wanted - found.keys())}


def killed(root: str, folder: str, seed: int) -> int:
    """Kill it again and again at random moments until it comes to its end; returns how often."""
    chance, kills = random.Random(seed), 0
    while True:
        process = start(root, folder, "--once")
        try:
            process.wait(chance.uniform(1.5, 4))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        return kills


def idle(root: str, folder: str, seconds: float) -> float:
    """Percent of a processor while nothing happens."""
    process = start(root, folder)
    time.sleep(1)
    before = cpu(process.pid)
    time.sleep(seconds)
    used = cpu(process.pid) - before
    process.terminate()
    process.wait()
    return round(100 * used / seconds, 2)


def cpu(pid: int) -> float:
    """CPU seconds of a process."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", default=None, help="where to work: choose the file system (default: temporary)")
    parser.add_argument("--count", type=int, default=100_000, help="files (default 100,000)")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds of idleness (default 20)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="fsq-watch-", dir=given.dir)
    found: dict[str, object] = {"files": given.count}
    try:
        for name, options in (("moved", ()), ("archived", ("--archive", f"{directory}/kept/{{name}}"))):
            root = f"{directory}/{name}"
            init(root)
            fill(f"{directory}/in", given.count)
            found[name] = measured(root, f"{directory}/in", *options) | check(root, given.count)
            shutil.rmtree(root)
        root = Producer(f"{directory}/left", create=True).root
        fill(f"{directory}/in", given.count)
        found["left"] = measured(root, f"{directory}/in", "--leave") | {"jobs": len(os.listdir(f"{root}/default/new"))}
        found["left, listed again"] = measured(root, f"{directory}/in", "--leave")
        hashed = Producer(f"{directory}/hashed", create=True).root
        found["left, by sha256"] = measured(hashed, f"{directory}/in", "--leave", "--dedupe", "sha256")
        found["ledger_mb"] = round(ledger_size(root) / (1 << 20), 1)
        init(f"{directory}/killed")
        kills = killed(f"{directory}/killed", f"{directory}/in", given.seed)
        found["moved under kill -9"] = {"kills": kills} | check(f"{directory}/killed", given.count)
        found["idle CPU, %"] = idle(f"{directory}/killed", f"{directory}/in", given.idle)
    finally:
        shutil.rmtree(directory)
    print(json.dumps(found, indent=2))
    return 0


def ledger_size(root: str) -> int:
    """Bytes of the one ledger of a root."""
    [place] = os.listdir(f"{root}/.fsq/watch")
    return os.stat(f"{root}/.fsq/watch/{place}/ledger").st_size


if __name__ == "__main__":
    sys.exit(main())
