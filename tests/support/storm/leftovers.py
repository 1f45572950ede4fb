"""What is in the root's directories when everything has ended."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from support.storm.plan import NEVER_DONE
from workqueue.engine import housekeeping
from workqueue.engine.root import Root
from workqueue.jobs import names
from workqueue.jobs.states import SPACES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.storm.report import Report

WAITING = ("new", "later", "cur", "held")


def failed(root: str) -> dict[str, int]:
    """The jobs in failed/ of all queues, and their attempts."""
    found: dict[str, int] = {}
    for queue in Root(root).queues():
        for text in os.listdir(f"{root}/{queue}/failed"):
            name = names.parse(text)
            if name is not None:
                found[name.id] = name.attempt
    return found


def look(path: str, deeds: Mapping[str, str], report: Report) -> None:
    """Report what should not be there; `deeds` says what each job did."""
    root = Root(path, overrides={"tmp_age": 0})
    housekeeping.carry_out_cancels(root)  # an order that came too late goes with the next sweep, and there is none
    for queue in root.queues():
        housekeeping.clean_tmp(root, queue)  # what dead producers left: it goes when it is old enough
        for space in SPACES:
            left = os.listdir(root.space(queue, space))
            if space == "failed":
                left = [text for text in left if deeds.get(id_of(text), "") not in NEVER_DONE]
            (report.stuck if space in WAITING else report.left).extend(f"{queue}/{space}/{text}" for text in left)
    for part in ("stage", "commit", "cancel"):
        report.left += [f".fsq/{part}/{name}" for name in os.listdir(root.dot(part))]
    look_for_garbage(root, report)


def look_for_garbage(root: Root, report: Report) -> None:
    """Records and keys without a job.

    A worker killed between its job's last step and the tidying after it leaves some: the documented garbage, which takes
    nothing from anybody. There can be no more of it than there were blows, and it must be just that: without a job.
    """
    known = failed(root.path)
    report.failed = len(known)
    report.garbage = sum(job not in known for job in os.listdir(root.dot("jobs")))
    keys = root.dot("keys")
    for path in [f"{keys}/{shard}/{name}" for shard in os.listdir(keys) for name in os.listdir(f"{keys}/{shard}")]:
        report.garbage += 1
        if os.stat(path).st_nlink > 1:
            report.left.append(path)
    most = sum(report.blows.values()) + report.reruns.total()
    if report.garbage > most:
        report.left.append(f"garbage of {report.garbage} jobs, after {most} blows")


def id_of(text: str) -> str:
    """The id in a name."""
    name = names.parse(text)
    return name.id if name is not None else ""
