"""The documentation is true: its programs run, its tables are those of the code, its links lead somewhere.

Conventions of the pages (README.md and docs/): the blocks of a page run in order, in one empty directory.

    ```python             run; the blocks of a page are one program
    ```python             whose first line is `# name.py`: written to that file, for what comes later
    ```sh                 run by `sh -e`, each block by itself; fsq is on PATH, $HOME is the directory
    ```python no-run      only compiled
    ```sh no-run          left alone, as are all other languages

In README.md sh blocks that need a checkout or a network (scripts/, git clone, pip install) are left alone, too.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import fields
from functools import cache
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import pytest

from workqueue import Job, Producer, State, errors
from workqueue.cli import INTERRUPTED, TIMED_OUT
from workqueue.cli.worker import NOT_DRAINED, SOME_FAILED
from workqueue.engine import batches
from workqueue.engine.root import DOT, PARTS
from workqueue.engine.settings import READERS, Settings, SettingsFile
from workqueue.jobs import content, names
from workqueue.jobs.states import SPACES
from workqueue.run import program
from workqueue.run.events import EVENTS
from workqueue.run.job import Job as RunningJob
from workqueue.run.options import GRACE
from workqueue.testing import drain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

TOP = Path(__file__).parent.parent
DOCS = TOP / "docs"
PAGES = [TOP / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"(?ms)^```([^\n]*)\n(.*?)^```$")
NEEDS_A_CHECKOUT = ("scripts/", "git clone", "pip install")
PATIENCE = 20.0


def page_id(page: Path) -> str:
    return str(page.relative_to(TOP))


pages = pytest.mark.parametrize("page", PAGES, ids=page_id)


class Block(NamedTuple):
    """A fenced block: its info string, its text, the line of the page on which the text begins."""

    info: str
    text: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that it is, where its first line says so."""
        match = re.match(r"# (\w+\.py)\n", self.text)
        return match[1] if match else None


@cache
def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [Block(m[1].strip(), m[2], text.count("\n", 0, m.start(2))) for m in FENCE.finditer(text)]


@cache
def prose(page: Path) -> str:
    """The page without its blocks."""
    return FENCE.sub("", page.read_text())


def the_block(page: Path, info: str) -> str:
    [text] = [block.text for block in blocks(page) if block.info == info]
    return text


