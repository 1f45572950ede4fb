"""The handler: a partner's file becomes a line of what was loaded.

    fsq worker --handler ingest.py:load

What the file is called, and where it came from, `fsq watch` has put into the job's headers.
"""

import csv
import io
import json
import os

from workqueue import Job, Reject

LOADED = "DROP_FOLDER_LOADED"


def load(job: Job) -> None:
    """Add up the amounts of a file; one that is no table is hopeless."""
    with io.TextIOWrapper(job.open(), encoding="utf-8", newline="") as raw:
        table = csv.DictReader(raw)
        if table.fieldnames != ["day", "amount"]:
            raise Reject(f"these are not the columns of a delivery: {table.fieldnames}")
        amounts = [int(row["amount"]) for row in table]
    job.count(read=len(amounts))
    with job.output(os.path.join(os.environ[LOADED], f"{job.id}.json"), "w") as file:
        json.dump({"file": job.headers["file"], "rows": len(amounts), "sum": sum(amounts)}, file)
