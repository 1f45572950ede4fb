"""Settings: option > environment (``FSQ_…``) > ``ROOT/fsq.toml`` > default; validated once, then frozen.

What a pipeline says of a stage stands between what the file says of that queue and what it says of all.

max_attempts = 5            # for every queue of the root

[queues.load]               # for one queue
timeout = "2m"
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from workqueue.engine.remembered import Remembered
from workqueue.errors import BadSetting, StoreError
from workqueue.jobs.durations import seconds, size
from workqueue.jobs.rejects import RejectLimit, reject_limit
from workqueue.jobs.retry import Backoff, backoff
from workqueue.store.fs import FS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FILE = "fsq.toml"
MOST = 99_999_999


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for the jobs of one queue. Durations are seconds, sizes bytes; None is "no limit"."""

    max_attempts: int = 5
    backoff: Backoff = Backoff()
    timeout: float | None = None
    keep_done: float = 0.0
    max_jobs: int | None = None
    max_bytes: int | None = None
    min_free: int | None = None
    max_payload: int = 64 << 20
    tmp_age: float = 36 * 3600.0
    reject_limit: RejectLimit | None = None
    journal: float = 30 * 86400.0
    keep_batches: float = 7 * 86400.0


def whole(value: object, what: str) -> int:
    """A whole number from 1 on."""
    text = str(value).strip()
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or not 1 <= int(text[:20]) <= MOST:
        raise BadSetting(f"{what} {value!r}: a whole number from 1 to {MOST}")
    return int(text)


READERS: dict[str, Callable[[Any, str], Any]] = {
    "max_attempts": whole,
    "backoff": backoff,
    "timeout": seconds,
    "keep_done": seconds,
    "max_jobs": whole,
    "max_bytes": size,
    "min_free": size,
    "max_payload": size,
    "tmp_age": seconds,
    "reject_limit": reject_limit,
    "journal": seconds,
    "keep_batches": seconds,
}
NAMES = [field.name for field in fields(Settings)]


def read(values: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Validate settings that came from `origin`; None means "not given"."""
    result = {}
    for name, value in values.items():
        if name not in READERS:
            raise BadSetting(f"{origin}: no setting is called {name!r}{suggestion(name, NAMES)}")
        if value is not None:
            result[name] = READERS[name](value, f"{origin}: {name}")
    return result


def suggestion(name: str, known: list[str]) -> str:
    """A hint for whoever mistyped one of `known`."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(known)}" if known else ""


class SettingsFile:
    """The settings of a root, for each of its queues."""

    def __init__(
        self,
        root: str,
        overrides: Mapping[str, Any],
        environ: Mapping[str, str] = os.environ,
        stages: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._stages = stages or {}
        common, self._queues = self._load(os.path.join(root, FILE))
        env = {name: environ.get(f"FSQ_{name.upper()}") or None for name in NAMES}
        self._common = read(common, FILE)
        self._above = read(env, "environment") | read(overrides, "option")
        self.of: Callable[[str], Settings] = Remembered(self._of).__getitem__
        """The settings of one queue."""
        for queue in self._queues:
            self.of(queue)

    def _of(self, queue: str) -> Settings:
        own = read(self._queues.get(queue, {}), f"{FILE}: queues.{queue}")
        stage = read(self._stages.get(queue, {}), f"stage {queue}")
        return replace(Settings(), **{**self._common, **stage, **own, **self._above})

    @staticmethod
    def _load(path: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        try:
            # It may be a link, as tools that manage settings make them; a fifo must not hang us.
            text = FS.read(os.path.realpath(path)).decode()
            import tomllib  # here: most roots have no such file, and a submit starts often

            table = tomllib.loads(text)
        except FileNotFoundError:
            return {}, {}
        except OSError as error:
            raise StoreError("read the settings", error, path) from error
        except ValueError as error:
            raise BadSetting(f"{path}: no TOML: {error}") from None
        queues = table.pop("queues", {})
        if not isinstance(queues, dict) or not all(isinstance(own, dict) for own in queues.values()):
            raise BadSetting(f"{path}: queues must be tables, such as [queues.load]")
        return table, queues
