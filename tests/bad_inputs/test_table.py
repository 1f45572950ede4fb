"""The 46 bad inputs that fsq is held to, each with the tests that hold it; and that those tests are there.

Nearly all tests of this directory do so as root and as an ordinary user; the others as whoever runs the tests.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parent.parent
DOCS = TESTS.parent / "docs"


class Row(NamedTuple):
    """A kind of bad input, and where it is tested: FILE::TEST, or FILE::CLASS::TEST."""

    what: str
    tests: tuple[str, ...]
    said: tuple[str, str] = ("", "")
    """A page of the documentation, and what it says, where fsq does less than could be wished."""


def row(what: str, *tests: str, said: tuple[str, str] = ("", "")) -> Row:
    return Row(what, tests, said)


PLANTED = "bad_inputs/test_planted.py::test_what_is_planted_in_new_has_one_fate"
USED = "bad_inputs/test_planted.py::test_every_command_can_be_used_on_what_was_moved_aside"
FOREIGN = "engine/test_claims.py::test_a_foreign_thing_in_new_goes_to_corrupt_and_good_jobs_before_and_after_it_run"
ELSEWHERE = "bad_inputs/test_planted.py::test_what_is_planted_in_another_space_is_never_deleted"
NAMES, CONTENTS, FLIPS = "bad_inputs/test_names.py::", "bad_inputs/test_contents.py::", "bad_inputs/test_flips.py::"
TIME, DIRECTORIES = "bad_inputs/test_time.py::", "bad_inputs/test_directories.py::"
SIZES, RESOURCES = "bad_inputs/test_sizes.py::", "bad_inputs/test_resources.py::"
PROCESSES, COPIES = "bad_inputs/test_processes.py::", "bad_inputs/test_copies.py::"
QUEUES, IDS = f"{NAMES}test_what_cannot_be_a_queues_name_is_refused", f"{NAMES}test_what_cannot_be_an_id_is_refused"
KEYS = f"{NAMES}test_any_text_is_a_key_and_none_becomes_a_path"
LABELS = f"{NAMES}test_any_text_is_a_label_and_none_becomes_a_path"
PAYLOADS = f"{CONTENTS}test_a_payload_that_cannot_be_read_is_kept_as_it_is_and_told_of"
REFUSED = f"{CONTENTS}test_json_that_could_not_be_read_back_is_refused_at_submit"
CHANGED = f"{CONTENTS}test_a_value_that_json_would_change_is_refused_at_submit"
MESS = f"{PROCESSES}test_a_bad_handler_costs_its_own_job_alone"
MACHINE = f"{RESOURCES}test_what_the_machine_refuses_is_told_and_leaves_nothing"

TABLE = {
    # Names given by callers
    1: row("a path, a dot, nothing", QUEUES, IDS, KEYS, LABELS),
    2: row(
        "NUL, newline, control characters, a slash", QUEUES, IDS, KEYS, LABELS,
        "cli/test_mistakes.py::test_control_characters_in_a_message_stay_in_it",
        "run/test_events.py::test_a_line_for_people_is_one_line_of_text",
    ),
    3: row(
        "too long", QUEUES, IDS, KEYS, LABELS,
        f"{NAMES}test_a_label_is_cut_to_fit_and_options_that_are_too_long_are_refused",
    ),
    4: row(
        "no UTF-8, emoji, composed and decomposed", QUEUES, IDS, KEYS, LABELS,
        f"{NAMES}test_composed_and_decomposed_characters_are_different_files_and_both_run",
        "cli/test_mistakes.py::test_arguments_that_are_no_utf_8",
        "cli/test_look.py::test_ls_as_json_survives_odd_names",
    ),
    # Planted in new/
    5: row("a name that begins with a dot", PLANTED, "engine/test_dealer.py::test_dot_names_are_never_dealt"),
    6: row(
        "any other alien name", PLANTED,
        "bad_inputs/test_planted.py::test_a_label_that_is_no_plain_name_leads_nowhere",
        "engine/test_claims.py::test_a_file_of_any_name_that_is_moved_into_new_is_run_with_its_whole_content",
    ),
    7: row("a link", PLANTED, USED, FOREIGN, "engine/test_lookup.py::test_the_listing_of_a_link_to_a_directory_is_not_the_queues"),
    8: row("a fifo", PLANTED, USED, FOREIGN),
    9: row("a directory, a socket, a device", PLANTED, USED, FOREIGN, ELSEWHERE),
    10: row(
        "a stranger's file by a hard link", PLANTED,
        "engine/test_claims.py::test_a_file_hard_linked_from_outside_is_run_and_never_modified",
    ),
    11: row(
        "another's file, one that may not be read", PLANTED,
        "engine/test_claims.py::test_a_file_that_its_reader_may_not_open_goes_to_corrupt",
        "run/test_surroundings.py::test_what_cannot_be_claimed_stops_nobody",
    ),
    12: row("3,000 junk files", f"{SIZES}test_the_cost_of_junk_is_linear_and_the_good_jobs_run"),
    # Contents
    13: row(
        "nothing, garbage, a torn file", PAYLOADS,
        "bad_inputs/test_planted.py::test_a_dead_workers_claim_that_cannot_be_read_is_moved_aside_and_told_of",
        f"{CONTENTS}test_a_damaged_file_is_kept_as_it_is_and_told_of",
        f"{CONTENTS}test_what_was_moved_aside_is_counted",
        f"{CONTENTS}test_options_that_fsq_would_refuse_harm_their_own_job_alone",
    ),
    14: row(
        "half written in new/", f"{CONTENTS}test_a_half_written_file_is_found_out_by_its_length",
        "run/test_wakeup.py::test_what_is_moved_or_linked_into_a_space_is_seen",
        said=("format.md", "A file that is written in `new/` itself will be run half written."),
    ),
    15: row("JSON nested deeply", PAYLOADS, REFUSED, CHANGED),
    16: row(
        "JSON that could not be read back", PAYLOADS, REFUSED, CHANGED,
        f"{CONTENTS}test_of_duplicate_keys_the_last_counts_and_the_bytes_are_as_they_came",
    ),
    17: row("pickles", f"{CONTENTS}test_nothing_was_unpickled", f"{CONTENTS}test_a_pickle_given_as_bytes_is_bytes"),
    18: row(
        "a payload of any JSON type", f"{CONTENTS}test_a_payload_of_any_json_type_is_run",
        f"{CONTENTS}test_a_whole_file_of_any_content_is_run",
    ),
    19: row(
        "a payload of 64 MiB",
        f"{SIZES}test_a_large_payload_given_as_bytes_is_held_once_more_at_most",
        f"{SIZES}test_a_large_file_is_not_held_at_all",
        f"{SIZES}test_a_large_payload_is_read_with_one_copy_at_most",
        f"{SIZES}test_what_is_over_the_limit_is_refused_before_anything_is_written",
    ),
    20: row(
        "a bit that flips, a file that is cut",
        f"{FLIPS}test_a_flipped_bit_of_a_plain_job_is_found_out_or_changes_nothing",
        f"{FLIPS}test_of_a_job_with_options_the_payloads_bytes_are_covered_and_the_other_options_are_not",
        f"{FLIPS}test_a_plain_job_that_is_cut_is_found_out",
        f"{FLIPS}test_a_job_with_options_that_is_cut_is_found_out",
        f"{CONTENTS}test_a_payload_of_an_unknown_type_is_not_taken_for_another",
    ),
    # Time
    21: row(
        "files of any date, clocks that differ or are set",
        f"{TIME}test_files_of_any_date_are_run",
        f"{TIME}test_an_id_of_a_year_that_no_date_can_hold_is_shown",
        f"{TIME}test_a_handler_that_asks_when_a_job_of_any_id_was_submitted_gets_an_answer",
        f"{TIME}test_a_producer_whose_clock_is_years_off_loses_nothing",
        f"{TIME}test_a_clock_that_is_set_while_a_job_runs_ends_no_run",
        "engine/test_dealer.py::test_the_wall_clock_does_not_decide_when_the_disk_is_listed",
    ),
    22: row(
        "summer time, leap seconds",
        f"{TIME}test_a_time_of_day_is_a_moment_whatever_the_zone",
        f"{TIME}test_a_moment_that_has_passed_is_now_and_a_leap_second_is_refused",
        "engine/test_dealer.py::test_after_a_clock_jump_of_a_year_a_job_may_start_late_and_never_never",
    ),
    # Directories
    23: row(
        "a space that is missing",
        f"{DIRECTORIES}test_a_space_that_is_missing_is_made_again",
        f"{DIRECTORIES}test_a_queue_without_new_is_none_until_init_makes_it_again",
        f"{DIRECTORIES}test_a_space_that_goes_missing_under_a_worker_is_told_with_the_remedy",
    ),
    24: row(
        "no queue, a file, nothing",
        f"{DIRECTORIES}test_settings_that_are_no_file_are_told_and_nobody_waits_for_them",
        f"{DIRECTORIES}test_a_path_that_is_no_root_is_refused_and_left_alone",
        "engine/test_root.py::TestInit::test_a_directory_with_other_things_in_it_keeps_them",
    ),
    25: row(
        "a queue that is removed, or replaced, while it is worked on",
        f"{DIRECTORIES}test_a_worker_whose_root_is_removed_says_so_and_ends",
        f"{DIRECTORIES}test_a_worker_whose_root_was_replaced_by_another_says_so_and_ends",
        f"{DIRECTORIES}test_a_job_of_the_new_root_is_not_run_twice_at_a_time",
        "run/test_surroundings.py::test_the_root_is_removed_while_a_job_runs",
    ),
    26: row(
        "a queue on two file systems",
        f"{DIRECTORIES}test_a_space_that_is_a_link_is_refused",
        f"{DIRECTORIES}test_a_space_on_another_file_system_is_refused",
    ),
    27: row(
        "read-only",
        f"{DIRECTORIES}test_a_read_only_file_system_is_told_with_the_remedy",
        f"{DIRECTORIES}test_a_directory_that_may_not_be_written_is_told_with_the_remedy",
    ),
    28: row(
        "a network file system: not supported, and told where it is noticed",
        "run/test_wakeup.py::test_file_systems_that_others_change_cannot_be_watched",
        said=("guarantees.md", "The root must be on a local disk of the machine whose workers use it."),
    ),
    29: row(
        "a file system that folds case: fsq's own names differ by more; a stranger's files are what it makes of them",
        f"{DIRECTORIES}test_names_made_by_fsq_differ_by_more_than_case_and_are_ascii",
    ),
    # Resources
    30: row(
        "a full disk",
        f"{RESOURCES}test_a_full_disk_stops_submits_and_no_worker",
        f"{RESOURCES}test_a_write_that_fills_the_disk_leaves_nothing_of_itself",
        "engine/test_settle.py::test_a_full_disk_stops_neither_defer_nor_fail_nor_release",
    ),
    31: row("no inodes", f"{RESOURCES}test_a_disk_without_inodes_stops_submits_and_no_worker"),
    32: row(
        "quota, read-only, EIO, no descriptors, no locks: at every call",
        MACHINE,
        "engine/test_failing_disk.py::test_a_submit_that_the_disk_refuses_raises_and_leaves_no_job",
        "engine/test_failing_disk.py::test_a_verb_that_the_disk_refuses_leaves_its_job_whole_and_the_queue_goes_on_when_it_is_well",
    ),
    33: row(
        "an fsync that fails", MACHINE,
        "engine/test_submit.py::test_a_write_that_fails_late_is_a_failed_submit_and_is_not_tried_again",
    ),
    34: row(
        "a close that fails",
        "engine/test_submit.py::test_a_write_that_fails_late_is_a_failed_submit_and_is_not_tried_again",
        "engine/test_batches.py::test_the_first_failed_close_is_an_error_and_every_file_is_closed",
    ),
    35: row(
        "limits of descriptors and file size", MACHINE,
        f"{RESOURCES}test_too_few_descriptors_are_told",
        "run/test_surroundings.py::test_a_file_size_limit_loses_no_job",
    ),
    36: row(
        "no inotify, lost events",
        f"{RESOURCES}test_without_inotify_it_looks_for_jobs_and_says_so_once",
        "run/test_wakeup.py::test_after_lost_events_everything_is_listed_and_watched_again",
    ),
    37: row(
        "closed streams",
        f"{RESOURCES}test_closed_streams_lose_no_job",
        f"{RESOURCES}test_a_reader_that_has_gone_is_no_traceback",
        "bad_inputs/test_printing.py::test_printing_to_nobody_is_the_jobs_own_failure",
        "run/test_surroundings.py::test_nobody_reads_standard_error",
    ),
    38: row("no memory", MESS, "run/test_rude_handlers.py::test_whatever_it_raises_is_recorded_and_the_worker_lives"),
    # Processes
    39: row(
        "kill -9, SIGSTOP", MESS,
        f"{PROCESSES}test_a_worker_that_is_stopped_keeps_its_job",
        f"{PROCESSES}test_what_a_dead_run_left_running_is_dead",
        "run/test_kills.py::test_random_kills_lose_nothing_and_double_nothing",
    ),
    40: row(
        "SIGTERM, Ctrl-C, SIGHUP",
        f"{PROCESSES}test_a_worker_that_is_told_to_end_does_so_in_order",
        "run/test_signals.py::test_hangup_starts_anew_with_fresh_code",
    ),
    41: row("a job that kills its workers", MESS, "run/test_kills.py::test_a_poison_job_ends_in_failed"),
    42: row(
        "handlers that leave a mess", MESS,
        f"{PROCESSES}test_a_handlers_umask_hurts_no_later_job",
        "run/test_rude_handlers.py::test_a_daemon_does_not_hold_the_slot",
        "run/test_liveness.py::test_an_orphan_that_stays_in_the_session_is_ended_before_the_job_moves_on",
        "bad_inputs/test_printing.py::test_a_gigabyte_that_is_printed_passes_through_and_is_not_kept",
        said=("guarantees.md", "A program that called `setsid` (a daemon) has left it"),
    ),
    43: row(
        "pids that come again, containers",
        "engine/test_recovery.py::test_after_a_pid_was_used_again_nobody_is_killed_and_the_job_moves_on",
        "engine/test_sessions.py::test_a_pid_that_was_given_to_somebody_else_protects_it",
        "run/test_containers.py::test_a_living_worker_of_another_container_keeps_its_job",
        "run/test_containers.py::test_the_job_of_a_killed_container_is_recovered_by_the_other",
    ),
    44: row(
        "another version of fsq",
        f"{COPIES}test_a_root_of_a_newer_format_is_refused_by_every_verb_and_left_alone",
        f"{COPIES}test_a_job_of_a_newer_format_is_kept_for_whoever_knows_it",
        f"{COPIES}test_options_of_a_later_version_are_kept_through_the_jobs_life",
        "test_formats.py::test_every_job_of_format_1_runs",
    ),
    45: row(
        "roots in roots, one root by two paths",
        f"{COPIES}test_a_root_in_a_root_is_another_root",
        f"{COPIES}test_one_root_by_two_paths_is_one_root",
    ),
    46: row(
        "a copy that is put back", f"{COPIES}test_a_copy_of_a_root_that_is_put_back_runs_again_and_loses_nothing",
        said=("guarantees.md", "A backup that is put back is the queue as it was then"),
    ),
}  # fmt: skip


@functools.cache
def names_in(file: str) -> set[str]:
    """The tests of a file, each as TEST or CLASS::TEST."""
    found = set()
    for node in ast.parse((TESTS / file).read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return found


def test_every_row_of_the_table_is_there() -> None:
    assert list(TABLE) == list(range(1, 47))


@pytest.mark.parametrize("number", TABLE)
def test_every_row_is_held_by_tests_that_exist(number: int) -> None:
    """And what is said of it is said."""
    assert TABLE[number].tests
    for test in TABLE[number].tests:
        file, _, name = test.partition("::")
        assert name in names_in(file), test
        assert name.rpartition("::")[2].startswith("test_")
    page, sentence = TABLE[number].said
    if page:
        assert sentence in " ".join((DOCS / page).read_text().split())


def test_every_test_of_this_directory_holds_a_row() -> None:
    held = {test for each in TABLE.values() for test in each.tests}
    own = {f"bad_inputs/{file.name}" for file in Path(__file__).parent.glob("test_*.py")} - {"bad_inputs/test_table.py"}
    assert {f"{file}::{name}" for file in own for name in names_in(file) if name.startswith("test_")} <= held
