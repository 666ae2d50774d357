"""How verbs speak: data to standard output, talk to standard error, plain text unless a person watches."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

USAGE, NOT_FOUND, NOT_ALLOWED, CONFLICT, UPSTREAM = 2, 3, 4, 5, 6


class Failure(Exception):
    """A verb cannot do what was asked: what happened, the command to run next, and the exit code."""

    def __init__(self, message: str, *, next_command: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.message, self.next_command, self.code = message, next_command, code


def is_watched(stream: TextIO) -> bool:
    """Whether a person looks at the stream, so that colour and borders help."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def talk(line: str) -> None:
    """Tell the person at the terminal something that is no data."""
    print(line, file=sys.stderr)


def tell_failure(failure: Failure) -> None:
    """Say why a verb failed and what to do."""
    mark = "\x1b[31merror:\x1b[0m" if is_watched(sys.stderr) else "error:"
    talk(f"{mark} {failure.message}")
    if failure.next_command:
        talk(f"  next: {failure.next_command}")


def put_json(data: Any) -> None:
    """Write data as JSON."""
    print(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def put_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as a table for a person, or with tabs between the columns for a program."""
    texts = [[_cell(row.get(column)) for column in columns] for row in rows]
    if not is_watched(sys.stdout):
        print("\t".join(columns))
        for cells in texts:
            print("\t".join(cells))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.upper(), overflow="fold")
    for cells in texts:
        # Never as markup: a slug or a model name may hold brackets.
        table.add_row(*(cell.replace("[", r"\[") for cell in cells))
    Console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return ",".join(map(_cell, value))
    # Names come from other people: no control characters reach the terminal.
    return "".join(char if char.isprintable() else "�" for char in str(value))
