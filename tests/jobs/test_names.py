"""Names: whatever changes in a job's life is in its name, and is read the same in every space."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from support.clocks import FakeClock
from workqueue.errors import BadSetting
from workqueue.jobs import names
from workqueue.jobs.ids import Ids, JobId, encode
from workqueue.jobs.names import LONGEST_LABEL, MOST_ATTEMPTS, Name, Owner, parse
from workqueue.store.names import LONGEST_NAME, checked

ID = "01JD8Z7Q4M9X3V2T6B1C0N5KEY"
IDS = st.integers(0, (1 << 128) - 1).map(encode)
LABELS = st.text(max_size=100).map(names.label)
RUNS = st.text(names.RUN_CHARACTERS, min_size=4, max_size=4)
OWNERS = st.builds(Owner, st.integers(0, 99_999), RUNS)
DUES = st.integers(0, 10**13 - 1)


@st.composite
def all_names(draw: st.DrawFn) -> Name:
    return Name(
        priority=draw(st.integers(0, 9)),
        id=draw(IDS),
        attempt=draw(st.integers(0, MOST_ATTEMPTS)),
        anew=draw(st.booleans()),
        due=draw(st.none() | DUES.filter(bool)),
        owner=draw(st.none() | OWNERS),
        whole=draw(st.booleans()),
        label=draw(LABELS),
    )


FILE_NAMES = (
    st.binary(min_size=1, max_size=255)
    .filter(lambda data: not {0, ord("/")} & set(data) and data not in {b".", b".."})
    .map(os.fsdecode)
)


class TestEachPartOfTheManual:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            (f"5-{ID}-0", Name(5, JobId(ID), 0)),
            (f"5-{ID}-1@3.k2x9", Name(5, JobId(ID), 1, owner=Owner(3, "k2x9"))),
            (f"1764000000000-5-{ID}-1", Name(5, JobId(ID), 1, due=1764000000000)),
            (f"5-{ID}-0+july.csv", Name(5, JobId(ID), 0, label="july.csv")),
            (f"5-{ID}-0=july.csv", Name(5, JobId(ID), 0, whole=True, label="july.csv")),
            (f"5-{ID}-0=", Name(5, JobId(ID), 0, whole=True)),
            (f"5-{ID}-00", Name(5, JobId(ID), 0, anew=True)),
            (f"5-{ID}-03", Name(5, JobId(ID), 3, anew=True)),
            (f"0-{ID}-12@0.0000=a+b=c@1.x", Name(0, JobId(ID), 12, owner=Owner(0, "0000"), whole=True, label="a+b=c@1.x")),
            (f"5-{ID}-0+line\nbreak", Name(5, JobId(ID), 0, label="line\nbreak")),
        ],
    )  # fmt: skip
    def test_is_read(self, text: str, name: Name) -> None:
        assert parse(text) == name

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "july.csv",
            ID,
            f"5-{ID}",
            f"5-{ID}-",
            f"5-{ID}--1",
            f"5-{ID}-x",
            f"10-{ID}-0",
            f"-5-{ID}-0",
            f"５-{ID}-0",
            f"5-{ID}-٣",
            f"5-{ID.lower()}-0",
            f"5-8{ID[1:]}-0",
            f"5-{ID[:-1]}-0",
            f"5-{ID}Y-0",
            f"5-{ID[:-1]}U-0",
            f"5-{ID}-0 ",
            f" 5-{ID}-0",
            f"5-{ID}-0\n",
            f"5-{ID}-0@3",
            f"5-{ID}-0@3.k2x",
            f"5-{ID}-0@3.K2X9",
            f"5-{ID}-0@.k2x9",
            f"5-{ID}-0@123456.k2x9",
            f"5-{ID}-0~",
            f"176400000000-5-{ID}-0",
            f"17640000000000-5-{ID}-0",
            f"5-{ID}-1234567890",
            f"5-{ID}-b",
            f".5-{ID}-0",
        ],
    )
    def test_anything_else_is_a_bare_job(self, text: str) -> None:
        assert parse(text) is None


class TestRoundTrip:
    @given(all_names())
    def test_ready_drops_due_and_owner_and_keeps_the_rest(self, name: Name) -> None:
        assert parse(name.ready()) == name._replace(due=None, owner=None)

    @given(all_names())
    def test_delayed_keeps_the_due_time_too(self, name: Name) -> None:
        assert parse(name.delayed()) == name._replace(owner=None)

    @given(all_names(), OWNERS)
    def test_claimed_keeps_the_owner_and_drops_the_due_time(self, name: Name, owner: Owner) -> None:
        assert parse(name._replace(owner=owner).claimed()) == name._replace(owner=owner, due=None)

    @given(all_names(), OWNERS)
    def test_a_claim_counts_the_attempt_and_changes_nothing_else(self, name: Name, owner: Owner) -> None:
        claim = name.claim(owner)
        assert claim.attempt == min(name.attempt + 1, MOST_ATTEMPTS)
        assert claim == name._replace(attempt=claim.attempt, owner=owner, due=None)

    @given(FILE_NAMES, OWNERS)
    @example(f"1764000000000-5-{ID}-099999999@1.aaaa=x", Owner(3, "k2x9"))
    @example(f"5-{ID}-01+x", Owner(3, "k2x9"))
    def test_to_take_a_name_is_to_parse_and_claim_it(self, text: str, owner: Owner) -> None:
        name = parse(text)
        assert names.taken(text, owner) == (None if name is None else name.claim(owner))

    @given(FILE_NAMES)
    @example(f"5-{ID}-0+\n\n")
    @example(f"1764000000000-5-{ID}-01@1.aaaa=..")
    def test_a_name_that_parses_is_written_back_as_it_was_read(self, text: str) -> None:
        name = parse(text)
        if name is not None:
            assert parse(name.ready()) == name._replace(due=None, owner=None)

    def test_a_job_that_was_moved_by_hand_is_read_the_same_in_every_space(self) -> None:
        name = Name(5, JobId(ID), 2, due=1764000000000, owner=Owner(3, "k2x9"), label="x")
        for text in (name.ready(), name.delayed(), name.claimed()):
            read = parse(text)
            assert read is not None
            assert read._replace(due=None, owner=None).ready() == f"5-{ID}-2+x"

    def test_a_claim_without_an_owner_has_no_name(self) -> None:
        with pytest.raises(AssertionError):
            Name(5, JobId(ID), 0).claimed()

    def test_a_planted_count_of_attempts_is_still_readable_after_its_claim(self) -> None:
        """Else its claim in cur/ could be recovered by nobody."""
        for text in (f"5-{ID}-999999999", f"5-{ID}-099999999"):
            planted = parse(text)
            assert planted is not None
            claim = planted.claim(Owner(99_999, "zzzz"))
            assert parse(claim.claimed()) == claim


class TestHistory:
    @pytest.mark.parametrize(
        ("name", "has"),
        [
            (Name(5, JobId(ID), 0), False),
            (Name(5, JobId(ID), 1), False),
            (Name(5, JobId(ID), 2), True),
            (Name(5, JobId(ID), 1, anew=True), True),
            (Name(5, JobId(ID), 1, whole=True), True),
        ],
    )
    def test_a_first_attempt_of_a_plain_job_has_none(self, name: Name, has: bool) -> None:
        assert name.has_history is has


class TestLabels:
    @pytest.mark.parametrize(
        ("text", "label"),
        [
            ("", ""),
            ("july.csv", "july.csv"),
            ("a b/c\\d:e", "a_b_c_d_e"),
            ("-rf *", "-rf__"),
            ("../../etc/passwd", ".._.._etc_passwd"),
            (".", "_"),
            ("..", "__"),
            ("...", "___"),
            ("a\nb\0c\x1b[31m", "a_b_c__31m"),
            ("Übung_№1.csv", "Übung__1.csv"),
            ("\udc80\ud800x", "__x"),
            ("日本語", "日本語"),
            ("🎉", "_"),
        ],
    )
    def test_keep_letters_and_digits_of_any_script(self, text: str, label: str) -> None:
        assert names.label(text) == label

    @given(st.text() | FILE_NAMES)
    @example("ü" * 300)
    @example("a" + "ü" * 300)
    @example("日" * 300)
    @example("a日" * 300)
    def test_fit_into_the_longest_name_that_a_job_will_ever_have(self, text: str) -> None:
        label = names.label(text)
        name = Name(
            9, JobId(ID), MOST_ATTEMPTS, anew=True, due=10**13 - 1, owner=Owner(99_999, "zzzz"), whole=True, label=label
        )
        for form in (name.ready(), name.delayed(), name.claimed()):
            assert len(os.fsencode(form)) <= LONGEST_NAME
            assert checked(form) == form
            assert parse(form) is not None

    @given(st.text() | FILE_NAMES)
    def test_are_names_of_files_themselves_and_do_not_change_a_second_time(self, text: str) -> None:
        label = names.label(text)
        assert names.label(label) == label
        assert label.isprintable()
        assert label == "" or checked(label) == label

    @given(st.sampled_from("üß日a𝒳é"), st.integers(1, 300), st.sampled_from(["", "x", "xx", "xxx"]))
    def test_are_cut_in_bytes_and_never_within_a_character(self, character: str, count: int, before: str) -> None:
        text = before + character * count
        label = names.label(text)
        assert text.startswith(label)
        missing = len(text) - len(label)
        assert missing == 0 or len(label.encode()) > LONGEST_LABEL - len(character.encode())

    def test_there_is_room_for_much_of_a_file_name(self) -> None:
        assert LONGEST_LABEL > 180


class TestBareJobs:
    @given(FILE_NAMES)
    @example("-rf")
    @example(";id")
    @example("x~")
    @example("\udcff\udcfe")
    @example("a" * 255)
    @example(f"5-{ID}-b")
    def test_any_file_name_becomes_a_safe_label(self, text: str) -> None:
        assume(parse(text) is None)
        name = names.bare(text, Ids(FakeClock()))
        assert (name.priority, name.attempt, name.whole, name.due) == (5, 0, True, None)
        claimed = name.claim(Owner(63, "zzzz")).claimed()
        assert checked(claimed) == claimed
        assert parse(claimed) == name.claim(Owner(63, "zzzz"))
        assert claimed.isprintable()

    def test_each_gets_an_id_of_its_own(self) -> None:
        make = Ids(FakeClock())
        assert names.bare("a", make).id < names.bare("a", make).id


class TestDue:
    @pytest.mark.parametrize(
        ("text", "due", "without"),
        [
            (f"1764000000000-5-{ID}-1", 1764000000000, f"5-{ID}-1"),
            (f"5-{ID}-1", 0, f"5-{ID}-1"),
            ("0000000000000-x", 0, "x"),
            ("july.csv", 0, "july.csv"),
            ("", 0, ""),
            ("1764000000000", 0, "1764000000000"),
            ("176400000000-5", 0, "176400000000-5"),
            ("²²²²²²²²²²²²²-x", 0, "²²²²²²²²²²²²²-x"),
            ("٣٣٣٣٣٣٣٣٣٣٣٣٣-x", 0, "٣٣٣٣٣٣٣٣٣٣٣٣٣-x"),
            (f"1764000000000-5-{ID}-b", 1764000000000, f"5-{ID}-b"),
        ],
    )
    def test_a_name_without_one_is_due_now(self, text: str, due: int, without: str) -> None:
        assert (names.due_of(text), names.without_due(text)) == (due, without)

    @given(FILE_NAMES | st.text())
    def test_any_name_planted_in_later_can_be_judged(self, text: str) -> None:
        assert 0 <= names.due_of(text) < 10**13
        assert text.endswith(names.without_due(text))

    @given(all_names())
    def test_names_sort_by_due_time_then_priority_then_age(self, name: Name) -> None:
        later = name._replace(due=(name.due or 0) + 1)
        assert name.due is None or name.delayed() < later.delayed() or name.due + 1 == 10**13
        if name.priority < 9:
            assert name.ready() < name._replace(priority=name.priority + 1, id=JobId("0" * 26)).ready()


class TestBatches:
    def test_are_told_by_their_name(self) -> None:
        assert names.is_batch(names.batch(5, ID))
        assert names.is_batch(f"1764000000000-5-{ID}-b")
        for text in (f"5-{ID}-0", f"5-{ID}-bb", f"5-{ID}-B", "b", "-b", f"x-{ID}-b", f"5-{ID}-b+x", f"5-{ID}-b\n"):
            assert not names.is_batch(text)

    def test_stand_in_order_between_the_jobs(self) -> None:
        older, younger = encode(1), encode(3)
        assert names.Name(5, older, 0).ready() < names.batch(5, encode(2)) < names.Name(5, younger, 0).ready()


class TestChecked:
    @pytest.mark.parametrize("value", range(10))
    def test_a_priority_is_one_digit(self, value: int) -> None:
        assert names.checked_priority(value) == value

    @pytest.mark.parametrize("value", [-1, 10, 5.0, "5", None, True, False, 1 << 70])
    def test_another_priority_is_refused(self, value: Any) -> None:
        with pytest.raises(BadSetting, match=r"priority .*: a whole number from 0 \(runs first\) to 9"):
            names.checked_priority(value)

    @given(IDS)
    def test_an_id_is_accepted(self, job_id: str) -> None:
        assert names.checked_id(job_id) == job_id

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "x",
            ID[:-1],
            ID + "0",
            ID.lower(),
            "8" + ID[1:],
            f"{ID}-0+x",
            f"{ID}-1@3.k2x9+",
            f"{ID}-0+/../../../x",
            f"{ID}\n",
            f"../{ID}",
            "U" * 26,
            None,
            7,
            ID.encode(),
        ],
    )
    def test_what_is_no_id_is_refused(self, value: Any) -> None:
        """An id becomes a part of paths, so it must be an id and nothing else."""
        with pytest.raises(BadSetting, match="job id"):
            names.checked_id(value)


class TestRuns:
    def test_are_four_characters_that_differ(self) -> None:
        made = [names.new_run() for _ in range(200)]
        assert len(set(made)) > 195
        assert all(parse(f"5-{ID}-1@3.{run}") for run in made)

    def test_a_fork_draws_its_own(self) -> None:
        names.new_run()
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(theirs, "".join(names.new_run() for _ in range(50)).encode())
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        drawn = os.read(ours, 200).decode()
        os.close(ours)
        os.close(theirs)
        assert len(drawn) == 200
        made = {names.new_run() for _ in range(50)}
        assert len(made & {drawn[start : start + 4] for start in range(0, 200, 4)}) < 3
