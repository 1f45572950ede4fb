"""The graph of a pipeline's stages: whether each is reached, and each leads to an end; and the order of the flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workqueue.engine.settings import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from workqueue.pipeline.stages import Stage


def problems(stages: Mapping[str, Stage]) -> list[str]:
    """What is wrong with it, a line each."""
    found = list(unknown(stages))
    return found or [*unreached(stages), *endless(stages)]


def unknown(stages: Mapping[str, Stage]) -> Iterator[str]:
    """Stages that are named and not there."""
    for stage in stages.values():
        for name in stage.to:
            if name not in stages:
                hint = suggestion(name, sorted(stages))
                yield f"stage {stage.name!r}: to={name!r} is no stage of this pipeline{hint}{stage.where}"


def unreached(stages: Mapping[str, Stage]) -> Iterator[str]:
    """Stages to which no job can come."""
    reached = reach(sources(stages), edges(stages))
    for stage in stages.values():
        if stage.name not in reached:
            yield (
                f"stage {stage.name!r} is never reached: name it in another stage's to=, or say source=True if jobs are"
                f" submitted to it{stage.where}"
            )


def endless(stages: Mapping[str, Stage]) -> Iterator[str]:
    """Stages that lead into each other, and nowhere else."""
    ends = [stage.name for stage in stages.values() if not stage.to]
    leads_on = edges(stages)
    backwards: dict[str, list[str]] = {name: [] for name in stages}
    for name, following in leads_on.items():
        for each in following:
            backwards[each].append(name)
    caught = [name for name in stages if name not in reach(ends, backwards)]
    told: set[str] = set()
    for name in caught:
        if name not in told and name in reach(leads_on[name], leads_on):
            told |= reach([name], leads_on)
            path = " → ".join(cycle(name, leads_on))
            where = stages[name].where
            yield f"a cycle without an end: {path}; let one of these stages lead to one outside of it{where}"


def cycle(start: str, leads_on: Mapping[str, Iterable[str]]) -> list[str]:
    """A shortest way from a stage back to itself."""
    ways = [[start]]
    for way in ways:
        for name in leads_on[way[-1]]:
            if name == start:
                return [*way, start]
            if name not in way:
                ways.append([*way, name])
    raise AssertionError(start)


def sources(stages: Mapping[str, Stage]) -> list[str]:
    """The stages that get their jobs from outside: the first, and those that say so."""
    return [stage.name for place, stage in enumerate(stages.values()) if not place or stage.is_source]


def edges(stages: Mapping[str, Stage]) -> dict[str, tuple[str, ...]]:
    """Where each stage leads."""
    return {stage.name: tuple(name for name in stage.to if name in stages) for stage in stages.values()}


def reach(starts: Iterable[str], leads_on: Mapping[str, Iterable[str]]) -> set[str]:
    """The starts, and all that can be reached from them."""
    found = set(starts)
    waiting = list(found)
    while waiting:
        for name in leads_on[waiting.pop()]:
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found


def in_order(stages: Mapping[str, Stage]) -> list[str]:
    """The stages that are reached, in the order in which work flows: each after those that lead to it, cycles aside."""
    order: list[str] = []
    seen: set[str] = set()
    leads_on = edges(stages)

    def visit(name: str) -> None:
        if name not in seen:
            seen.add(name)
            for following in reversed(leads_on[name]):
                visit(following)
            order.append(name)

    for name in reversed(sources(stages)):
        visit(name)
    return order[::-1]
