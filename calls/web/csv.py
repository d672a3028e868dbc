"""Streaming CSV (RFC 4180) that is safe to open in a spreadsheet."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.http import StreamingHttpResponse

from calls.domain.numbers import is_e164

# A spreadsheet takes a cell that begins so for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
ROWS_A_CHUNK = 500


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        """Return the text instead of keeping it."""
        return text


def safe_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; E.164 numbers stay as they are."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS) and not is_e164(value):
        return f"'{value}"
    return value


def csv_lines(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the text of a CSV file, some rows at a time."""
    writer = csv.writer(_Echo())
    chunk = [str(writer.writerow(header))]
    for row in rows:
        chunk.append(str(writer.writerow([safe_cell(cell) for cell in row])))
        if len(chunk) >= ROWS_A_CHUNK:
            yield "".join(chunk)
            chunk.clear()
    if chunk:
        yield "".join(chunk)


def csv_response(name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """Return an answer that streams rows as a CSV file called `name`."""
    response = StreamingHttpResponse(csv_lines(header, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
