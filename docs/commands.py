"""Writes the verbs' part of docs/commands.md: `scripts/commands` runs it, tests/test_docs.py compares.

Everything is read from the commands themselves: names, options, defaults, help. Nothing of it depends on the width of
a terminal or on how typer draws its boxes.
"""  # noqa: INP001 - a script, no package

from __future__ import annotations

import inspect
import os
import sys
from typing import Any, get_args, get_type_hints

from workqueue.cli.app import VERBS, command

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "commands.md")
FIRST, LAST = "<!-- from here on written by scripts/commands -->\n", "<!-- up to here -->\n"


def commands() -> dict[str, Any]:
    """The verbs and their commands, in the order of the help; "" is fsq itself."""
    fsq: Any = command()
    return {"": fsq, **dict(sorted(fsq.commands.items(), key=place))}


def place(item: tuple[str, Any]) -> tuple[int, int]:
    """Where a verb stands in the code, whatever was imported first."""
    function = inspect.unwrap(item[1].callback)
    return VERBS.index(function.__module__.rpartition(".")[2]), function.__code__.co_firstlineno


def page(before: str) -> str:
    """The page, with its generated part written anew."""
    head, _, rest = before.partition(FIRST)
    tail = rest.partition(LAST)[2]
    return f"{head}{FIRST}\n{''.join(section(verb, found) for verb, found in commands().items())}{LAST}{tail}"


def section(verb: str, found: Any) -> str:
    """A verb: how it is called, what it does, its arguments and options, examples."""
    arguments = [p for p in found.params if not is_option(p)]
    options = [p for p in found.params if is_option(p) and not p.hidden and (not verb or p.name != "root")]
    call = " ".join(["fsq", verb, "[OPTIONS]", *map(shown_argument, arguments)]) if verb else "fsq [OPTIONS] VERB …"
    hints = get_type_hints(inspect.unwrap(found.callback))
    parts = [f"### fsq {verb}".rstrip(), f"`{call}`"]
    if verb:
        parts.append(cell("\n\n".join(p.replace("\n", " ") for p in found.help.split("\n\n")), in_table=False))
    else:
        parts.append("Options that stand before the verb. `--root` may stand behind it as well, with every verb.")
    if arguments:
        rows = [f"| `{shown_argument(p)}` | {cell(p.help)} |" for p in arguments]
        parts.append("\n".join(["| argument | meaning |", "|---|---|", *rows]))
    if options:
        rows = [option_row(verb, p, hints.get(p.name)) for p in options]
        parts.append("\n".join(["| option | default | environment | meaning |", "|---|---|---|---|", *rows]))
    if verb and found.epilog:
        parts.append(examples(found.epilog))
    return "".join(f"{part}\n\n" for part in parts)


def is_option(param: Any) -> bool:
    """Whether it is an option; else it is an argument."""
    return any(name.startswith("-") for name in param.opts)


def shown_argument(param: Any) -> str:
    """An argument as it stands in the call: in brackets where it may be left out."""
    name = str(param.metavar or param.name.upper())
    return name if param.required or name.startswith("[") else f"[{name}]"


def option_row(verb: str, param: Any, hint: Any) -> str:
    """An option's line of the table."""
    assert param.help, f"fsq {verb}: {param.name} has no help"
    names = ", ".join(f"`{name}`" for name in sorted(param.opts, key=len, reverse=True))
    if param.secondary_opts:
        names += " / " + ", ".join(f"`{name}`" for name in param.secondary_opts)
    elif not param.is_flag:
        names += f" `{param.metavar or ('N' if int in (hint, *get_args(hint)) else 'TEXT')}`"
    environment = "`FSQ_ROOT`" if param.name == "root" else f"`{param.envvar}`" if param.envvar else ""
    return f"| {names.replace('|', chr(92) + '|')} | {default(param)} | {environment} | {cell(param.help)} |"


def default(param: Any) -> str:
    """What holds where the option is not given."""
    if isinstance(param.show_default, str):
        return param.show_default
    if param.is_flag:
        return "yes" if param.default else ""
    return "" if param.default in (None, "", [], ()) else f"`{param.default}`"


def cell(text: str, *, in_table: bool = True) -> str:
    """Help as Markdown: what would be taken for a tag or a column is escaped."""
    text = text.replace("<", "&lt;")
    return text.replace("|", "\\|") if in_table else text


def examples(epilog: str) -> str:
    """The examples of a verb's help, one a line. Not run: they name files that are not there."""
    _, _, text = epilog.partition(":  ")
    return "```sh no-run\n" + "\n".join(part.strip() for part in text.split("  ·  ")) + "\n```"


def main() -> None:
    """Write the page."""
    with open(PAGE, encoding="utf-8") as file:
        before = file.read()
    after = page(before)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(after)
    print("unchanged" if after == before else "written", file=sys.stderr)


if __name__ == "__main__":
    main()
