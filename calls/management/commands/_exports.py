"""What the commands that write files have in common: which calls, where to, and how."""

import gzip
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from calls.domain.numbers import canonical
from calls.domain.vocabulary import CallStatus, Direction
from calls.management.commands.rebuild_calls import read_time
from calls.queries.exports import Choice
from calls.web.csv import csv_lines

FORMS = ("ndjson", "csv")


def add_choice(parser: CommandParser) -> None:
    """Declare which calls, where to and how."""
    parser.add_argument("--from", dest="start", type=read_time, metavar="TIME", help="calls that began then or later")
    parser.add_argument("--to", dest="end", type=read_time, metavar="TIME", help="calls that began before")
    parser.add_argument("--number", help="only calls made or received by this number")
    parser.add_argument("--status", choices=list(CallStatus), help="only calls that now have this status")
    parser.add_argument("--direction", choices=list(Direction), help="only calls of this direction")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output; .gz is packed")
    parser.add_argument("--format", choices=FORMS, help="default: by the name of the output, else ndjson")


def read_choice(options: dict[str, Any]) -> Choice:
    """Return the calls that the options name."""
    return Choice(
        start=options["start"],
        end=options["end"],
        number=canonical(options["number"]) if options["number"] else None,
        status=CallStatus(options["status"]) if options["status"] else None,
        direction=Direction(options["direction"]) if options["direction"] else None,
    )


def write(
    rows: Iterable[dict[str, Any]], columns: Sequence[str], options: dict[str, Any], *, unit: str, stdout: Any
) -> int:
    """Write rows of these columns where the options say, else to `stdout`, and return how many there were."""
    path: Path | None = options["output"]
    name = path.name.lower().removesuffix(".gz") if path else ""
    form = options["format"] or ("csv" if name.endswith(".csv") else "ndjson")
    count = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal count
        for row in rows:
            count += 1
            bar.update()
            yield row

    with _opened(path, stdout) as file, tqdm(unit=f" {unit}", disable=None) as bar:
        lines = _csv(counted(), columns) if form == "csv" else map(_json, counted())
        for line in lines:
            file.write(line)
    return count


def _json(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> Iterator[str]:
    return csv_lines(columns, ([_cell(row[column]) for column in columns] for row in rows))


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False) if value else ""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else value


@contextmanager
def _opened(path: Path | None, stdout: Any) -> Iterator[Any]:
    """Open the output; a file appears under its name when it is whole."""
    if path is None:
        yield stdout
        return
    part = path.with_name(f"{path.name}.part")
    with ExitStack() as stack:
        stack.callback(part.unlink, missing_ok=True)
        try:
            raw = stack.enter_context(part.open("wb"))
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}.") from None
        packed = stack.enter_context(gzip.GzipFile(fileobj=raw, mode="wb")) if path.suffix == ".gz" else raw
        text = stack.enter_context(io.TextIOWrapper(packed, encoding="utf-8", newline=""))
        yield text
        text.close()
        packed.close()
        raw.close()
        os.replace(part, path)
