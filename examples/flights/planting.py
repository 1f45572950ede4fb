"""What partners get wrong: lines that no clean flight can have, planted among a day's own.

The real data have such rows, too (`cleaning` finds them), but few, and of two kinds only. Each planted line is a copy
of a real one with one thing changed, so leaving it out gives back the day as it was.

Invariant: the same day gets the same lines, every time and on every machine.
"""

import random
from collections.abc import Callable

FIELDS = 19
DEPARTED, DELAY, CARRIER, NUMBER, ORIGIN, AIR, MILES = 3, 5, 9, 10, 12, 14, 15
MOST_A_DAY = 3

Row = list[str]


def plant(day: str, lines: list[str]) -> list[str]:
    """Return the lines of a day, with up to three more that look like them."""
    dice = random.Random(f"planted on {day}")
    flown = [number for number, line in enumerate(lines) if line.split(",")[AIR] not in {"NA", ""}]
    planted = list(lines)
    for number in sorted(dice.sample(flown, min(len(flown), dice.randint(0, MOST_A_DAY))), reverse=True):
        planted.insert(number + 1, dice.choice(WAYS)(lines[number], dice))
    return planted


def torn(line: str, dice: random.Random) -> str:
    """The connection broke; what came next began on a new line."""
    return ",".join(line.split(",")[: dice.randint(4, FIELDS - 1)]) + "\n"


def repeated(line: str, _: random.Random) -> str:
    return line


def changed(change: Callable[[Row, random.Random], None]) -> Callable[[str, random.Random], str]:
    """Make a way to go wrong of a change in the fields."""

    def go_wrong(line: str, dice: random.Random) -> str:
        fields = line.rstrip("\n").split(",")
        change(fields, dice)
        return ",".join(fields) + "\n"

    return go_wrong


def wrong_clock(fields: Row, dice: random.Random) -> None:
    fields[DEPARTED] = f"{dice.randint(0, 23)}{dice.randint(60, 99)}"


def wrong_delay(fields: Row, dice: random.Random) -> None:
    fields[DELAY] = str(int(fields[DELAY]) + dice.randint(1, 59))


def wrong_airline(fields: Row, _: random.Random) -> None:
    fields[CARRIER] = "ZZ"


def wrong_origin(fields: Row, _: random.Random) -> None:
    fields[ORIGIN] = "SFO"


def wrong_distance(fields: Row, _: random.Random) -> None:
    fields[MILES] = f"-{fields[MILES]}"


def wrong_number(fields: Row, _: random.Random) -> None:
    fields[NUMBER] = f"{fields[NUMBER]}?"


def too_fast(fields: Row, _: random.Random) -> None:
    fields[AIR] = str(int(fields[MILES]) // 12)  # 720 miles an hour


def too_long_in_the_air(fields: Row, _: random.Random) -> None:
    fields[AIR] = str(int(fields[AIR]) + 235)  # no plane of 2013 stood longer on the ground than that


WAYS = (
    torn,
    repeated,
    changed(wrong_clock),
    changed(wrong_delay),
    changed(wrong_airline),
    changed(wrong_origin),
    changed(wrong_distance),
    changed(wrong_number),
    changed(too_fast),
    changed(too_long_in_the_air),
)
