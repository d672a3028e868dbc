"""Files of events: JSON arrays, NDJSON and CSV, packed with gzip or not, read record by record at any length.

Each record comes with its place: the line on which it begins, and the byte at which the next one does, where
a later reading can go on. Both count in the unpacked file.
"""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import BinaryIO, NamedTuple, cast

from calls.ingest.door import MAX_EVENT_BYTES
from calls.web.errors import BadRequest

GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 256 * 1024
# A record that goes on for longer than this is taken for one whose end is missing.
LONGEST = 1024 * 1024
_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},"]', re.DOTALL)


class Form(StrEnum):
    """How a file is written."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


class BrokenFile(BadRequest):
    """From here on nothing can be made out in a file."""

    default_code = "broken_file"


class Record(NamedTuple):
    """One record as the JSON text of an object, the line on which it begins, and where the next one begins.

    `problem` says what is wrong with a record that could not even be cut out properly.
    """

    text: bytes
    line: int
    next_line: int
    next_byte: int
    problem: str = ""


# What `Record(…)` comes to, at half the time.
_record = tuple.__new__


def unpacked(file: BinaryIO) -> BinaryIO:
    """Return what is in a file, unpacked where it was packed with gzip; it may be a pipe."""
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, file))
    if buffered.peek(2)[:2] == GZIP_MAGIC:
        return io.BufferedReader(gzip.GzipFile(fileobj=buffered), CHUNK)
    return buffered


def form_of(file: io.BufferedReader, *, name: str = "") -> Form:
    """Return how a file is written: by the end of its name, else by how it begins."""
    stem = name.lower().removesuffix(".gz")
    for ending, form in ((".json", Form.JSON), (".ndjson", Form.NDJSON), (".jsonl", Form.NDJSON), (".csv", Form.CSV)):
        if stem.endswith(ending):
            return form
    start = file.peek(1).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return {b"[": Form.JSON, b"{": Form.NDJSON}.get(start, Form.CSV)


def records(
    file: BinaryIO, form: Form, *, byte: int = 0, line: int = 1, header: list[str] | None = None
) -> Iterator[Record]:
    """Yield a file's records; one that stands at `byte` already goes on there, on `line`.

    A CSV that goes on needs its header. Raises BrokenFile where it cannot be read any further.
    """
    if form is Form.NDJSON:
        return _lines(file, byte, line)
    if form is Form.JSON:
        return _elements(file, byte, line)
    return _rows(file, byte, line, header)


def skip(file: BinaryIO, byte: int) -> None:
    """Go forward to a byte, also where only reading leads there."""
    if file.seekable():
        file.seek(byte)
        return
    while byte > 0 and (part := file.read(min(byte, CHUNK))):
        byte -= len(part)


def _lines(file: BinaryIO, byte: int, line: int) -> Iterator[Record]:
    while text := file.readline(LONGEST):
        begin, byte = line, byte + len(text)
        problem = ""
        while not text.endswith(b"\n") and (rest := file.readline(LONGEST)):
            # So long a line is only passed over.
            byte, problem = byte + len(rest), _too_long()
            if rest.endswith(b"\n"):
                break
        line += 1
        if begin == 1:
            text = text.removeprefix(b"\xef\xbb\xbf")
        if text and not text.isspace():
            yield _record(Record, (text, begin, line, byte, problem))


def _too_long() -> str:
    return f"An event may have at most {MAX_EVENT_BYTES:,} bytes."


def _elements(file: BinaryIO, byte: int, line: int) -> Iterator[Record]:
    """Yield the elements of an array, cut at the commas of its first level.

    They are found by brackets and quotes alone, so that an element that is broken in itself spoils no other.
    """
    # The element begins at `start` of the buffer; up to `at` its brackets have been counted.
    buffer, start, at = b"", 0, 0
    depth, opened = 0, byte > 0  # who goes on does so behind a comma
    while True:
        found = _MARKS.search(buffer, at)
        if found is None or found[0] == b'"':  # no mark, or a text that does not end here: read on
            at = len(buffer) if found is None else found.start()
            buffer, at, start = buffer[start:], at - start, 0
            chunk = file.read(CHUNK)
            if not chunk:
                raise BrokenFile(f"The array does not end; its last element begins on line {line}.")
            if len(buffer) > LONGEST:
                raise BrokenFile(f"The element that begins on line {line} does not end.")
            buffer += chunk
            continue
        mark, at = found[0], found.end()
        if opened and (mark in (b"[", b"{") or (depth and mark in (b"]", b"}"))):
            depth += 1 if mark in (b"[", b"{") else -1
            continue
        if depth or (opened and mark[:1] == b'"'):
            continue
        text, begin = buffer[start : found.start()], line
        byte, line, start = byte + at - start, line + buffer.count(b"\n", start, at), at
        if not opened:
            if mark != b"[" or text.strip(b"\xef\xbb\xbf \t\r\n"):
                raise BrokenFile("The file is not a JSON array.")
            opened = True
            continue
        if text.strip() or mark == b",":
            begin += text[: len(text) - len(text.lstrip())].count(b"\n")
            yield Record(text, begin, line, byte, _too_long() if len(text) > MAX_EVENT_BYTES else "")
        if mark != b",":
            if mark == b"}" or (buffer[at:] + file.read(CHUNK)).strip():
                raise BrokenFile(f"Something follows the end of the array, on line {line}.")
            return


class _Counted:
    """The lines of a file as text, counted as they are read."""

    def __init__(self, file: BinaryIO, byte: int, line: int) -> None:
        self._file, self.byte, self.line, self.undecodable = file, byte, line, False

    def __iter__(self) -> "_Counted":
        return self

    def __next__(self) -> str:
        raw = self._file.readline(LONGEST)
        if not raw:
            raise StopIteration
        self.byte += len(raw)
        self.line += raw.endswith(b"\n")
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.undecodable = True
            return raw.decode(errors="replace")


def _rows(file: BinaryIO, byte: int, line: int, header: list[str] | None) -> Iterator[Record]:
    """Yield a CSV's rows as objects; an empty cell says nothing, a cell `metadata` may hold a JSON object."""
    lines = _Counted(file, byte, line)
    reader = csv.reader(lines, strict=True)
    names = header or read_header(lines)
    while True:
        begin, lines.undecodable, row, problem = lines.line, False, [], ""
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"The row is not valid CSV: {error}."
            reader = csv.reader(lines, strict=True)
        if lines.undecodable:
            problem = "The row is not valid UTF-8."
        elif row and len(row) != len(names):
            problem = f"The row has {len(row)} cells, and the header {len(names)}."
        if row or problem:
            fields = {name: _cell(name, cell) for name, cell in zip(names, row, strict=False) if cell}
            yield Record(json.dumps(fields).encode(), begin, lines.line, lines.byte, problem)


def read_header(lines: Iterator[str]) -> list[str]:
    """Return the names in a CSV's first row."""
    names = [name.strip() for name in next(csv.reader(lines), [])]
    if names:
        names[0] = names[0].removeprefix("\ufeff")
    if not all(names) or len(set(names)) < len(names):
        raise BrokenFile("The first row of a CSV must name each column, and each once.")
    return names


def _cell(name: str, cell: str) -> object:
    if name == "metadata" and cell.startswith("{"):
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return cell
