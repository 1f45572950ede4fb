"""The report as an HTML page: one file that needs no network, no script and no font, on a screen or on paper."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

from workqueue.errors import BadSetting, of_path, told
from workqueue.jobs.durations import spoken
from workqueue.jobs.ids import moment
from workqueue.run.printable import encodable, visible

if TYPE_CHECKING:
    from workqueue.store.fs import Fs

TEMPLATE = "report.html.jinja"


def page_of(report: dict[str, Any]) -> str:
    """The page of a report that is given as its dict. Whatever jobs and handlers say in it is text, never markup."""
    jinja2, charts = load_libraries()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("workqueue.pipeline", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "duration": duration, "time": time, "rate": rate}
    shown = clean(report)
    return str(environment.get_template(TEMPLATE).render(report=shown, charts=charts, period=period(report)))


def check_page(path: str) -> None:
    """Raise BadSetting where a page could not be made or written: before a run, not after it."""
    load_libraries()
    if path != "-":
        check_place(os.path.realpath(path))


def check_place(target: str) -> None:
    """Refuse a page in a directory that is not there."""
    if not os.path.isdir(os.path.dirname(target)):
        raise BadSetting(f"cannot write the report: there is no directory {os.path.dirname(target)}; make it first")


def load_libraries() -> tuple[Any, Any]:
    """Jinja, and our charts, which need pygal."""
    try:
        import jinja2

        from workqueue.pipeline import charts
    except ModuleNotFoundError as error:
        raise BadSetting(
            f"--html needs the package {error.name!r}: pip install 'fsq-workqueue[report]'; --json works without it"
        ) from None
    return jinja2, charts


def clean(value: Any) -> Any:
    """The value with every text on one line, and of characters that a page may hold: some come from anywhere."""
    match value:
        case str():
            return encodable(visible(value))
        case dict():
            return {clean(key): clean(item) for key, item in value.items()}
        case list():
            return [clean(item) for item in value]
        case _:
            return value


def period(report: dict[str, Any]) -> str:
    """The time that is reported, in words."""
    since, until = report["since"], report["until"]
    times = [queue["first"] for queue in report["queues"] if queue["first"] is not None]
    start = min(times, default=None) if since is None else since
    first = "the beginning" if start is None else time(start)
    return f"From {first} to {time(report['made'] if until is None else until)}"


def number(value: float) -> str:
    """A number with thousands set apart."""
    return f"{value:,.15g}"


def duration(value: float | None) -> str:
    """A duration for people; a dash for none."""
    return "–" if value is None else spoken(value) if value >= 0.001 or not value else f"{value * 1e6:.0f} µs"  # noqa: PLR2004


def rate(value: float) -> str:
    """So many a second."""
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"  # noqa: PLR2004


def time(ms: int) -> str:
    """A time on this machine's clock."""
    return moment(max(0, ms)).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def write_page(fs: Fs, path: str, page: str) -> None:
    """Write the page; whoever looks meanwhile sees the old file or the new one, whole."""
    target = os.path.realpath(path)  # of a link what it leads to is replaced, and not the link
    temporary = f"{os.path.dirname(target)}/.{os.path.basename(target)[:200]}.{os.getpid()}.tmp"
    check_place(target)
    with told("write the report", path):
        if os.path.isdir(target):
            raise of_path(errno.EISDIR, path)
        if os.path.exists(target) and not stat.S_ISREG(os.stat(target).st_mode):
            raise OSError(errno.EINVAL, "not a regular file; --html - writes to standard output", path)
        fs.discard(temporary)
        with fs.creating(temporary, 0o666) as fd:
            fs.write(fd, page.encode(errors="backslashreplace"))
            fs.sync(fd)
        try:
            fs.rename(temporary, target)
        except OSError:
            fs.discard(temporary)
            raise
