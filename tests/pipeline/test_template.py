"""Templates: what stands in braces is filled in, and nothing else is changed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workqueue.errors import BadInput
from workqueue.pipeline.template import PLACE, check, fill

WORDS = {"date": "2013-01-01", "path": '/in/a "b".csv'}


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{date}", "2013-01-01"),
        ("in/{date}/{date}.csv", "in/2013-01-01/2013-01-01.csv"),
        ({"day": "{date}", "n": 1, "list": ["{date}", None, True, 1.5]}, {"day": WORDS["date"], "n": 1, "list": [WORDS["date"], None, True, 1.5]}),
        ({"{date}": {"deep": [["{date}"]]}}, {WORDS["date"]: {"deep": [[WORDS["date"]]]}}),
        ("{{date}}", "{date}"),
        ("{{{date}}}", "{{date}}"),
        (r"\d{4} {} { } {2,3} {0} {a b} }{", r"\d{4} {} { } {2,3} {0} {a b} }{"),
        (None, None),
        (7, 7),
    ],
)  # fmt: skip
def test_a_name_in_braces_is_filled_in(template: Any, filled: Any) -> None:
    check(template, WORDS, "payload")
    assert fill(template, WORDS) == filled


def test_what_is_filled_in_cannot_break_the_json() -> None:
    template = json.loads('{"path": "{path}", "a": {"b": "{date}"}}')
    assert fill(template, WORDS) == {"path": '/in/a "b".csv', "a": {"b": "2013-01-01"}}


def test_what_was_filled_in_is_not_filled_in_again() -> None:
    assert fill("{path}", {"path": "{date}", "date": "no"}) == "{date}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            {"day": "{dat}"},
            "payload: {dat} means nothing here; did you mean {date}? (for the text itself write {{dat}})",
        ),
        (["{Date}"], "did you mean {date}?"),
        ({"{x}": 1}, "payload: {x} means nothing here; there is {date}, {path}"),
    ],
)
def test_an_unknown_name_is_refused_with_what_may_be_meant(template: Any, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        check(template, WORDS, "payload")
    assert message in str(caught.value)


@given(st.text().filter(lambda text: not PLACE.search(text)))
def test_text_without_a_name_in_braces_stays_as_it_is(text: str) -> None:
    check(text, WORDS, "payload")
    assert fill(text, WORDS) == text
