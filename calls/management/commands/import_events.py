"""`manage.py import_events`: events from files, by the rules of a door and through the one way of writing."""

import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.utils import timezone
from tqdm import tqdm

from calls.domain.vocabulary import Source
from calls.ingest import process_events, sip_events, stored_events
from calls.ingest.bulk import Lanes, Progress, Refusal, take
from calls.ingest.door import Reader
from calls.ingest.files import BrokenFile, Form, Record, form_of, read_header, records, skip, unpacked

STDIN = "-"
STORED = "stored"
# How many refusals are shown on the screen; a file takes them all.
SHOWN = 20
# Exit statuses beside 0: some records were refused; a file could not be read to its end; Ctrl-C.
SOME_REFUSED, UNREADABLE, INTERRUPTED = 1, 2, 130


class Command(BaseCommand):
    """Take events from files, refuse what a door would refuse, and say what became of them."""

    help = (
        "Records the events in files: JSON arrays, NDJSON or CSV (with a header), also packed with gzip; - is standard"
        " input. The same rules hold as for the API, and an event that is known changes nothing, so that a file"
        " may be imported twice. Exit status: 0 if all are recorded, 1 if some were refused, 2 if a file could not be"
        " read to its end; what came before is recorded all the same."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("files", nargs="+", metavar="FILE", help="- is standard input")
        parser.add_argument(
            "--vocabulary",
            choices=[Source.PROCESS_EVENTS.value, Source.SIP.value, STORED],
            default=Source.PROCESS_EVENTS.value,
            help=f"whose words the files speak; {STORED} is what export_events writes (default: %(default)s)",
        )
        parser.add_argument("--format", choices=list(Form), help="default: by the name, else by the beginning")
        parser.add_argument("--refused", type=Path, metavar="FILE", help="write what is refused there, as NDJSON")
        parser.add_argument("--resume", action="store_true", help="go on where a run of these files was stopped")
        parser.add_argument(
            "--jobs",
            type=int,
            default=0,
            metavar="N",
            help="processes that write side by side (default: PostgreSQL one a processor, at least 2; SQLite 1)",
        )
        parser.add_argument("--dry-run", action="store_true", help="judge all, store nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import file after file, and say what became of the events."""
        self.created = self.duplicates = self.refused = 0
        self.dry_run = options["dry_run"]
        # SQLite has one writer at a time, whatever is begun.
        jobs = options["jobs"] or (max(2, os.cpu_count() or 1) if connection.vendor == "postgresql" else 1)
        call_id = "sip_call_id" if options["vocabulary"] == Source.SIP else "call_id"
        lanes = Lanes(jobs, read=_reader(options["vocabulary"]), call_id=call_id, dry_run=self.dry_run)
        marks = [_Checkpoint(name) for name in options["files"]]
        broken = ""
        with ExitStack() as stack:
            stack.enter_context(lanes)
            mode = "a" if options["resume"] else "w"
            self.report: TextIO | None = None
            if options["refused"]:
                try:
                    self.report = stack.enter_context(options["refused"].open(mode, encoding="utf-8"))
                except OSError as error:
                    raise CommandError(f"{options['refused']}: {error.strerror}.", returncode=UNREADABLE) from None
            for mark in marks:
                try:
                    self._import(mark, lanes, resume=options["resume"], form=options["format"])
                except (OSError, EOFError, zlib.error, BrokenFile) as error:
                    reason = getattr(error, "strerror", None) or getattr(error, "detail", None) or error
                    broken = f"{mark.name}: {reason}"
                    break
                except BrokenExecutor:
                    broken = f"{mark.name}: A writing process has ended unexpectedly. --resume goes on."
                    break
                except KeyboardInterrupt:
                    self.stderr.write("Stopped. --resume goes on, or import it again: what is known changes nothing.")
                    raise SystemExit(INTERRUPTED) from None
        if not broken:
            for mark in marks:
                mark.remove()
        self._conclude(broken)

    def _conclude(self, broken: str) -> None:
        told = f"{self.created:,} recorded, {self.duplicates:,} known already, {self.refused:,} refused."
        if self.dry_run:
            told = f"Nothing was stored. It would have been: {told}"
        if broken:
            raise CommandError(f"{broken}\n{told}", returncode=UNREADABLE)
        if self.refused:
            raise CommandError(told, returncode=SOME_REFUSED)
        self.stdout.write(self.style.SUCCESS(told))

    def _import(self, mark: "_Checkpoint", lanes: Lanes, *, resume: bool, form: str | None) -> None:
        with ExitStack() as stack:
            packed = sys.stdin.buffer if mark.name == STDIN else stack.enter_context(Path(mark.name).open("rb"))
            size = None if mark.name == STDIN else Path(mark.name).stat().st_size
            mark.begin(packed, resume=resume)
            if mark.done:
                return
            file: Any = unpacked(packed)
            kind = Form(form) if form else form_of(file, name="" if mark.name == STDIN else mark.name)
            found = _from_mark(file, kind, mark)
            # What is packed has no known length; then only the count is shown.
            total = size if file is packed else None
            bar = stack.enter_context(
                tqdm(total=total, initial=mark.byte, unit="B", unit_scale=True, desc=mark.name, disable=None)
            )
            for progress in take(found, lanes, at=timezone.now):
                self._tell(mark.name, progress)
                bar.update(progress.byte - mark.byte)
                bar.set_postfix_str(f"{self.created:,} recorded, {self.refused:,} refused")
                mark.byte, mark.line = progress.byte, progress.line
                if not self.dry_run:
                    mark.write()
            mark.done = True
            if not self.dry_run:
                mark.write()

    def _tell(self, name: str, progress: Progress) -> None:
        self.created += progress.created
        self.duplicates += progress.duplicates
        for refusal in progress.refused:
            self.refused += 1
            if self.report:
                self.report.write(json.dumps(_described(name, refusal), ensure_ascii=False) + "\n")
            elif self.refused <= SHOWN:
                with tqdm.external_write_mode():
                    said = "; ".join(f"{field}: {' '.join(why)}" for field, why in refusal.errors.items())
                    self.stderr.write(f"{name}, line {refusal.line}: {refusal.code}. {said}")
            elif self.refused == SHOWN + 1:
                self.stderr.write("More were refused; --refused FILE takes them all.")
        if self.report:
            self.report.flush()


def _described(name: str, refusal: Refusal) -> dict[str, Any]:
    return {
        "file": name,
        "line": refusal.line,
        "event_id": refusal.event_id,
        "code": refusal.code,
        "errors": refusal.errors,
        "text": refusal.text.decode(errors="replace").strip(),
    }


def _reader(vocabulary: str) -> Reader:
    if vocabulary == STORED:
        users = get_user_model().objects.order_by()
        return stored_events.reader(dict(users.values_list("username", "pk")))
    return process_events.read_event if vocabulary == Source.PROCESS_EVENTS else sip_events.read_event


def _from_mark(file: BinaryIO, form: Form, mark: "_Checkpoint") -> Iterator[Record]:
    """Return the records that come after a checkpoint."""
    header = None
    if mark.byte:
        if form is Form.CSV:
            text = file.readline()
            header = read_header(iter([text.decode()]))
            skip(file, mark.byte - (0 if file.seekable() else len(text)))
        else:
            skip(file, mark.byte)
    return records(file, form, byte=mark.byte, line=mark.line, header=header)


class _Checkpoint:
    """How far a file is imported, kept beside it until the whole run is through.

    It belongs to the file as it was: of another content under the same name nothing is left out.
    """

    def __init__(self, name: str) -> None:
        self.name, self.byte, self.line, self.done = name, 0, 1, False
        self._path = None if name == STDIN else Path(f"{name}.imported")
        self._beginning = ""

    def begin(self, file: BinaryIO, *, resume: bool) -> None:
        """Find out where to go on."""
        if self._path is None:
            if resume:
                raise BrokenFile("What comes by standard input cannot be resumed; import it again.")
            return
        self._beginning = hashlib.sha256(file.read(4096)).hexdigest()
        file.seek(0)
        if not resume or not self._path.exists():
            return
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            if kept["beginning"] != self._beginning:
                raise BrokenFile(f"{self._path} was made for another content; import it without --resume.")
            self.byte, self.line = int(kept["byte"]), int(kept["line"])
            self.done = bool(kept["done"])
        except (ValueError, KeyError, TypeError):
            raise BrokenFile(f"{self._path} cannot be read; import the file without --resume.") from None

    def write(self) -> None:
        """Keep how far it is; what was kept before stays whole until then."""
        if self._path is None:
            return
        text = json.dumps({"byte": self.byte, "line": self.line, "done": self.done, "beginning": self._beginning})
        new = self._path.with_name(f"{self._path.name}.new")
        new.write_text(text, encoding="utf-8")
        new.replace(self._path)

    def remove(self) -> None:
        """Forget it: the run is through."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
