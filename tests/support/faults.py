"""A disk that counts what is done to it, and fails, or calls back, where a test says so.

    fs = FaultyFs()
    fs.fail_at(3, errno.ENOSPC)                # the third operation fails, the others succeed
    fs.fail_at(3, errno.EIO, once=False)       # it and all after it fail
    fs.fail_at(1, errno.EIO, verb="sync")      # the first sync fails
    fs.fail_at(3, errno.EIO, happens=True)     # it happens, and reports failure nevertheless
    fs.fail_at(3, Crash())                     # any exception
    fs.before(3, hook)                         # hook() is called just before it
    fs.calls, fs.verbs                         # what was asked for so far

Operations are counted from 1; `restart` counts anew and forgets faults, hooks and calls. Only the disk's basic methods
count: those made of them (publish, copy, remove_tree, …) are counted by their parts.
"""

from __future__ import annotations

import functools
import os
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from workqueue.store.fs import Fs

if TYPE_CHECKING:
    from collections.abc import Callable

CHANGES = (
    "create",
    "write",
    "chmod",
    "set_owner",
    "start_write_out",
    "sync",
    "close",
    "rename",
    "rename_new",
    "link",
    "unlink",
    "mkdir",
    "rmdir",
    "sync_dir",
    "append",
    "open_append",
    "overwrite",
    "set_mtime",
    "lock",
)
LOOKS = ("open", "open_dir", "open_slot", "stat", "list", "each")
COUNTED = (*CHANGES, *LOOKS)
MADE_OF_THEM = (
    "read",
    "chunks",
    "exists",
    "creating",
    "drop",
    "ensure_dir",
    "ensure_dirs",
    "publish",
    "sync_moves",
    "copy",
    "discard",
    "remove_tree",
)
OF_BTRFS = ("commit",)
"""No more than a question where the tests lie: the syncs that follow it there are counted."""
OPENERS = {"create", "open", "open_append", "open_dir", "open_slot"}
"""Methods whose result is a descriptor."""


class Call(NamedTuple):
    """One operation: the method's name and its arguments; a descriptor is told as the path it was opened by."""

    verb: str
    args: tuple[Any, ...]

    @property
    def brief(self) -> str:
        """The verb and the last components of its paths."""
        return " ".join((self.verb, *(os.path.basename(arg) for arg in self.args if isinstance(arg, str))))


class _Fault(NamedTuple):
    n: int
    error: int | BaseException
    verb: str | None
    once: bool
    happens: bool

    def hits(self, verb: str, count: int, count_of_verb: int) -> bool:
        if self.verb is not None and self.verb != verb:
            return False
        at = count if self.verb is None else count_of_verb
        return at == self.n or (at > self.n and not self.once)


class FaultyFs(Fs):
    """The real disk, counted, with faults at will; any number of threads may use it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._paths: dict[int, str] = {}
        self.restart()

    def restart(self) -> None:
        """Count from 1 again; no faults, no hooks, no calls."""
        self.calls: list[Call] = []
        self._counts: Counter[str] = Counter()
        self._faults: list[_Fault] = []
        self._hooks: list[tuple[int, Callable[[], None], str | None]] = []

    @property
    def verbs(self) -> list[str]:
        """The names of the methods called so far."""
        return [call.verb for call in self.calls]

    @property
    def brief(self) -> list[str]:
        """The calls so far, each as its verb and the names that it got."""
        return [call.brief for call in self.calls]

    def fail_at(
        self, n: int, error: int | BaseException, *, verb: str | None = None, once: bool = True, happens: bool = False
    ) -> None:
        """Fail at the n-th operation (of `verb`, where given) with an errno or exception; from it on, if not `once`."""
        assert verb is None or verb in COUNTED, verb
        self._faults.append(_Fault(n, error, verb, once, happens))

    def before(self, n: int, hook: Callable[[], None], *, verb: str | None = None) -> None:
        """Call `hook` just before the n-th operation (of `verb`, where given)."""
        assert verb is None or verb in COUNTED, verb
        self._hooks.append((n, hook, verb))

    def _do(self, verb: str, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self._guard:
            told = tuple(
                self._paths.get(arg, arg) if type(arg) is int and i == 0 else arg for i, arg in enumerate(args)
            )
            self.calls.append(Call(verb, told))
            self._counts[verb] += 1
            count, count_of_verb = len(self.calls), self._counts[verb]
        for n, hook, of in self._hooks:
            if n == (count if of is None else count_of_verb) and of in {None, verb}:
                hook()
        fault = next((fault for fault in self._faults if fault.hits(verb, count, count_of_verb)), None)
        if fault is None:
            return self._did(verb, args, method(self, *args, **kwargs))
        if verb == "close":
            # The kernel closes the descriptor also when it reports that a write failed.
            method(self, *args, **kwargs)
        elif fault.happens:
            result = self._did(verb, args, method(self, *args, **kwargs))
            if verb in OPENERS:
                os.close(result)
        if isinstance(fault.error, int):
            raise OSError(fault.error, os.strerror(fault.error), told[0] if told and isinstance(told[0], str) else None)
        raise fault.error

    def _did(self, verb: str, args: tuple[Any, ...], result: Any) -> Any:
        if verb in OPENERS:
            with self._guard:
                self._paths[result] = args[0]
        return result


def _counted(verb: str) -> Callable[..., Any]:
    original = getattr(Fs, verb)

    @functools.wraps(original)
    def method(self: FaultyFs, *args: Any, **kwargs: Any) -> Any:
        return self._do(verb, original, args, kwargs)

    return method


for _verb in COUNTED:
    setattr(FaultyFs, _verb, _counted(_verb))


def paths_below(directory: str) -> list[str]:
    """Everything in a directory, as paths relative to it, sorted."""
    found = []
    for parent, directories, files in os.walk(directory):
        found += [os.path.relpath(os.path.join(parent, name), directory) for name in (*directories, *files)]
    return sorted(found)
