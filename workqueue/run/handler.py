"""Finding the handler that ``--handler`` names: ``mod:func``, ``pkg.mod:obj.method`` or ``./jobs.py:func``.

Nothing in a payload names code: this, on the worker's command line, decides what runs.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from workqueue.errors import HandlerNotFound
from workqueue.run.staged import Staged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

FORMS = "use module:function, package.module:object.method or ./file.py:function"


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that takes a Job, and whether it is to be awaited; or one for each of several queues."""

    call: Callable[[Any], Any]
    is_async: bool = False
    stages: Mapping[str, Handler] = field(default_factory=dict)

    @classmethod
    def of(cls, function: Callable[[Any], Any]) -> Handler:
        """Wrap a function, or what has one for each of its queues."""
        if isinstance(function, Staged):
            stages = {queue: cls.of(each) for queue, each in function.stage_handlers().items()}
            return cls(function, stages=stages)
        is_coroutine = inspect.iscoroutinefunction
        return cls(function, is_coroutine(function) or is_coroutine(type(function).__call__))


def load_handler(spec: str) -> Handler:
    """Import the handler that `spec` names; raises HandlerNotFound, which says what there is instead."""
    target = load_object(spec)
    if not callable(target):
        path = spec.rpartition(":")[2]
        raise HandlerNotFound(f"--handler {spec!r}: {path} is {type(target).__name__}, nothing that can be called")
    check_signature(spec, target)
    return Handler.of(target)


def load_object(
    spec: str, what: str = "--handler ", forms: str = FORMS, is_wanted: Callable[[Any], bool] = callable
) -> Any:
    """Import what `spec` names; raises HandlerNotFound, which says what there is instead."""
    place, colon, path = spec.rpartition(":")
    if not colon or not place or not path:
        raise HandlerNotFound(f"{what}{spec!r}: {forms}")
    target: Any = load_file(place) if place.endswith(".py") or "/" in place else load_module(place)
    for part in path.split("."):
        if not hasattr(target, part):
            raise HandlerNotFound(f"{what}{spec!r}: {missing(target, part, place, is_wanted)}")
        target = getattr(target, part)
    return target


def check_signature(spec: str, target: Callable[..., Any]) -> None:
    """Refuse a function that cannot be called with one job, before any job pays for it."""
    try:
        signature = inspect.signature(target)
    except (ValueError, TypeError):
        return  # a builtin that does not tell
    try:
        signature.bind(object())
    except TypeError as error:
        raise HandlerNotFound(f"--handler {spec!r}: must take one argument, the job: {error}") from None


def load_module(name: str) -> ModuleType:
    """Import a module by name; the working directory comes first, as with ``python -m``."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise broken(name, error) from error
        close = get_close_matches(error.name, modules_in(here), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"looked in {here} and the installed packages"
        raise HandlerNotFound(f"no module named {error.name!r}; {hint}") from None
    except (Exception, SystemExit) as error:
        raise broken(name, error) from error


def load_file(path: str) -> ModuleType:
    """Import a file; modules beside it can be imported by it."""
    path = os.path.abspath(path)
    if not os.path.isfile(path):
        raise HandlerNotFound(f"{path}: no such file")
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise HandlerNotFound(f"{path}: no Python file; {FORMS}")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(path))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise broken(path, error) from error
    return module


def broken(name: str, error: BaseException) -> HandlerNotFound:
    """Say where the handler's own module fails, in one line."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if len(frames) > 1 else ""
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}, line {error.lineno})"
    return HandlerNotFound(f"cannot import {name}: {type(error).__name__}: {error}{where}")


def modules_in(directory: str) -> list[str]:
    """The names that can be imported from a directory."""
    return [os.path.splitext(name)[0] for name in os.listdir(directory) if name.endswith(".py")]


def missing(target: object, part: str, place: str, is_wanted: Callable[[Any], bool] = callable) -> str:
    """What `target` has instead of `part`."""
    names = [name for name, value in vars(target).items() if is_wanted(value) and not name.startswith("_")]
    own = [name for name in names if getattr(getattr(target, name), "__module__", None) == vars(target).get("__name__")]
    close = get_close_matches(part, own or names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    listed = ", ".join((own or names)[:12]) or ("nothing that can be called" if is_wanted is callable else "none")
    return f"{place} has no {part!r}{hint} It has {listed}" if hint else f"{place} has no {part!r}; it has {listed}"
