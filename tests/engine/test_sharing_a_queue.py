"""Two dealers of one queue: who has lost claims to the other looks first, and keeps apart; nothing is left out."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

import pytest

from engine.worlds import Q, plain_name
from workqueue.engine.dealer import Dealer
from workqueue.engine.protocol import Claim
from workqueue.engine.queue_dealer import FAR, MANY, SOON

if TYPE_CHECKING:
    from engine.worlds import World


class Crew:
    """A dealer, and the one worker that it deals to."""

    def __init__(self, world: World, count: int) -> None:
        self.world = world
        self.dealer = Dealer(world.root, [Q])
        self.count = count
        self.hints: list[str] = []
        self.lost = 0

    def ask(self) -> None:
        self.lost = 0
        self.dealer.refresh()
        self.hints = self.dealer.queues[Q].deal(self.count)

    def claim(self, hint: str) -> None:
        taken = self.world.engine.take(Q, hint, 1)
        if isinstance(taken, Claim):
            self.world.engine.finish(taken)
        else:
            self.lost += 1

    def answer(self) -> int:
        self.dealer.settle(Q, self.hints, self.lost)
        return self.lost


def fill(world: World, count: int, priority: int = 5) -> None:
    for number in range(count):
        world.plant(plain_name(priority=priority, number=number), b'{"fsq":1}\n1')


def shared(world: World, crews: list[Crew]) -> int:
    """Let all claim in turn, name by name, until nothing is left; returns how many claims were lost."""
    lost = 0
    while True:
        for crew in crews:
            crew.ask()
        if not any(crew.hints for crew in crews):
            assert world.ls("new") == []
            return lost
        for hints in zip_longest(*(crew.hints for crew in crews)):
            for crew, hint in zip(crews, hints, strict=True):
                if hint is not None:
                    crew.claim(hint)
        lost += sum(crew.answer() for crew in crews)


@pytest.mark.parametrize("count", [64, MANY])
def test_two_that_deal_short_jobs_seldom_meet(world: World, count: int) -> None:
    fill(world, 2000)
    assert shared(world, [Crew(world, count), Crew(world, count)]) < 1000, "it was one for each job"


def test_one_that_deals_long_jobs_looks_first(world: World) -> None:
    """What the other has claimed is gone before the one asks: after its first loss it sees that."""
    fill(world, 60)
    one, other = Crew(world, 1), Crew(world, 1)
    other.dealer.refresh()
    lost = 0
    for _ in range(30):
        for crew in (one, other):
            crew.ask()
            for hint in crew.hints:
                crew.claim(hint)
            lost += crew.answer()
    assert lost == 2, "each loses one, and knows then"
    assert len(world.ls("new")) == 2


def test_what_was_passed_over_is_found_again(world: World) -> None:
    fill(world, 100)
    crew = Crew(world, MANY)
    crew.ask()
    for hint in crew.hints:
        crew.claim(hint)
    crew.dealer.settle(Q, crew.hints, lost=MANY)
    assert shared(world, [crew]) == 0, "and nobody else was there"


def test_what_was_passed_over_is_found_again_soon_though_there_are_others(world: World) -> None:
    fill(world, 1000)
    crew = Crew(world, MANY)
    crew.ask()
    crew.dealer.settle(Q, crew.hints, lost=MANY)
    assert crew.dealer.queues[Q].deal(1) != [world.ls("new")[MANY]]
    world.clock.advance(SOON)
    crew.ask()
    assert crew.hints[0] == world.ls("new")[0]


def test_nothing_is_served_before_its_turn_because_names_were_passed_over(world: World) -> None:
    fill(world, 100)
    fill(world, 100, priority=7)
    crew = Crew(world, MANY)
    dealer = crew.dealer.queues[Q]
    crew.ask()
    dealer.settle(crew.hints)
    dealer.lose(MANY * FAR, MANY * FAR)
    assert dealer.deal(1)[0].startswith("5-")


def test_a_few_losses_move_nobody_away(world: World) -> None:
    fill(world, 100)
    crew = Crew(world, MANY)
    crew.ask()
    crew.dealer.settle(Q, crew.hints, lost=1)
    assert crew.dealer.queues[Q].deal(1) == [world.ls("new")[MANY]]