def rows(page: Path, heading: str) -> list[list[str]]:
    """The cells of the table whose first heading this is."""
    lines = iter(page.read_text().splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            next(lines)
            table = takewhile(lambda text: text.startswith("|"), lines)
            return [[c.strip() for c in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table]
    raise AssertionError(f"{page}: no table {heading!r}")


def code(text: str) -> list[str]:
    """What stands in `code` in a text."""
    return re.findall(r"`([^`]+)`", text)


# -- programs ------------------------------------------------------------------------------------------------------


def program_of(page: Path) -> str:
    """The page as one Python program, each block on the lines that it has in the page."""
    lines: list[str] = []
    for block in blocks(page):
        step = step_of(block, is_readme=page.name == "README.md" and page.parent == TOP)
        if step:
            lines += [""] * (block.line - len(lines)) + step.splitlines()
    return "\n".join(lines)


def step_of(block: Block, *, is_readme: bool) -> str:
    match block.info:
        case "python" if block.file:
            return f"with open({block.file!r}, 'w') as file: file.write({block.text!r})"
        case "python":
            return block.text
        case "sh" if not (is_readme and any(word in block.text for word in NEEDS_A_CHECKOUT)):
            return f"import subprocess; subprocess.run(['sh', '-ec', {block.text!r}], check=True)"
        case _:
            return ""


def directory() -> TemporaryDirectory[str]:
    """An empty directory; in memory where that is to be had: some pages submit thousands of jobs."""
    memory = "/dev/shm"
    return TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None, prefix="fsq-docs-")


@pytest.fixture
def home() -> Iterator[Path]:
    """The directory in which a program runs."""
    with directory() as path:
        yield Path(path)


@cache
def outcomes() -> dict[Path, tuple[str, int]]:
    """What the programs of each page wrote, and their exit status. All pages run at the same time, for speed."""
    with ExitStack() as stack:
        running = {}
        for page in PAGES:
            if program_of(page):
                script, home = (Path(stack.enter_context(directory())) for _ in range(2))
                (script / f"{page.stem}.md").write_text(program_of(page))
                running[page] = start([sys.executable, str(script / f"{page.stem}.md")], home)
        return {page: end(process) for page, process in running.items()}


@pytest.mark.exhaustive
@pages
def test_the_programs_of_a_page_run(page: Path) -> None:
    output, status = outcomes().get(page, ("a page without programs", 0))
    assert status == 0, output


def start(command: list[str], home: Path) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FSQ_", "XDG_"))}
    path = os.pathsep.join((os.path.dirname(sys.executable), clean["PATH"]))
    own = {"PATH": path, "HOME": str(home), "PYTHONPATH": str(home), "PRODUCERS": str(DOCS / "producers")}
    return subprocess.Popen(
        command,
        cwd=home,
        env={**clean, **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> tuple[str, int]:
    """Wait for its end; returns its output and exit status. One that takes too long is killed, and that is shown."""
    with process:
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
    return output.decode(errors="replace"), process.returncode


def run_alone(command: list[str], home: Path) -> tuple[str, int]:
    """Run a command to its end."""
    return end(start(command, home))


@pages
def test_python_that_is_not_run_compiles(page: Path) -> None:
    for block in blocks(page):
        if block.info == "python no-run":
            compile("\n" * block.line + block.text, page, "exec")


@pages
def test_blocks_are_of_a_known_kind(page: Path) -> None:
    """A misspelt info string would be a program that nobody runs."""
    known = {"", "python", "python no-run", "sh", "sh no-run", "toml", "text", "json", "console", "names", "pattern"}
    assert {block.info for block in blocks(page)} - known == set()
    assert page.read_text().count("\n```") + page.read_text().startswith("```") == 2 * len(blocks(page))


def test_the_blocks_of_a_page_are_one_program_in_its_order(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# T\n\n```python\n# mine.py\nX = 1\n```\n\n```sh\necho $HOME >home\n```\n\n```python no-run\n1 / 0\n```\n"
        "\n```python\nfrom mine import X\nassert open('home').read().strip() == __import__('os').getcwd()\n1 / (X - 1)\n```\n"
    )
    (tmp_path / "home").mkdir()
    (tmp_path / "page.py").write_text(program_of(page))
    output, status = run_alone([sys.executable, str(tmp_path / "page.py")], tmp_path / "home")
    assert status == 1
    assert "line 19" in output, "as in the page"
    assert "ZeroDivisionError" in output


def test_a_block_that_fails_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\nfalse\ntrue\n```\n")
    (tmp_path / "page.py").write_text(program_of(page))
    output, status = run_alone([sys.executable, str(tmp_path / "page.py")], tmp_path)
    assert status == 1
    assert "CalledProcessError" in output


def test_the_readme_leaves_out_what_needs_a_checkout() -> None:
    for text in ("scripts/demo\n", "git clone x\n", "pip install fsq-workqueue\n"):
        assert step_of(Block("sh", text, 1), is_readme=True) == ""
        assert step_of(Block("sh", text, 1), is_readme=False) != ""


# -- links ---------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """What `#…` can lead to: the headings as they are seen in a link."""
    headings = re.findall(r"(?m)^#+ (.+)$", prose(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pages
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target


@pytest.mark.parametrize("page", [p for p in PAGES if p.parent != TOP], ids=page_id)
def test_every_page_is_found_from_another(page: Path) -> None:
    assert any(page.name in prose(other) for other in PAGES if other != page)


# -- commands ------------------------------------------------------------------------------------------------------


@cache
def commands_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_commands", DOCS / "commands.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def verbs() -> set[str]:
    return {verb for verb in commands_script().commands() if verb}


def test_the_commands_page_is_up_to_date() -> None:
    before = (DOCS / "commands.md").read_text()
    assert commands_script().page(before) == before, "run scripts/commands"


def test_the_commands_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = (DOCS / "commands.md").read_text()
    for columns in ("20", "400"):
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert commands_script().page(before) == before


def test_each_command_is_documented_with_its_options() -> None:
    headings = set(re.findall(r"(?m)^### fsq (\w+)$", prose(DOCS / "commands.md")))
    assert headings == verbs()
    for verb, command in commands_script().commands().items():
        section = commands_script().section(verb, command)
        for param in command.params:
            if param.name != "root" or not verb:
                assert all(f"`{name}`" in section for name in param.opts if name.startswith("-")), (verb, param.name)


@pages
def test_each_command_that_is_mentioned_exists(page: Path) -> None:
    texts = [*code(prose(page)), *(block.text for block in blocks(page) if block.info.startswith("sh"))]
    for text in texts:
        for verb in re.findall(r"(?m)(?:^|[|;&(] ?)fsq (?:-r \S+ )?([a-z]+)", text):
            assert verb in verbs(), text


def test_options_in_the_environment_are_called_as_documented(home: Path) -> None:
    text = (DOCS / "commands.md").read_text()
    given = {
        "FSQ_SUBMIT_QUEUE": "load",
        "FSQ_SUBMIT_JSON": "1",
        "FSQ_INIT_QUEUE": "load publish",
        "FSQ_INIT_SLOTS": "1",
    }
    for name in given:
        assert f"`{name}`" in text
    exported = "".join(f"export {name}='{value}'\n" for name, value in given.items())
    output, status = run_alone(["sh", "-ec", f"{exported}fsq init . 2>&1; fsq submit 1; echo load/new/*"], home)
    assert status == 0, output
    assert "with load, publish" in output
    assert '"queue":"load"' in output
    assert re.search(r"load/new/5-\w{26}-0", output)


def test_the_exit_statuses_are_those_of_the_code() -> None:
    def below(error: type[errors.FsqError]) -> set[int]:
        return {error.exit_status}.union(*map(below, error.__subclasses__()))

    documented = {int(row[0]) for row in rows(DOCS / "commands.md", "status")}
    assert documented == {0, SOME_FAILED, NOT_DRAINED, TIMED_OUT, INTERRUPTED} | below(errors.FsqError)


def test_the_verdicts_on_programs_are_those_of_the_code() -> None:
    verdicts = {row[0]: row[1] for row in rows(DOCS / "commands.md", "exit status")}
    assert {int(n) for text in verdicts for n in re.findall(r"\d+", text)} == {0} | program.NEVER | program.AGAIN
    assert [text for text, verdict in verdicts.items() if "failed" in verdict] == [
        ", ".join(map(str, sorted(program.NEVER)))
    ]


def test_what_a_program_is_told_is_what_the_code_tells(tmp_path: Path) -> None:
    section = prose(DOCS / "commands.md").partition("## Programs as handlers")[2]
    told = {word for word in code(section) if word.startswith("FSQ_")}
    fields_told = {word.strip("{}") for word in code(section) if word.startswith("{")}
    assert fields_told == set(program.FIELDS)
    source = Path(program.__file__).read_text()
    assert told == set(re.findall(r'"(FSQ_\w+)":', source))


# -- settings ------------------------------------------------------------------------------------------------------


def test_every_setting_is_documented_with_its_default() -> None:
    table = {code(row[0])[0]: row for row in rows(DOCS / "settings.md", "setting")}
    assert list(table) == [field.name for field in fields(Settings)]
    for name, (_, _, shown, meaning) in table.items():
        value = getattr(Settings(), name)
        if value is None:
            assert shown == "none", name
        else:
            assert READERS[name](code(shown)[0], name) == value, name
        assert meaning.endswith("."), name


def test_the_defaults_in_the_readme_are_those_of_the_code() -> None:
    for line in re.findall(r"(?m)^\| (`\w+`.*) \|$", (TOP / "README.md").read_text()):
        known = [name for name in code(line.split(" | ")[0]) if name in READERS]
        for name in known:
            shown, value = line.split(" | ")[1], getattr(Settings(), name)
            assert (None if shown == "none" else READERS[name](shown, name)) == value, name


def test_the_types_of_the_settings_are_those_of_their_readers() -> None:
    words = {"count": "whole", "duration": "seconds", "size": "size", "range": "backoff", "limit": "reject_limit"}
    for name, kind, _, _ in rows(DOCS / "settings.md", "setting"):
        assert READERS[code(name)[0]].__name__ == words[kind], name


@pages
def test_examples_of_settings_are_read(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.info == "toml":
            (tmp_path / "fsq.toml").write_text(block.text)
            SettingsFile(str(tmp_path), {}, {})


def test_the_grace_is_the_real_one() -> None:
    for page in ("commands.md", "handlers.md"):
        assert f"`--grace` ({GRACE:.0f} s)" in prose(DOCS / page)


# -- the format ----------------------------------------------------------------------------------------------------

FORMAT = DOCS / "format.md"


def test_the_example_names_are_names() -> None:
    examples = the_block(FORMAT, "names").split()
    assert len(examples) >= 5
    for text in examples:
        name = names.parse(text)
        assert name is not None, text
        assert text in {name.ready(), name.delayed(), name.owner and name.claimed()}, "as fsq would write it"


@pytest.mark.parametrize(
    "text",
    [
        *the_block(FORMAT, "names").split(),
        "report.csv",
        "5-01JD8Z7Q4M9X3V2T6B1C0N5KEY",
        "5-01jd8z7q4m9x3v2t6b1c0n5key-0",
        "5-81JD8Z7Q4M9X3V2T6B1C0N5KEY-0",
        "5-01JD8Z7Q4M9X3V2T6B1C0N5KEU-0",
        "55-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0",
        "5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0.csv",
        "5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-b",
        "5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0=",
        "5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0@3.k2x",
        "176400000000-5-01JD8Z7Q4M9X3V2T6B1C0N5KEY-0",
        "1795467354.M494659P11923Q1.host",
    ],
)
def test_the_documented_pattern_is_that_of_the_code(text: str) -> None:
    documented = re.compile(the_block(FORMAT, "pattern").strip(), re.ASCII | re.DOTALL)
    assert bool(documented.fullmatch(text)) == (names.parse(text) is not None)


def test_the_batch_names_are_those_of_the_code() -> None:
    assert "`PRIORITY-ULID-b`" in prose(FORMAT)
    assert names.batch(5, "ULID") == "5-ULID-b"
    assert f"{batches.BATCH:,}" == "1,000"
    assert "batches of a thousand" in prose(DOCS / "guarantees.md")


def test_the_limits_of_the_format_are_those_of_the_code() -> None:
    assert f"at most {names.LONGEST_LABEL} bytes" in prose(FORMAT)
    assert f"{content.LONGEST_LINE:,} bytes" in prose(FORMAT)


def test_the_states_are_those_of_the_code() -> None:
    assert [code(row[0])[0] for row in rows(FORMAT, "directory")] == [state.value for state in State]


def test_the_directories_are_those_of_the_code() -> None:
    tree = next(block.text for block in blocks(FORMAT) if block.text.startswith("ROOT/"))
    for part in PARTS:
        assert f"{DOT}/{part}/" in tree
    for space in SPACES:
        assert f"{space}/" in tree


def test_the_members_of_line_1_are_those_of_the_code() -> None:
    documented = {word for row in rows(FORMAT, "member") for word in code(row[0])}
    assert documented == set(content.Options.__struct_encode_fields__) - {"fsq"}


def test_the_example_of_a_content_is_read() -> None:
    text = next(block.text for block in blocks(FORMAT) if block.text.startswith('{"fsq"'))
    line, _, payload = text.rstrip("\n").encode().partition(b"\n")
    assert content.decode_options(line) == content.PLAIN
    assert content.decode_payload(payload, content.PLAIN.type) == {"n": 1}


def moved(root: str, source: str, target: str) -> str:
    """What an operator's mv does: the only file of one directory, into another under the same name."""
    [name] = os.listdir(f"{root}/{source}")
    os.rename(f"{root}/{source}/{name}", f"{root}/{target}/{name}")
    return name


def fails(job: Job) -> None:
    raise RuntimeError(job.id)


def test_a_job_can_be_held_and_let_go_by_mv(root: str) -> None:
    ref = Producer(root).submit(1)
    moved(root, "default/new", "default/held")
    assert drain(root, str)["done"] == 0
    assert ref.state() is State.HELD
    moved(root, "default/held", "default/new")
    assert drain(root, str)["done"] == 1


def test_a_delayed_job_can_be_run_now_by_mv(root: str) -> None:
    Producer(root).submit(1, delay="1d")
    assert drain(root, str)["done"] == 0
    moved(root, "default/later", "default/new")
    assert drain(root, str)["done"] == 1


def test_a_failed_job_has_one_more_attempt_by_mv(root: str) -> None:
    ref = Producer(root).submit(1)
    assert drain(root, fails, max_attempts=3)["attempts"] == 3
    moved(root, "default/failed", "default/new")
    assert drain(root, fails, max_attempts=3)["attempts"] == 1
    assert ref.state() is State.FAILED


def test_a_job_can_go_to_another_queue_by_mv(root: str) -> None:
    Producer(root, create=True).submit(1, queue="other")
    moved(root, "other/new", "default/new")
    assert drain(root, str, queues=["default"])["done"] == 1


def test_a_job_can_be_removed_by_rm(root: str) -> None:
    ref = Producer(root).submit(1, key="once")
    [name] = os.listdir(f"{root}/default/new")
    os.unlink(f"{root}/default/new/{name}")
    assert ref.state() is None
    assert Producer(root).submit(2, key="once").created, "its key is free"


def test_a_file_of_any_name_is_a_job_but_a_dot_file_is_none(root: str) -> None:
    for name in ("a b;c.csv", ".hidden"):
        Path(f"{root}/default/tmp/x").write_bytes(b"1,2")
        os.rename(f"{root}/default/tmp/x", f"{root}/default/new/{name}")
    seen: list[tuple[bytes, str, int]] = []
    assert drain(root, lambda job: seen.append((job.body, job.label, job.priority)))["done"] == 1
    assert seen == [(b"1,2", "a_b_c.csv", 5)]
    assert os.listdir(f"{root}/default/new") == [".hidden"]


def test_a_copy_of_a_root_at_rest_is_as_good_as_the_root(root: str, tmp_path: Path) -> None:
    Producer(root).submit({"n": 1}, key="once")
    Producer(root).submit({"n": 2}, delay="1d")
    subprocess.run(["sh", "-c", f"mkdir {tmp_path}/copy; tar -C {root} -c . | tar -C {tmp_path}/copy -x"], check=True)
    copy = Producer(tmp_path / "copy")
    assert not copy.submit({"n": 1}, key="once").created
    assert drain(copy.root, str)["done"] == 1
    assert copy.submit({"n": 1}, key="once").created


# -- handlers ------------------------------------------------------------------------------------------------------


def test_the_members_of_a_job_are_documented() -> None:
    documented = {word.removesuffix("()") for row in rows(DOCS / "handlers.md", "member") for word in code(row[0])}
    assert documented == {name for name in dir(Job) if not name.startswith("_")}
    assert Job is RunningJob


def test_the_events_are_documented_with_their_levels() -> None:
    documented = {event: row[1] for row in rows(DOCS / "handlers.md", "event") for event in code(row[0])}
    assert documented == {event: logging.getLevelName(level).lower() for event, (level, _) in EVENTS.items()}
