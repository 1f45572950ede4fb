"""The storm's tools by themselves: its measure of order, its look at what is left, its log, its blows."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

from support.storm.blows import flood, picked
from support.storm.checker import check
from support.storm.leftovers import look
from support.storm.log import Line, Log, now
from support.storm.operators import Operating
from support.storm.order import overtakes, too_often, wrong_places
from support.storm.plan import Plan
from support.storm.producers import submitted
from support.storm.report import Report
from support.storm.scene import Scene
from workqueue import Producer, State
from workqueue.engine import recovery
from workqueue.engine.protocol import Claim
from workqueue.engine.root import Root
from workqueue.producer import engine_of

if TYPE_CHECKING:
    from pathlib import Path


def test_who_was_overtaken_is_counted() -> None:
    """By younger ones that were started before."""
    assert overtakes([1.0, 2.0, 3.0]) == [0, 0, 0]
    assert overtakes([9.0, 2.0, 3.0, 1.0]) == [3, 1, 1, 0]
    assert too_often([0] * 95 + [500] * 5, most=128)
    assert not too_often([0] * 96 + [500] * 4, most=128)


def test_a_job_out_of_its_turn_is_found() -> None:
    assert wrong_places([1, 2, 3], [1, 2, 3]) == []
    assert len(wrong_places([1, 2, 3], [1, 3, 2])) == 2
    assert wrong_places([1, 2, 3], [1, 2]) != []


def test_what_is_left_in_the_root_is_found(root: str) -> None:
    """A job that waits is stuck, anything else is left behind; what belongs into failed/ may lie there."""
    waiting, failed = (Producer(root).submit(n, key=str(n)) for n in (0, 1))
    os.rename(f"{root}/default/new/5-{failed.id}-0", f"{root}/default/failed/5-{failed.id}-3")
    os.mkdir(f"{root}/.fsq/stage/something")
    report = Report()
    look(root, {failed.id: "poison"}, report)
    assert [text.split("/")[:2] for text in report.stuck] == [["default", "new"]]
    assert len(report.left) == 4, "the stage, two keys that are links of files, and that there are so many"
    report = Report()
    look(root, {failed.id: "work", waiting.id: "work"}, report)
    assert f"default/failed/5-{failed.id}-3" in report.left


def test_the_verdict_rests_on_the_log_and_the_directories(tmp_path: Path) -> None:
    """Of four jobs one is done, one waits, one was lost, and one is where nobody put it."""
    scene = Scene(str(tmp_path), Plan(jobs=4, producers=2, supervisors=1, workers=1))
    done, waiting, lost, strange = (Producer(scene.root).submit({"n": n}) for n in range(1, 5))
    for ref in (done, lost):
        os.unlink(f"{scene.root}/default/new/5-{ref.id}-0")
    os.rename(f"{scene.root}/default/new/5-{strange.id}-0", f"{scene.root}/default/done/5-{strange.id}-0")
    for number, ref in enumerate((done, waiting, lost), 1):
        scene.log.write(submitted(number % 2), now("submit", number=number, about="single:work"))
        scene.log.write(submitted(number % 2), now("acknowledged", ref.id, number=number))
    scene.log.tell(now("start", done.id, 1, 1, "1"))
    scene.log.tell(now("end", done.id, 1, 1))
    report = Report()
    check(scene, report)
    assert report.acknowledged == 3
    assert {what: len(found) for what, found in report.problems.items() if found} == {
        "lost": 2,
        "stuck": 1,
        "left behind": 1,
    }


def test_a_file_moved_in_that_is_cancelled_before_any_run_of_it_is_not_lost(tmp_path: Path) -> None:
    """Claimed, and so given an id, and recovered from a worker that died before its handler began: its label tells."""
    scene = Scene(str(tmp_path), Plan(jobs=1, producers=1, supervisors=1, workers=1))
    scene.log.write(submitted(0), now("submit", number=7, about="moved:work"), now("acknowledged", number=7))
    (tmp_path / "root/default/new/by-hand-7").write_text('{"n": 7}')
    engine = engine_of(Root(scene.root))
    assert isinstance(engine.take("default", "by-hand-7", 0), Claim)
    assert len(list(recovery.sweep(engine.root, ["default"], set()))) == 1
    scene.end()
    operating = Operating(scene)
    found = operating.some(State.NEW)
    assert found is not None
    report = Report()
    check(scene, report)
    assert report.lost
    operating.do("cancel", found)
    report = Report()
    check(scene, report)
    assert (report.acknowledged, report.orders, report.lost) == (1, {"cancelled": 1}, [])


def test_records_without_a_job_are_garbage(root: str) -> None:
    """It is counted, and more of it than there were blows is a problem."""
    os.mkdir(f"{root}/.fsq/jobs/{'0' * 26}")
    report = Report()
    look(root, {}, report)
    assert report.garbage == 1
    assert report.left
    report = Report()
    report.blows["workers killed"] += 1
    look(root, {}, report)
    assert report.is_clean


def test_a_torn_line_spoils_no_other(tmp_path: Path) -> None:
    """Its writer was killed in the middle of it."""
    log, line = Log(str(tmp_path)), Line("start", 1.5, 10, "A", 1, 7, "1")
    log.write("jobs", line)
    with open(tmp_path / "jobs", "a") as file:
        file.write(line.text()[:-2])
    log.write("jobs", line, line)
    assert list(log.read("jobs")) == [line] * 3


def test_a_draw_picks_each_in_turn() -> None:
    chance = random.Random(0)
    assert {picked([1, 2, 3], chance.random()) for _ in range(100)} == {1, 2, 3}
    assert picked([], 0.5) is None


def test_a_flood_leaves_nothing_behind(root: str) -> None:
    flood(f"{root}/default")
    assert os.listdir(f"{root}/default/new") == os.listdir(f"{root}/default/tmp") == []
