"""Finding the pipeline that ``fsq run module:pipeline`` names."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import msgspec

from workqueue.errors import HandlerNotFound
from workqueue.pipeline.pipelines import Pipeline
from workqueue.pipeline.plans import Plan
from workqueue.run.elsewhere import asked
from workqueue.run.handler import load_object

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMS = "use module:pipeline or ./file.py:pipeline"


def load_pipeline(spec: str) -> Pipeline:
    """Import the pipeline that `spec` names; raises HandlerNotFound, which says what there is instead."""
    found = load_object(spec, "", FORMS, is_pipeline)
    if is_pipeline(found):
        pipeline: Pipeline = found
        return pipeline
    path = spec.rpartition(":")[2]
    raise HandlerNotFound(f"{spec!r}: {path} is no Pipeline but {a(found)}{others(found, path)}")


def is_pipeline(found: object) -> bool:
    """Whether it is one."""
    return isinstance(found, Pipeline)


def a(found: object) -> str:
    """What something is, in words."""
    kind = type(found).__name__
    return f"an {kind}" if kind[0] in "aeiouAEIOU" else f"a {kind}"


def others(found: object, path: str) -> str:
    """The pipelines beside something that is none."""
    beside: Mapping[str, Any] = getattr(found, "__globals__", None) or getattr(found, "__dict__", {})
    names = [name for name, value in beside.items() if is_pipeline(value)]
    close = get_close_matches(path, names, n=1, cutoff=0.0)
    return f"; did you mean {close[0]!r}?" if close else f"; {FORMS}"


def planned_elsewhere(spec: str) -> Plan:
    """The plan of a pipeline whose module this process must not import."""
    return msgspec.json.decode(asked(lambda: msgspec.json.encode(load_pipeline(spec).plan())), type=Plan)
