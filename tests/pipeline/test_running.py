"""fsq run with real processes: what a night does to a pipeline, and what its operator does."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.processes import descendants, until
from workqueue import Producer
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.root import Root, init
from workqueue.engine.settings import SettingsFile
from workqueue.errors import BadPipeline, BadSetting
from workqueue.pipeline import Pipeline
from workqueue.pipeline.known import compare, write
from workqueue.run.worker import Worker
from workqueue.testing import drain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.fsq import Fsq

ETL = """
import os, time
from workqueue.pipeline import Pipeline, To

etl = Pipeline("etl")

@etl.stage(to="clean", workers=1)
def extract(payload):
    for n in range(payload):
        yield {"n": n}

@etl.stage(to=("load", "audit"), workers=2, backoff="1ms")
def clean(payload, job):
    if payload["n"] % 10 == 3:
        job.reject(payload, "a three")
        return
    if payload["n"] == 5 and job.attempt == 1:
        raise ValueError("on purpose")
    yield payload["n"]

etl.program("audit", "sh -c 'cat >/dev/null'")

@etl.stage(limit=1, keep_done="1h", max_attempts=100)
def load(payload, job):
    time.sleep(0.002)
    return payload
"""


@pytest.fixture
def etl(fsq: Fsq) -> Fsq:
    """A root with a pipeline's module beside it."""
    fsq.write("etl.py", ETL)
    return fsq


def run(fsq: Fsq, *words: str, **how: Any) -> Any:
    return fsq("-r", fsq.root, "run", "etl:etl", "--drain", *words, **how)


def submitted(fsq: Fsq, payload: Any, queue: str = "extract") -> None:
    DirectoryEngine(Root(Producer(fsq.root, create=True).root)).make_queue(queue)
    Producer(fsq.root).submit(payload, queue=queue, durable=False)


def results(fsq: Fsq) -> list[Any]:
    """What the last stage was given."""
    found = []
    for name in fsq.names("done", "load"):
        result = Producer(fsq.root).ref(name.split("-")[1], "load").result()
        found.append(result)
    return found


# -- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_ends_with_a_report_in_the_order_of_the_flow(etl: Fsq) -> None:
    """Which can be had again by its id, whatever ran since."""
    submitted(etl, 20)
    result = run(etl)
    assert result.status == 0, result.err
    assert sorted(results(etl)) == [n for n in range(20) if n % 10 != 3]
    table = [line.split() for line in result.out.splitlines() if line]
    [id_] = [words[-1] for words in table if words[:2] == ["pipeline", "etl,"]]
    assert f"etl, run {id_}: " in result.err
    rows = {words[0]: words[1:10] for words in table[3:7]}
    assert list(rows) == ["extract", "clean", "load", "audit"]
    assert rows["clean"] == ["20", "20", "0", "0", "0", "21", "1", "0", "2"]
    assert "ValueError" in result.out
    submitted(etl, 1)
    again = run(etl, "--json")
    second = json.loads(again.out)
    assert [(queue["queue"], queue["done"]) for queue in second["queues"]] == [
        ("extract", 1), ("clean", 1), ("load", 1), ("audit", 1),
    ]  # fmt: skip
    for text in (id_, id_[-6:]):
        told = json.loads(etl("-r", etl.root, "report", "--run", text, "--json").out)
        assert (told["run"], told["pipeline"]) == (id_, "etl")
        assert [queue["done"] for queue in told["queues"]] == [1, 20, 18, 18]
    last = json.loads(etl("-r", etl.root, "report", "--run", "last", "--json").out)
    assert (last["run"], last["queues"]) == (second["run"], second["queues"])


def test_under_kills_each_yield_is_loaded_once(etl: Fsq) -> None:
    """Workers are killed every few milliseconds, and their supervisor now and then."""
    for _ in range(3):
        submitted(etl, 30)
    chance = random.Random(7)
    words = ("-r", etl.root, "run", "etl:etl", "--drain", "-n", "4")
    patience = {"FSQ_MAX_ATTEMPTS": "1000", "FSQ_BACKOFF": "1ms"}
    running = etl.start(*words, env=patience)
    for kill in range(1, 40):
        time.sleep(chance.uniform(0.01, 0.03))
        if kill % 12 == 0 or running.has_ended():
            running.kill()
            running = etl.start(*words, env=patience)
        elif victims := descendants(running.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(victims), signal.SIGKILL)
    running.kill()
    assert run(etl, env=patience).status == 0
    assert sorted(results(etl)) == sorted(3 * [n for n in range(30) if n % 10 != 3])
    assert etl.ls("clean") == etl.ls("extract") == {}


