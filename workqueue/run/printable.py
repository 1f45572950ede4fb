"""Text of any origin, made fit to be printed."""

from __future__ import annotations


def encodable(text: str) -> str:
    """The text with the bytes of file names that are no UTF-8 made visible."""
    return text.encode(errors="backslashreplace").decode()


def visible(text: str) -> str:
    """The text on one line, without what could steer a terminal or break a pipe."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
