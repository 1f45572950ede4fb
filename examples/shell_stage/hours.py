"""Five hours of a web server's log through a pipeline with awk in its middle: one hour fails at first, one for good.

Exit status 0: of each hour became what should.
"""

import glob
import json
import os
import subprocess
import sys
import tempfile

from traffic import OUTPUT

from workqueue import Producer

HERE = os.path.dirname(os.path.abspath(__file__))
EXPECTED = {
    "05": "9 requests, 3 errors, 86,484 bytes",
    "06": "12 requests, 3 errors, 154,323 bytes",
    "07": "11 requests, 2 errors, 139,695 bytes",
    "08": "10 requests, 1 errors, 65,250 bytes",
    "09": "failed after attempt 1: exit status 65: line 3 is no line of a log",
}


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="fsq-shell-stage-") as scratch:
        root = os.environ["FSQ_ROOT"] = os.path.join(scratch, "root")
        os.environ[OUTPUT] = os.path.join(scratch, "hours")
        Producer(root, create=True).submit({"log": f"{HERE}/access.log"}, queue="split")
        print(fsq("run", f"{HERE}/traffic.py:traffic", "--drain", "-n", "2"))
        found = {**kept(os.environ[OUTPUT]), **failed()}
    for hour, text in sorted(found.items()):
        print(f"{hour} h  {text}")
    return 0 if found == EXPECTED else 1


def kept(directory: str) -> dict[str, str]:
    """Return what the last stage has kept, by hour."""
    found = {}
    for path in glob.glob(os.path.join(directory, "*.json")):
        with open(path, encoding="utf-8") as file:
            hour = json.load(file)
        found[hour["hour"]] = f"{hour['requests']} requests, {hour['errors']} errors, {hour['bytes']:,} bytes"
    return found


def failed() -> dict[str, str]:
    """Return the hours that are in failed/, and why."""
    jobs = [json.loads(line) for line in fsq("ls", "failed", "--json").splitlines()]
    return {job["label"]: why(json.loads(fsq("show", job["id"], "--json"))) for job in jobs}


def why(job: dict[str, object]) -> str:
    errors = job["errors"]
    assert isinstance(errors, list)
    last = errors[-1]
    return f"failed after attempt {last['attempt']}: {last['message'].splitlines()[0]}"


def fsq(*words: str) -> str:
    command = [sys.executable, "-m", "workqueue", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