def test_a_limit_is_never_exceeded_and_workers_go_where_the_work_is(fsq: Fsq) -> None:
    """Four workers, all of them at the first stage while there is nothing else; one at a time at the last."""
    pipeline = Pipeline("etl")

    def noted(job: Any) -> Iterator[Any]:
        fsq.diary.note(f"+{job.queue}", job)
        time.sleep(0.03)
        fsq.diary.note(f"-{job.queue}", job)
        if job.queue == "extract":
            yield from range(2)

    pipeline.stage(name="extract", to="load", workers=1)(noted)
    pipeline.stage(name="load", limit=1)(noted)
    DirectoryEngine(Root(Producer(fsq.root).root)).make_queue("extract")
    Producer(fsq.root).submit_many(range(12), queue="extract", durable=False)
    running = fsq.fork(lambda: 1 - pipeline.run(fsq.root, drain=True, processes=4).summary.drained)
    assert running.wait() == 0, running.err
    at_work = {"extract": 0, "load": 0}
    most = dict(at_work)
    for line in fsq.diary.lines():
        at_work[line.word[1:]] += 1 if line.word[0] == "+" else -1
        most = {queue: max(most[queue], count) for queue, count in at_work.items()}
    assert fsq.diary.count("+load") == 24
    assert most == {"extract": 4, "load": 1}


def test_exit_statuses_are_those_of_a_worker(etl: Fsq) -> None:
    """3: some jobs failed; 75: stopped before the end; and the report is there all the same."""
    etl.write(
        "etl.py", ETL.replace("time.sleep(0.002)", "raise ValueError").replace("max_attempts=100", "max_attempts=1")
    )
    submitted(etl, 1)
    result = run(etl, "--summary", "totals", "--html", "page.html")
    assert result.status == 3
    assert "load: in failed/ now" in result.out
    assert json.loads((etl.where / "totals").read_text())["failed"] == 1
    assert "Pipeline etl, run 0" in (etl.where / "page.html").read_text()
    etl.write("etl.py", ETL.replace("time.sleep(0.002)", "time.sleep(600)"))
    submitted(etl, 1)
    running = etl.start("-r", etl.root, "run", "etl:etl", "--drain", "--grace", "50ms", "--log", "json")
    until(lambda: etl.ls("load").get("cur"), "the last stage runs")
    running.signal(signal.SIGTERM)
    assert running.wait() == 75
    assert running.events("started")[0]["pipeline"] == "etl"
    assert "pipeline etl, run 0" in running.out
    assert etl.ls("load") == {"new": 1, "failed": 1}


def test_after_a_hangup_the_run_goes_on_under_its_id(etl: Fsq) -> None:
    """With fresh code; its report has both halves."""
    submitted(etl, 1)
    running = etl.execute("-r", etl.root, "run", "etl:etl")
    until(lambda: " on extract, " in running.err and len(etl.names("done", "load")) == 1, "the first is through")
    etl.write("etl.py", ETL.replace("return payload\n", "return 'new code'\n"))
    running.signal(signal.SIGHUP)
    until(lambda: running.err.count(" on extract, ") == 2, "it has started anew")
    submitted(etl, 1)
    until(lambda: len(etl.names("done", "load")) == 2, "the second is through")
    running.signal(signal.SIGTERM)  # once: a second one would end the report as well
    assert running.wait() == 0
    assert sorted(map(repr, results(etl))) == ["'new code'", "0"]
    started = [line.split("run ")[1][:26] for line in running.err.splitlines() if " on extract, " in line]
    assert started[0] == started[1]
    rows = [line.split()[:3] for line in running.out.splitlines()]
    assert ["extract", "2", "2"] in rows
    assert ["load", "2", "2"] in rows


def test_a_module_that_starts_threads_is_imported_by_workers_alone(etl: Fsq) -> None:
    """The supervisor, which forks, asks a child for the plan; mistakes are told as ever."""
    threads = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    etl.write("etl.py", threads + ETL)
    submitted(etl, 10)
    running = etl.execute("-r", etl.root, "run", "etl:etl", "--drain", "-n", "2")
    assert running.wait() == 0, running.err
    assert "importing the handler started threads" in running.err
    assert len(results(etl)) == 9
    etl.write("etl.py", threads + ETL.replace('to="clean"', 'to="claen"'))
    running = etl.execute("-r", etl.root, "run", "etl:etl", "--drain")
    assert running.wait() == 2
    assert "fsq: stage 'extract': to='claen' is no stage of this pipeline; did you mean 'clean'?" in running.err


