"""Producer and JobRef: what callers may rely on, and what they are told when something is wrong."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import workqueue
from support.faults import FaultyFs, paths_below
from support.races import race
from workqueue.engine.directory import DirectoryEngine
from workqueue.engine.protocol import Claim, NewJob
from workqueue.engine.root import Root, init
from workqueue.errors import (
    BadInput,
    BadName,
    BadPayload,
    BadSetting,
    FsqError,
    NewerFormat,
    NoSuchJob,
    NotARoot,
    QueueFull,
    StoreError,
    UnknownQueue,
)
from workqueue.jobs import names
from workqueue.jobs.content import Options
from workqueue.jobs.ids import milliseconds
from workqueue.jobs.states import State
from workqueue.producer import JobRef, Producer
from workqueue.store.fs import FS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from support.clocks import FakeClock

MS_2030 = 1893456000000


@pytest.fixture
def engine(root: str, clock: FakeClock) -> DirectoryEngine:
    """A worker's engine on the same root."""
    return DirectoryEngine(Root(root, clock=clock))


@pytest.fixture
def parcel(tmp_path: Path) -> Path:
    path = tmp_path / "parcel.csv"
    path.write_bytes(b"a,b\n1,2\n")
    return path


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system."""
    for place in ("/dev/shm", "/var/tmp", os.path.dirname(__file__)):
        if os.access(place, os.W_OK) and os.stat(place).st_dev != os.stat(tmp_path).st_dev:
            with tempfile.TemporaryDirectory(dir=place, prefix=".fsq-test-") as path:
                yield Path(path)
            return
    pytest.skip("no second file system: all places that were tried are on that of the temporary files")


def configured(root: str, text: str, clock: FakeClock) -> Producer:
    """A producer of a root with settings."""
    Path(root, "fsq.toml").write_text(text)
    return Producer(root, clock=clock)


def listed(root: str, state: str, queue: str = "default") -> list[str]:
    return sorted(os.listdir(f"{root}/{queue}/{state}"))


def jobs(root: str, queue: str = "default") -> list[str]:
    """All that lies in a queue, as SPACE/NAME."""
    return [path for path in paths_below(f"{root}/{queue}") if "/" in path]


def take(engine: DirectoryEngine, queue: str = "default") -> Claim:
    """Claim the first job."""
    claim = engine.take(queue, min(listed(engine.root.path, "new", queue)), 0)
    assert isinstance(claim, Claim), claim
    return claim


def payload_of(engine: DirectoryEngine, queue: str = "default") -> Any:
    """Claim the first job and read it as a worker does."""
    claim = take(engine, queue)
    data = engine.body(claim)
    return msgspec.json.decode(data) if claim.options.type == "json" else data


class TestImport:
    def test_loads_neither_typer_nor_watchdog_nor_asyncio(self) -> None:
        program = (
            "import sys, workqueue; workqueue.Producer, workqueue.FileStore;"
            "print(sorted({'typer', 'click', 'rich', 'watchdog', 'asyncio', 'multiprocessing'} & set(sys.modules)))"
        )
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
        assert (ran.stdout, ran.stderr) == ("[]\n", "")

    @pytest.mark.parametrize("name", sorted(set(workqueue.__all__) - {"__version__"}))
    def test_gives_every_name_that_it_promises(self, name: str) -> None:
        assert getattr(workqueue, name).__module__.startswith("workqueue.")

    def test_an_unknown_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="module 'workqueue' has no attribute 'Consumer'"):
            getattr(workqueue, "Consumer")  # noqa: B009


class TestOpening:
    def test_a_root_by_str_or_path(self, root: str) -> None:
        assert Producer(root).root == Producer(Path(root)).root == root
        assert repr(Producer(root)) == f"Producer({root!r})"

    def test_the_root_of_the_environment(self, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FSQ_ROOT", root)
        assert Producer().root == root

    def test_the_root_above_the_working_directory(self, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("FSQ_ROOT", raising=False)
        monkeypatch.chdir(f"{root}/default/new")
        assert Producer().root == root

    @pytest.mark.parametrize("kind", ["absent", "empty", "file", "foreign"])
    def test_what_is_no_root_is_refused_and_left_alone(self, kind: str, tmp_path: Path) -> None:
        path = tmp_path / "x"
        if kind == "file":
            path.write_text("mine")
        elif kind != "absent":
            path.mkdir()
        if kind == "foreign":
            (path / "new").mkdir()
        before = paths_below(str(tmp_path))
        with pytest.raises(NotARoot, match=rf"^{path}: not a queue root \(not mounted\?\); make one: fsq init {path}$"):
            Producer(path)
        assert paths_below(str(tmp_path)) == before

    def test_a_newer_format_is_refused_with_the_remedy(self, root: str) -> None:
        Path(root, ".fsq/format").write_text("2 abc\n")
        with pytest.raises(NewerFormat, match=f"^{root}: written in format 2, this fsq knows 1; pip install -U"):
            Producer(root)

    @pytest.mark.parametrize("text", ["", "\n", "x", "-1", "one 1", "\0", "²"])
    def test_a_damaged_format_is_refused(self, root: str, text: str) -> None:
        Path(root, ".fsq/format").write_text(text)
        with pytest.raises(NotARoot, match=r"\.fsq/format: damaged"):
            Producer(root)

    def test_create_makes_the_root_and_any_queue_that_is_named(self, tmp_path: Path) -> None:
        producer = Producer(tmp_path / "a" / "b", create=True)
        producer.submit(1, queue="other")
        Producer(tmp_path / "a" / "b", create=True).submit(2, queue="other")
        assert len(listed(producer.root, "new", "other")) == 2

    def test_create_does_not_make_a_queue_of_a_bad_name(self, tmp_path: Path) -> None:
        producer = Producer(tmp_path / "r", create=True)
        before = paths_below(str(tmp_path))
        for queue in ("../x", "", "A", "a/b", "a" * 65, "-a", "a b", ".fsq", None):
            with pytest.raises(BadName, match="1 to 64 characters"):
                producer.submit(1, queue=queue)  # type: ignore[arg-type]
        assert paths_below(str(tmp_path)) == before


class TestSubmit:
    @pytest.mark.parametrize(
        "payload", [{"path": "a.csv"}, [1, 2.5, None, True], None, 0, "", [], {}, "text", "üß日🎉", b"", b"\0\xff\n"]
    )
    def test_the_worker_gets_the_payload(self, payload: Any, producer: Producer, engine: DirectoryEngine) -> None:
        producer.submit(payload)
        expected = payload.encode() if isinstance(payload, str) else payload
        assert payload_of(engine) == expected

    def test_the_job_is_one_file_in_new_and_nothing_else(self, producer: Producer, root: str) -> None:
        ref = producer.submit(1)
        assert jobs(root) == [f"new/5-{ref.id}-0"]
        assert os.listdir(f"{root}/.fsq/jobs") == []

    def test_the_reference_tells_the_job(self, producer: Producer, clock: FakeClock) -> None:
        ref = producer.submit(1)
        assert (ref.queue, ref.created, ref.state()) == ("default", True, State.NEW)
        assert milliseconds(ref.id) == clock.now_ms()
        assert repr(ref) == f"JobRef({ref.id!r}, queue='default')"

    def test_references_of_one_job_are_equal(self, producer: Producer) -> None:
        one, two = producer.submit(1), producer.submit(1)
        assert one == producer.ref(one.id)
        assert len({one, producer.ref(one.id), two}) == 2
        assert one != one.id

    def test_options_are_kept_with_the_job(self, producer: Producer, engine: DirectoryEngine, clock: FakeClock) -> None:
        producer.submit(
            1,
            priority=2,
            max_attempts=7,
            timeout="2m",
            expires="1d",
            keep="1h",
            headers={"trace": [1]},
            label="july 2026",
        )
        claim = take(engine)
        o = claim.options
        assert (claim.name.priority, claim.name.label) == (2, "july_2026")
        assert (o.max_attempts, o.timeout, o.keep, o.headers) == (7, 120.0, 3600.0, {"trace": [1]})
        assert o.expires == clock.now_ms() + 86_400_000

    def test_a_plain_job_carries_no_options(self, producer: Producer, root: str) -> None:
        producer.submit({"n": 1})
        (name,) = listed(root, "new")
        with open(f"{root}/default/new/{name}", "rb") as file:
            assert file.readline().startswith(b'{"fsq":1,"len":7,"crc":')
            assert file.read() == b'{"n":1}'

    def test_jobs_stand_in_the_order_of_their_priority_then_their_age(self, producer: Producer, root: str) -> None:
        ids = {n: producer.submit(n, priority=p).id for n, p in enumerate([5, 5, 0, 9, 5, 0])}
        order = [names.parse(text) for text in listed(root, "new")]
        assert [name.id for name in order if name] == [ids[n] for n in (2, 5, 0, 1, 4, 3)]

    def test_another_queue(self, root: str, clock: FakeClock, engine: DirectoryEngine) -> None:
        init(root, ("load",))
        ref = Producer(root, clock=clock).submit(7, queue="load")
        assert (ref.queue, jobs(root), payload_of(engine, "load")) == ("load", [], 7)

    def test_a_label_that_cannot_be_a_file_name_is_made_one(self, producer: Producer, root: str) -> None:
        producer.submit(1, label="../../x\0\n" + "ü" * 300)
        (name,) = listed(root, "new")
        parsed = names.parse(name)
        assert parsed is not None
        assert parsed.label.startswith(".._.._x__üüü")

    @pytest.mark.parametrize("durable", [True, False])
    def test_volatile_is_no_less_whole(self, durable: bool, producer: Producer, engine: DirectoryEngine) -> None:
        producer.submit([1], durable=durable)
        producer.submit_many([[2]], durable=durable)
        assert payload_of(engine) == [1]

    def test_threads_may_share_a_producer(self, producer: Producer, root: str) -> None:
        def submit() -> None:
            for n in range(25):
                producer.submit(n, durable=False)

        threads = [threading.Thread(target=submit) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(listed(root, "new")) == 100

    def test_forked_processes_may_share_a_producer(self, producer: Producer, root: str) -> None:
        producer.submit(0)

        def submit() -> list[str]:
            return [producer.submit(n, durable=False).id for n in range(25)]

        ids = {job_id for made in race(*[submit] * 4) for job_id in made}
        assert (len(ids), len(listed(root, "new"))) == (100, 101)


class TestRefused:
    """Each is refused before anything is written; the message names what and why."""

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({}, BadInput, "submit takes a payload or file=…, one of them"),
            ({"payload": 1, "file": "x"}, BadInput, "one of them"),
            ({"payload": {1: 2}}, BadPayload, "the key 1 would come back as text"),
            ({"payload": float("nan")}, BadPayload, "nan would come back as None"),
            ({"payload": object()}, BadPayload, "cannot be JSON"),
            ({"payload": "\ud800"}, BadPayload, "text that cannot be encoded"),
            ({"payload": 1, "priority": 10}, BadSetting, "priority 10: a whole number from 0"),
            ({"payload": 1, "priority": "5"}, BadSetting, "priority '5'"),
            ({"payload": 1, "delay": "soon"}, BadSetting, "delay 'soon': use seconds"),
            ({"payload": 1, "delay": -1}, BadSetting, "delay -1"),
            ({"payload": 1, "delay": "1h", "at": "2030-01-01T00:00Z"}, BadSetting, "delay and at: give one of them"),
            ({"payload": 1, "at": datetime(2030, 1, 1)}, BadSetting, "at 2030.*has no time zone"),  # noqa: DTZ001
            ({"payload": 1, "at": "2030-01-01"}, BadSetting, "has no time zone"),
            ({"payload": 1, "at": "9999-01-01T00:00Z"}, BadSetting, "too far away"),
            ({"payload": 1, "timeout": "x"}, BadSetting, "timeout 'x'"),
            ({"payload": 1, "expires": None, "keep": "forever"}, BadSetting, "keep 'forever'"),
            ({"payload": 1, "expires": float("inf")}, BadSetting, "expires inf"),
            ({"payload": 1, "max_attempts": 0}, BadSetting, "max_attempts 0: a whole number from 1"),
            ({"payload": 1, "max_attempts": 10**30}, BadSetting, "max_attempts 1000"),
            ({"payload": 1, "max_attempts": True}, BadSetting, "max_attempts True"),
            ({"payload": 1, "key": ""}, BadSetting, "key '': must be text"),
            ({"payload": 1, "key": 7}, BadSetting, "key 7"),
            ({"payload": 1, "key": "\ud800"}, BadPayload, "key: cannot be JSON"),
            ({"payload": 1, "key_for": "1d"}, BadSetting, "key_for: goes with key"),
            ({"payload": 1, "headers": {"x": {1}}}, BadPayload, r"headers at \$.x: "),
            ({"payload": 1, "headers": {"x": "y" * 70_000}}, BadPayload, "options and headers: .* the limit is 65536"),
            ({"payload": 1, "key": "y" * 70_000}, BadPayload, "options and headers"),
            ({"payload": 1, "queue": "../default"}, BadName, r"queue '../default': 1 to 64 characters"),
            ({"payload": 1, "queue": "defualt"}, UnknownQueue, "no queue 'defualt'.*did you mean 'default'"),
            ({"payload": 1, "queue": "x"}, UnknownQueue, r"there is default \(fsq init -q x .*makes it\)"),
        ],
        ids=lambda value: str(value)[:40],
    )  # fmt: skip
    def test_what_cannot_be_used(
        self, arguments: dict[str, Any], error: type[FsqError], message: str, producer: Producer, root: str
    ) -> None:
        before = paths_below(root)
        with pytest.raises(error, match=message):
            producer.submit(**arguments)
        assert paths_below(root) == before

    def test_a_payload_over_the_limit_with_the_way_out(self, root: str, clock: FakeClock) -> None:
        producer = configured(root, 'max_payload = "1K"', clock)
        producer.submit(b"x" * 1024)
        before = paths_below(root)
        for submit in (producer.submit, lambda data: producer.submit_many([b"ok", data])):
            with pytest.raises(
                BadPayload, match=r"payload: 1.0 KiB, max_payload of queue 'default' is 1.0 KiB; .*move"
            ):
                submit(b"x" * 1025)
        assert paths_below(root) == before

    def test_every_refusal_is_also_a_value_error_and_exits_2(self) -> None:
        for error in (BadInput, BadName, BadPayload, BadSetting):
            assert issubclass(error, ValueError)
            assert error.exit_status == 2

    def test_a_queue_that_was_made_meanwhile_is_found(self, producer: Producer, root: str) -> None:
        with pytest.raises(UnknownQueue):
            producer.submit(1, queue="late")
        init(root, ("late",))
        assert producer.submit(1, queue="late").state() is State.NEW


class TestLater:
    def test_a_delayed_job_waits_in_later_under_its_time(self, producer: Producer, root: str, clock: FakeClock) -> None:
        ref = producer.submit(1, delay="10m")
        assert jobs(root) == [f"later/{clock.now_ms() + 600_000}-5-{ref.id}-0"]
        assert ref.state() is State.LATER

    @pytest.mark.parametrize("delay", [600, 600.0, timedelta(minutes=10), "600", "10m"])
    def test_every_form_of_a_duration(self, delay: Any, producer: Producer, root: str, clock: FakeClock) -> None:
        producer.submit(1, delay=delay)
        (name,) = listed(root, "later")
        assert names.due_of(name) == clock.now_ms() + 600_000

    @pytest.mark.parametrize("delay", [0, "0s", timedelta(), None])
    def test_no_delay_is_ready_at_once(self, delay: Any, producer: Producer) -> None:
        assert producer.submit(1, delay=delay).state() is State.NEW

    @pytest.mark.parametrize(
        "at",
        [
            "2030-01-01T00:00Z",
            "2030-01-01T02:00+02:00",
            datetime(2030, 1, 1, tzinfo=UTC),
            datetime(2029, 12, 31, 19, tzinfo=timezone(timedelta(hours=-5))),
        ],
    )
    def test_a_time_of_day_anywhere_on_earth(self, at: Any, producer: Producer, root: str) -> None:
        ref = producer.submit(1, at=at)
        assert jobs(root) == [f"later/{MS_2030}-5-{ref.id}-0"]

    @pytest.mark.parametrize("at", ["1969-07-20T20:17Z", "0001-01-01T00:00Z", "1970-01-01T00:00Z"])
    def test_a_time_long_past_is_a_job_that_is_due_now(self, at: str, producer: Producer, root: str) -> None:
        ref = producer.submit({"n": 1}, at=at)
        ((name),) = [*listed(root, "later"), *listed(root, "new")]
        parsed = names.parse(name)
        assert parsed is not None
        assert (parsed.id, names.due_of(name)) == (ref.id, 0)

    def test_many_jobs_for_later_are_one_batch_there(self, producer: Producer, root: str, clock: FakeClock) -> None:
        (job_id,) = producer.submit_many([1], delay="1h", priority=3)
        (batch,) = listed(root, "later")
        assert (names.is_batch(batch), names.due_of(batch)) == (True, clock.now_ms() + 3_600_000)
        assert producer.ref(job_id).state() is State.LATER


class TestSubmitMany:
    def test_every_payload_is_a_job_in_their_order(self, producer: Producer, root: str) -> None:
        ids = producer.submit_many([{"n": n} for n in range(5)], label="x")
        (batch,) = listed(root, "new")
        assert ids == sorted(set(ids))
        assert sorted(os.listdir(f"{root}/default/new/{batch}")) == [f"5-{job_id}-0+x" for job_id in ids]
        assert listed(root, "tmp") == []

    def test_payloads_of_all_kinds_keep_their_type(self, producer: Producer, engine: DirectoryEngine) -> None:
        given = [{"a": 1}, b"\0", "text", None]
        producer.submit_many(given)
        (batch,) = listed(engine.root.path, "new")
        types = []
        for name in sorted(os.listdir(f"{engine.root.path}/default/new/{batch}")):
            claim = engine.take("default", f"{batch}/{name}", 0)
            assert isinstance(claim, Claim)
            types.append((claim.options.type, engine.body(claim)))
        assert types == [("json", b'{"a":1}'), ("bytes", b"\0"), ("text", b"text"), ("json", b"null")]

    def test_each_may_have_a_label_of_its_own(self, producer: Producer, root: str) -> None:
        ids = producer.submit_many([1, 2], labels=(f"n{n}" for n in (1, 2)))
        (batch,) = listed(root, "new")
        assert sorted(os.listdir(f"{root}/default/new/{batch}")) == [f"5-{ids[0]}-0+n1", f"5-{ids[1]}-0+n2"]

    def test_a_label_too_few_submits_nothing(self, producer: Producer, root: str) -> None:
        with pytest.raises(ValueError, match="shorter"):
            producer.submit_many([1, 2], labels=["one"])
        assert jobs(root) == []

    def test_nothing_is_no_batch(self, producer: Producer, root: str) -> None:
        assert producer.submit_many([]) == []
        assert jobs(root) == []

    def test_it_takes_from_the_iterable_batch_by_batch(self, producer: Producer, root: str) -> None:
        seen: list[int] = []

        def payloads() -> Iterator[int]:
            for n in range(2100):
                if n % 1000 == 0:
                    seen.append(len(listed(root, "new")))
                yield n

        ids = producer.submit_many(payloads(), durable=False)
        assert (len(ids), seen) == (2100, [0, 1, 2])
        assert [len(os.listdir(f"{root}/default/new/{batch}")) for batch in listed(root, "new")] == [1000, 1000, 100]

    @pytest.mark.parametrize("error", [RuntimeError, OSError, KeyboardInterrupt])
    def test_an_iterable_that_raises_takes_its_batch_with_it_and_no_other(
        self, error: type[BaseException], producer: Producer, root: str
    ) -> None:
        def payloads() -> Iterator[int]:
            yield from range(1005)
            raise error("from the caller's iterable")

        with pytest.raises(error, match="from the caller's iterable"):
            producer.submit_many(payloads(), durable=False)
        (batch,) = listed(root, "new")
        assert len(os.listdir(f"{root}/default/new/{batch}")) == 1000
        assert listed(root, "tmp") == []

    def test_each_batch_is_told_as_soon_as_it_is_safe(self, producer: Producer, root: str) -> None:
        told: list[tuple[int, int]] = []

        def on_batch(ids: Sequence[str]) -> None:
            told.append((len(ids), len(listed(root, "new"))))

        assert len(producer.submit_many(range(2100), durable=False, on_batch=on_batch)) == 2100
        assert told == [(1000, 1), (1000, 2), (100, 3)]

    def test_a_payload_that_is_refused_takes_its_batch_with_it(self, producer: Producer, root: str) -> None:
        with pytest.raises(BadPayload, match="nan"):
            producer.submit_many([1, 2, float("nan"), 4])
        assert jobs(root) == []

    def test_options_hold_for_every_job(self, producer: Producer, engine: DirectoryEngine, clock: FakeClock) -> None:
        producer.submit_many([1, 2], priority=1, max_attempts=2, timeout=3, expires=4, keep=5, headers={"h": 1})
        (batch,) = listed(engine.root.path, "new")
        for name in os.listdir(f"{engine.root.path}/default/new/{batch}"):
            claim = engine.take("default", f"{batch}/{name}", 0)
            assert isinstance(claim, Claim)
            o = claim.options
            assert (o.max_attempts, o.timeout, o.keep, o.headers) == (2, 3.0, 5.0, {"h": 1})
            assert (o.expires, claim.name.priority) == (clock.now_ms() + 4000, 1)

    def test_bad_options_are_refused_before_the_iterable_is_touched(self, producer: Producer, root: str) -> None:
        def never() -> Iterator[int]:
            pytest.fail("asked for a payload")
            yield 0

        mistakes: list[dict[str, Any]] = [
            {"priority": 10},
            {"queue": "x"},
            {"timeout": "x"},
            {"delay": 1, "at": "2030-01-01T00:00Z"},
        ]
        for bad in mistakes:
            with pytest.raises(FsqError):
                producer.submit_many(never(), **bad)
        assert jobs(root) == []


class TestFull:
    def test_max_jobs_counts_what_waits(self, root: str, clock: FakeClock, engine: DirectoryEngine) -> None:
        producer = configured(root, "max_jobs = 3", clock)
        producer.submit(1)
        producer.submit(2, delay="1h")
        producer.submit_many([3])
        for submit in (lambda: producer.submit(4), lambda: producer.submit_many([4])):
            with pytest.raises(QueueFull, match="queue 'default' is full: 3 jobs wait, max_jobs is 3; try later"):
                submit()
        assert len([path for path in jobs(root) if not path.endswith("-b")]) == 3
        engine.finish(take(engine))
        producer.submit(4)
        with pytest.raises(QueueFull):
            producer.submit(5)

    def test_max_bytes_counts_what_waits(self, root: str, clock: FakeClock) -> None:
        producer = configured(root, 'max_bytes = "1K"', clock)
        producer.submit(b"x" * 500)
        with pytest.raises(QueueFull, match=r"is full: 5\d\d B wait, max_bytes is 1.0 KiB; try later"):
            producer.submit(b"x" * 600)
        assert len(jobs(root)) == 1
        producer.submit(b"x" * 10)

    def test_min_free_looks_at_the_file_system(self, root: str, clock: FakeClock) -> None:
        producer = configured(root, 'min_free = "100000T"', clock)
        with pytest.raises(QueueFull, match=rf"free on the file system of {root}, min_free is .*; free some space"):
            producer.submit(1)
        assert jobs(root) == []

    def test_a_limit_of_one_queue_is_not_that_of_another(self, root: str, clock: FakeClock) -> None:
        init(root, ("load",))
        producer = configured(root, "[queues.load]\nmax_jobs = 1", clock)
        producer.submit(1, queue="load")
        with pytest.raises(QueueFull, match="queue 'load'"):
            producer.submit(2, queue="load")
        producer.submit(1)
        producer.submit(2)

    def test_being_full_is_temporary_and_exits_75(self) -> None:
        assert QueueFull.exit_status == 75

    def test_what_another_producer_submitted_is_seen_within_a_second(self, root: str, clock: FakeClock) -> None:
        producer = configured(root, "max_jobs = 40", clock)
        producer.submit(0)
        Producer(root, clock=clock).submit_many(range(39), durable=False)
        clock.advance(1.1)
        with pytest.raises(QueueFull):
            producer.submit(1)


class TestByFile:
    @pytest.mark.parametrize("mode", ["move", "link", "copy"])
    def test_the_file_is_the_payload(
        self, mode: Any, producer: Producer, engine: DirectoryEngine, parcel: Path
    ) -> None:
        inode = parcel.stat().st_ino
        ref = producer.submit(file=parcel, mode=mode)
        (name,) = listed(engine.root.path, "new")
        assert name == f"5-{ref.id}-0=parcel.csv"
        assert parcel.exists() is (mode != "move")
        status = os.stat(f"{engine.root.path}/default/new/{name}")
        assert (status.st_ino == inode, status.st_nlink) == (mode != "copy", 2 if mode == "link" else 1)
        claim = take(engine)
        assert (engine.body(claim), claim.name.whole) == (b"a,b\n1,2\n", True)

    @pytest.mark.parametrize("mode", ["move", "link", "copy"])
    def test_options_go_with_it(
        self, mode: Any, producer: Producer, engine: DirectoryEngine, parcel: Path, clock: FakeClock
    ) -> None:
        ref = producer.submit(file=str(parcel), mode=mode, max_attempts=2, headers={"a": 1}, label="other", delay=1)
        (name,) = listed(engine.root.path, "later")
        assert name == f"{clock.now_ms() + 1000}-5-{ref.id}-0=other"
        found = engine.find(ref.id)
        assert found is not None
        assert engine.retry(found)
        claim = take(engine)
        assert (claim.options.max_attempts, claim.options.headers) == (2, {"a": 1})

    def test_a_relative_path_and_an_odd_name(
        self, producer: Producer, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("-rf *\n.csv").write_text("x")
        ref = producer.submit(file="-rf *\n.csv", mode="move")
        assert jobs(root) == [f"new/5-{ref.id}-0=-rf___.csv"]

    @pytest.mark.parametrize("mode", ["move", "link", "copy"])
    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (None, "no such file"),
            (os.mkdir, "not a regular file"),
            (os.mkfifo, "not a regular file"),
            (lambda path: os.symlink("/etc/hostname", path), "not a regular file"),
            (lambda path: os.symlink("nowhere", path), "not a regular file"),
        ],
        ids=["missing", "directory", "fifo", "link", "dangling"],
    )
    @pytest.mark.timeout(10)
    def test_anything_but_a_regular_file_is_refused_and_left_alone(
        self, mode: Any, make: Callable[[str], None] | None, message: str, producer: Producer, root: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "thing"
        if make is not None:
            make(str(path))
        before = paths_below(str(tmp_path))
        with pytest.raises(BadInput, match=f"^{path}: {message}$"):
            producer.submit(file=path, mode=mode)
        assert paths_below(str(tmp_path)) == before

    def test_an_unknown_mode_is_refused(self, producer: Producer, parcel: Path, root: str) -> None:
        with pytest.raises(BadSetting, match="mode 'hardlink': move, link or copy"):
            producer.submit(file=parcel, mode="hardlink")  # type: ignore[arg-type]
        assert jobs(root) == []

    def test_a_link_takes_no_key(self, producer: Producer, parcel: Path, root: str) -> None:
        with pytest.raises(BadSetting, match="a job by link takes no key"):
            producer.submit(file=parcel, mode="link", key="k")
        assert jobs(root) == []

    def test_a_copy_over_the_limit_is_refused_with_the_way_out(self, root: str, clock: FakeClock, parcel: Path) -> None:
        producer = configured(root, "max_payload = 5", clock)
        with pytest.raises(BadInput, match=rf"^{parcel}: 8 bytes, max_payload is 5; submit it with mode='move'"):
            producer.submit(file=parcel)
        assert jobs(root) == []
        producer.submit(file=parcel, mode="move")
        assert len(jobs(root)) == 1

    @pytest.mark.parametrize("key", [None, "k"])
    def test_from_another_file_system_it_is_moved_by_a_copy(
        self, key: str | None, producer: Producer, engine: DirectoryEngine, elsewhere: Path
    ) -> None:
        source = elsewhere / "big.bin"
        source.write_bytes(b"x" * 3_000_000)
        producer.submit(file=source, mode="move", key=key)
        assert not source.exists()
        assert engine.body(take(engine)) == b"x" * 3_000_000

    def test_from_another_file_system_it_cannot_be_linked(self, producer: Producer, root: str, elsewhere: Path) -> None:
        source = elsewhere / "big.bin"
        source.write_bytes(b"x")
        with pytest.raises(
            BadInput, match=rf"^{source}: on another file system than {root}; submit it with mode='copy'"
        ):
            producer.submit(file=source, mode="link")
        assert (source.read_bytes(), jobs(root)) == (b"x", [])
        producer.submit(file=source, mode="copy")
        assert (source.read_bytes(), len(jobs(root))) == (b"x", 1)


class TestKeys:
    def test_a_key_that_is_taken_gives_the_job_that_has_it(self, producer: Producer, root: str) -> None:
        first, second = producer.submit(1, key="k"), producer.submit(2, key="k")
        assert (second, second.created, first.created) == (first, False, True)
        assert len(jobs(root)) == 1
        assert producer.submit(3, key="other").created

    def test_it_is_free_again_when_its_job_is_cancelled(self, producer: Producer) -> None:
        first = producer.submit(1, key="k")
        first.cancel()
        assert producer.submit(2, key="k") != first

    def test_a_key_is_a_queues_own(self, root: str, clock: FakeClock) -> None:
        init(root, ("load",))
        producer = Producer(root, clock=clock)
        assert producer.submit(1, key="k") != producer.submit(1, key="k", queue="load")

    @pytest.mark.parametrize("key", ["../../x", "a/b", "\0", "\n", "ü" * 300, " ", "x" * 10_000])
    def test_any_text_is_a_key_and_none_becomes_a_path(self, key: str, producer: Producer, root: str) -> None:
        ref = producer.submit(1, key=key)
        assert producer.submit(1, key=key) == ref
        (found,) = [path for path in paths_below(f"{root}/.fsq/keys") if "/" in path]
        assert len(found) == 67


# What is submitted: how, and where the user's own file lies afterwards when it failed.
WAYS: dict[str, Callable[[DirectoryEngine, Path], object]] = {
    "bytes": lambda engine, _: engine.put(NewJob("default", b"x" * 100)),
    "later": lambda engine, _: engine.put(NewJob("default", b"x", due=MS_2030)),
    "key": lambda engine, _: engine.put(NewJob("default", b"x", options=Options(key="k"))),
    "move": lambda engine, path: engine.put(NewJob("default", file=str(path), mode="move")),
    "link": lambda engine, path: engine.put(NewJob("default", file=str(path), mode="link")),
    "copy": lambda engine, path: engine.put(NewJob("default", file=str(path), mode="copy")),
    "file with options": lambda engine, path: engine.put(
        NewJob("default", file=str(path), mode="move", options=Options(max_attempts=2))
    ),
    "many": lambda engine, _: list(engine.put_many(NewJob("default"), [(b"x", "bytes")] * 3)),
}


def error_of(submit: Callable[[], object]) -> StoreError | None:
    """Why it failed; None if it did not."""
    try:
        submit()
    except StoreError as error:
        return error
    return None


def take_back(root: str, parcel: Path) -> None:
    """Undo a submit that went well though an operation failed, such as the removal of what is not needed any more."""
    for path in (f"{root}/default/{path}" for path in reversed(jobs(root))):
        if os.path.isdir(path):
            os.rmdir(path)
        elif parcel.exists():
            os.unlink(path)
        else:
            os.rename(path, parcel)
    for job_id in os.listdir(f"{root}/.fsq/jobs"):
        FS.remove_tree(f"{root}/.fsq/jobs/{job_id}")


class TestBrokenDisk:
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
    def test_a_submit_that_fails_at_any_step_raises_and_leaves_no_job(
        self, way: str, code: int, root: str, clock: FakeClock, parcel: Path
    ) -> None:
        fs = FaultyFs()
        engine = DirectoryEngine(Root(root, fs=fs, clock=clock))
        engine.root.space("default", "tmp")
        fails = 0
        for n in range(1, 60):
            fs.restart()
            fs.fail_at(n, code)
            error = error_of(lambda: WAYS[way](engine, parcel))
            if error is not None:
                fails += 1
                assert error.errno == code
                assert str(error).startswith(f"cannot submit to queue 'default': {os.strerror(code)}: '/")
                assert str(error).endswith(")"), "the remedy is missing"
                assert jobs(root) == [], f"after {fs.brief}"
                assert parcel.read_bytes() == b"a,b\n1,2\n"
                assert os.listdir(f"{root}/.fsq/jobs") == []
            elif len(fs.calls) < n:
                break
            else:
                take_back(root, parcel)
        else:
            pytest.fail(f"never came to an end: {fs.brief}")
        assert fails >= 3
        assert len([path for path in jobs(root) if not path.endswith("-b")]) == (3 if way == "many" else 1)

    def test_a_disk_that_stays_full_leaves_nothing_to_be_seen(self, root: str, clock: FakeClock) -> None:
        fs = FaultyFs()
        engine = DirectoryEngine(Root(root, fs=fs, clock=clock))
        engine.root.space("default", "tmp")
        for verb in ("create", "write", "sync", "close", "rename"):
            fs.restart()
            fs.fail_at(1, errno.ENOSPC, verb=verb, once=False)
            with pytest.raises(StoreError, match=r"No space left on device: '/.*\(free some space or inodes"):
                engine.put(NewJob("default", b"x"))
            assert jobs(root) == []

    def test_a_failed_sync_is_never_tried_again_on_the_same_file(self, root: str, clock: FakeClock) -> None:
        fs = FaultyFs()
        engine = DirectoryEngine(Root(root, fs=fs, clock=clock))
        engine.root.space("default", "tmp")
        fs.restart()
        fs.fail_at(1, errno.EIO, verb="sync")
        with pytest.raises(StoreError, match="the disk reports a fault"):
            engine.put(NewJob("default", b"x"))
        assert (fs.verbs.count("sync"), fs.verbs.count("rename")) == (1, 0)

    def test_a_store_error_is_an_os_error_with_the_kernels_words(self, root: str) -> None:
        error = StoreError("do it", OSError(errno.ENOSPC, "No space left on device", "/x"))
        assert (error.errno, error.strerror, error.filename) == (errno.ENOSPC, "No space left on device", "/x")
        assert str(error) == (
            "cannot do it: No space left on device: '/x' "
            "(free some space or inodes on that file system; nothing acknowledged before is lost)"
        )
        assert isinstance(error, OSError)

    def test_a_root_that_was_removed_is_told_as_that(self, producer: Producer, root: str) -> None:
        producer.submit(1)
        os.rename(root, f"{root}.away")
        with pytest.raises(StoreError, match=r"No such file.*is its disk mounted"):
            producer.submit(2)
        assert not os.path.exists(root)


class TestState:
    def test_follows_the_job(self, producer: Producer, engine: DirectoryEngine) -> None:
        ref = producer.submit(1, keep="1h", delay="1m")
        found = engine.find(ref.id)
        assert found is not None
        seen = [ref.state()]
        engine.retry(found)
        seen.append(ref.state())
        claim = take(engine)
        seen.append(ref.state())
        engine.finish(claim)
        seen.append(ref.state())
        assert seen == [State.LATER, State.NEW, State.CUR, State.DONE]

    def test_of_a_job_that_is_nowhere_is_none(self, producer: Producer) -> None:
        assert producer.ref("01JD8Z7Q4M9X3V2T6B1C0N5KEY").state() is None

    def test_of_a_job_in_a_batch(self, producer: Producer) -> None:
        assert {producer.ref(job_id).state() for job_id in producer.submit_many([1, 2])} == {State.NEW}

    @pytest.mark.parametrize("job_id", ["", "x", "../x", "01JD8Z7Q4M9X3V2T6B1C0N5KEY-0+/../../../../etc", None])
    def test_an_id_that_is_none_is_refused(self, job_id: Any, producer: Producer) -> None:
        with pytest.raises(BadSetting, match="job id"):
            producer.ref(job_id)


class TestWait:
    def test_until_it_is_done(self, producer: Producer, engine: DirectoryEngine, clock: FakeClock) -> None:
        ref = producer.submit(1, keep="1h")
        claims: list[Claim] = []
        steps: Iterator[Callable[[], object]] = iter(
            [
                lambda: claims.append(take(engine)),
                lambda: engine.release(claims[0]),
                lambda: claims.append(take(engine)),
                lambda: engine.finish(claims[1]),
            ]
        )

        def work() -> None:
            step = next(steps, None)
            assert step is not None, "still waiting for a job that has ended"
            step()

        clock.on_sleep = work
        assert ref.wait() is State.DONE

    def test_a_job_whose_every_step_falls_on_one_tick_of_the_kernels_clock(
        self, producer: Producer, engine: DirectoryEngine, clock: FakeClock
    ) -> None:
        """The times of a file have a resolution of milliseconds: they do not tell that it was moved."""
        ends: list[Callable[[Claim], object]] = [engine.finish, engine.fail] * 10
        for end in ends:
            ref = producer.submit(1, keep="1h", durable=False)
            clock.on_sleep = lambda end=end: end(take(engine))
            state = ref.wait(timeout=60)
            assert state in {State.DONE, State.FAILED}

    def test_a_job_that_is_not_kept_ends_as_none(
        self, producer: Producer, engine: DirectoryEngine, clock: FakeClock
    ) -> None:
        ref = producer.submit(1)
        clock.on_sleep = lambda: engine.finish(take(engine))
        assert ref.wait() is None

    def test_a_job_that_has_ended_does_not_wait(
        self, producer: Producer, engine: DirectoryEngine, clock: FakeClock
    ) -> None:
        ref = producer.submit(1)
        engine.fail(take(engine))
        assert (ref.wait(), clock.slept) == (State.FAILED, [])

    def test_a_time_out_is_an_error_that_says_where_the_job_is(self, producer: Producer, clock: FakeClock) -> None:
        ref = producer.submit(1)
        start = clock.monotonic()
        with pytest.raises(TimeoutError, match=f"job {ref.id} has not ended; it is in new"):
            ref.wait(timeout="10s")
        assert 10 <= clock.monotonic() - start < 11

    def test_the_wall_clock_does_not_matter(self, producer: Producer, clock: FakeClock) -> None:
        ref = producer.submit(1)
        clock.on_sleep = lambda: clock.step(-3600)
        with pytest.raises(TimeoutError):
            ref.wait(timeout=1)

    def test_it_looks_often_at_first_and_then_every_tenth_of_a_second(
        self, producer: Producer, clock: FakeClock
    ) -> None:
        with pytest.raises(TimeoutError):
            producer.submit(1).wait(timeout=10)
        assert clock.slept[0] <= 0.005
        assert max(clock.slept) <= 0.1
        assert len(clock.slept) < 130

    def test_a_job_that_was_never_here_is_an_error(self, producer: Producer) -> None:
        with pytest.raises(NoSuchJob, match="finished and not kept, cancelled, or never here"):
            producer.ref("01JD8Z7Q4M9X3V2T6B1C0N5KEY").wait()


class TestResult:
    def test_is_what_the_handler_returned_where_it_is_kept(self, producer: Producer, engine: DirectoryEngine) -> None:
        ref = producer.submit(1, keep="1h")
        engine.finish(take(engine), b'{"rows":100}')
        assert ref.result() == {"rows": 100}

    def test_is_an_error_with_the_remedy_where_nothing_is_kept(
        self, producer: Producer, engine: DirectoryEngine
    ) -> None:
        ref = producer.submit(1)
        engine.finish(take(engine), b"1")
        with pytest.raises(NoSuchJob, match=rf"job {ref.id}: no result is kept; submit\(keep=…\) keeps it"):
            ref.result()


class TestCancel:
    @pytest.mark.parametrize(("options", "state"), [({}, State.NEW), ({"delay": "1h"}, State.LATER)])
    def test_a_job_that_waits_is_gone_at_once(
        self, options: dict[str, Any], state: State, producer: Producer, root: str
    ) -> None:
        ref = producer.submit(1, **options)
        assert (ref.cancel(), ref.state(), jobs(root)) == (state, None, [])

    def test_a_job_by_file_takes_its_options_with_it(self, producer: Producer, root: str, parcel: Path) -> None:
        producer.submit(file=parcel, max_attempts=2).cancel()
        assert (jobs(root), os.listdir(f"{root}/.fsq/jobs")) == ([], [])

    def test_a_job_in_a_batch_is_taken_out_of_it(self, producer: Producer) -> None:
        first, second = map(producer.ref, producer.submit_many([1, 2]))
        assert (first.cancel(), first.state(), second.state()) == (State.NEW, None, State.NEW)

    def test_a_job_that_runs_is_marked_for_its_supervisor(
        self, producer: Producer, engine: DirectoryEngine, root: str
    ) -> None:
        ref = producer.submit(1)
        take(engine)
        assert (ref.cancel(), ref.state(), os.listdir(f"{root}/.fsq/cancel")) == (State.CUR, State.CUR, [ref.id])

    def test_a_job_that_has_ended_is_left_as_it_is(self, producer: Producer, engine: DirectoryEngine) -> None:
        ref = producer.submit(1)
        engine.fail(take(engine))
        assert (ref.cancel(), ref.state()) == (None, State.FAILED)

    def test_a_job_that_is_nowhere_is_none(self, producer: Producer) -> None:
        ref = producer.submit(1)
        ref.cancel()
        assert ref.cancel() is None

    def test_of_many_processes_cancelling_one_job_one_did_it(self, producer: Producer) -> None:
        for _ in range(3):
            ref: JobRef = producer.submit(1)
            assert sorted(map(str, race(*[ref.cancel] * 4))) == ["None"] * 3 + ["new"]


def test_a_wish_that_there_is_not_is_refused_and_named(root: str) -> None:
    with pytest.raises(BadInput, match="submit takes no 'prioriy'; did you mean 'priority'"):
        Producer(root).submit(1, prioriy=3)  # type: ignore[call-arg]
    assert not list(Path(root, "default", "new").iterdir())