def test_a_report_says_when_the_journal_lacks_the_run(etl: Fsq) -> None:
    with open(f"{etl.root}/fsq.toml", "w") as file:
        file.write("journal = 0\n")
    submitted(etl, 1)
    result = run(etl)
    assert result.status == 0
    assert "the journal lacks some of this run, and so does the report; all in all: 4 done, 0 failed" in result.err


# -- stages apart ----------------------------------------------------------------------------------------------------


def test_a_stage_can_be_run_apart(etl: Fsq) -> None:
    """By fsq worker, with its own settings and its limit; the queues of the next stages are there."""
    submitted(etl, 10)
    words = ("-r", etl.root, "worker", "--handler", "etl:etl", "--drain")
    assert etl(*words, "-q", "extract").status == 0
    assert etl.ls("clean") == {"new": 10}
    assert etl(*words, "-q", "clean", "-q", "load").status == 0
    assert etl.ls("load") == {"done": 9}
    assert etl.ls("audit") == {"new": 9}
    result = etl(*words, "-q", "laod")
    assert result.status == 2
    assert "queue 'laod' is no stage of this pipeline; did you mean 'load'? (fsq run takes all of them)" in result.err
    assert not os.path.exists(f"{etl.root}/laod")


def test_the_operator_overrules_the_code_and_the_code_the_root(tmp_path: Path) -> None:
    """Option > environment > the queue's table > the stage > the top of fsq.toml > default."""
    (tmp_path / "fsq.toml").write_text(
        "timeout = 1\nmax_attempts = 2\nkeep_done = 3\n[queues.load]\nmax_attempts = 4\n"
    )
    stages: dict[str, dict[str, Any]] = {
        "load": {"timeout": "10s", "max_attempts": 7, "backoff": "1s"},
        "clean": {"max_attempts": 7},
    }
    file = SettingsFile(str(tmp_path), {}, {}, stages)
    load = file.of("load")
    assert (load.timeout, load.max_attempts, load.keep_done, load.backoff.base) == (10, 4, 3, 1)
    assert (file.of("clean").max_attempts, file.of("other").max_attempts) == (7, 2)
    assert SettingsFile(str(tmp_path), {}, {"FSQ_MAX_ATTEMPTS": "8"}, stages).of("load").max_attempts == 8
    above = SettingsFile(str(tmp_path), {"max_attempts": 9}, {"FSQ_MAX_ATTEMPTS": "8"}, stages)
    assert above.of("load").max_attempts == above.of("clean").max_attempts == 9


def test_a_worker_and_a_drain_take_a_stages_settings(root: str) -> None:
    """Its options stand above them."""
    pipeline = Pipeline("etl")

    @pipeline.stage(max_attempts=2, backoff="1ms", limit=1)
    def load(payload: Any, job: Any) -> None:
        raise ValueError(job.max_attempts)

    producer = Producer(root)
    DirectoryEngine(Root(producer.root)).make_queue("load")
    producer.submit(1, queue="load")
    assert drain(root, pipeline)["retried"] == 1
    producer.submit(1, queue="load")
    assert drain(root, pipeline, max_attempts=1)["retried"] == 0
    assert Worker(root, handler=pipeline, queues=["load"])._root.settings("load").max_attempts == 2
    assert Worker(root, handler=pipeline, queues=["load"], max_attempts=3)._root.settings("load").max_attempts == 3
    sharing = Worker(root, handler=pipeline, queues=["load"])._options.sharing
    assert sharing is not None
    assert list(sharing.order(lambda: {"load": 1})) == []
    with pytest.raises(BadSetting, match="queue 'default' is no stage"):
        Worker(root, handler=pipeline)


# -- from one run to the next ----------------------------------------------------------------------------------------


def test_a_stage_that_has_gone_is_missed_while_it_has_jobs(etl: Fsq) -> None:
    """Refused, and nothing is made; without jobs it is forgotten, and that is told."""
    assert run(etl).status == 0
    etl.write("etl.py", ETL.replace('"load", "audit"', '"load"').replace("etl.program", "print"))
    submitted(etl, 1, "audit")
    result = run(etl)
    assert result.status == 2
    assert result.err == (
        "fsq: pipeline 'etl' has no stage 'audit' any more, but 1 job waits in its queue: bring the stage back, or run"
        " them (fsq worker -q audit --handler …), or end them (fsq cancel --all new -q audit)\n"
    )
    assert etl("-r", etl.root, "cancel", "--all", "new", "-q", "audit").status == 0
    result = run(etl)
    assert result.status == 0
    assert "etl has no stage audit any more; its queue is empty, and not looked after" in result.err
    assert "any more" not in run(etl).err


def plan(name: str, *stages: str) -> Pipeline:
    made = Pipeline(name)
    for stage in stages:
        made.stage(name=stage, source=True)(lambda payload: payload)
    return made


def test_jobs_in_any_state_that_goes_on_are_missed(root: str) -> None:
    place = Root(root)
    write(place, plan("etl", "load", "audit").plan())
    assert compare(place, plan("etl", "audit", "load").plan()).is_new is False
    assert compare(place, plan("etl", "load").plan()).gone == ("audit",), "its queue was never made"
    for state in ("new", "later", "cur", "held"):
        init(root, ("audit",))
        name = f"{root}/audit/{state}/5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0"
        open(name, "x").close()
        with pytest.raises(BadPipeline, match="has no stage 'audit' any more, but 1 job waits"):
            compare(place, plan("etl", "load").plan())
        os.unlink(name)
    assert compare(place, plan("etl", "load").plan()).gone == ("audit",)


def test_two_pipelines_of_a_root_share_no_stage(root: str) -> None:
    """They would take each other's jobs."""
    place = Root(root)
    write(place, plan("etl", "load").plan())
    assert compare(place, plan("other", "clean").plan()).is_new
    with pytest.raises(BadPipeline, match=r"stage 'load' of pipeline 'other' is a stage of pipeline 'etl' in .*, too"):
        compare(place, plan("other", "load").plan())
    with open(f"{root}/.fsq/pipelines/etl", "w") as file:
        file.write("{")
    with pytest.raises(BadSetting, match="pipelines/etl: damaged"):
        compare(place, plan("other", "clean").plan())


def test_a_pipeline_that_cannot_start_makes_nothing(etl: Fsq) -> None:
    """Whatever is wrong, told in a line, with exit status 2."""
    before = sorted(os.listdir(f"{etl.root}/.fsq")), sorted(os.listdir(etl.root))
    etl.write("bad.py", "from workqueue.pipeline import Pipeline\netl = Pipeline('etl')\nx = 1\n")
    etl.write("worse.py", ETL + "etl.stage(name='x', limit=0)(id)\netl.stage(name='y', wish=0)(id)\n")
    wrong = {
        ("bad:etl",): ["fsq: pipeline 'etl' has no stages: declare one"],
        ("bad:etk",): ["fsq: 'bad:etk': bad has no 'etk'; did you mean 'etl'? It has etl"],
        ("bad:x",): ["fsq: 'bad:x': x is no Pipeline but an int; use module:pipeline or ./file.py:pipeline"],
        ("etl:extract",): ["fsq: 'etl:extract': extract is no Pipeline but a function; did you mean 'etl'?"],
        ("etl",): ["fsq: 'etl': use module:pipeline or ./file.py:pipeline"],
        ("elt:etl",): ["fsq: no module named 'elt'; did you mean 'etl'?"],
        ("worse:etl",): [
            "fsq: stage 'x': limit 0: a whole number from 1",
            "fsq: stage 'y': a stage takes no 'wish'",
        ],
        ("etl:etl", "--log", "xml"): ["fsq: --log 'xml': text or json"],
        ("etl:etl", "--html", "no/page.html"): ["fsq: cannot write the report: there is no directory"],
        ("etl:etl", "--grace", "soon"): ["fsq: grace 'soon'"],
    }
    for words, told in wrong.items():
        result = etl("-r", etl.root, "run", *words)
        assert result.status == 2, words
        lines = result.err.splitlines()
        assert len(lines) == len(told)
        assert all(line.startswith(start) for line, start in zip(lines, told, strict=True)), lines
    assert (sorted(os.listdir(f"{etl.root}/.fsq")), sorted(os.listdir(etl.root))) == before
