"""Runs inside Kamailio (app_python3), in one process of its own: empties the queue of reports into the outbox.

The outbox is a directory with one file a report, which deliver.py sends and removes. A report is on its way
through memory for some milliseconds only; whatever is in the outbox survives Kamailio and phonegoggles.

Environment: PHONEGOGGLES_OUTBOX, the directory; Kamailio's user must be able to write to it.
"""

import json
import os
import time
from datetime import UTC, datetime, timedelta

import KSR

QUEUE = "phonegoggles"
DEFAULT_OUTBOX = "/var/spool/phonegoggles"
# A disk with less room than this, in parts of all it has, gets no more reports: Kamailio is not to fill it.
MIN_FREE = 0.05
# How often the same trouble is logged, in seconds.
COMPLAIN_EVERY = 60
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Collector:
    """What Kamailio calls; it makes one when it starts, and every process gets a copy of it."""

    def __init__(self):
        self.outbox = os.environ.get("PHONEGOGGLES_OUTBOX") or DEFAULT_OUTBOX
        if not os.access(self.outbox, os.W_OK | os.X_OK):
            # Better no start than calls that nobody ever hears of.
            raise RuntimeError(f"PHONEGOGGLES_OUTBOX: {self.outbox} is no directory that this user may write to")
        self.number = 0
        self.complained = 0.0

    def child_init(self, rank):
        """Kamailio asks for this in every process; there is nothing to do."""
        return 0

    def collect(self, message, arguments=None):
        """Move all waiting reports from the queue to the outbox."""
        if KSR.mqueue.mq_size(QUEUE) <= 0:
            return 1
        try:
            if not self.has_room():
                self.complain("the disk is nearly full, so reports stay in memory")
                return 1
            # One report may be unfit, which harms no other; trouble with the disk leaves all where they are.
            while KSR.mqueue.mq_fetch(QUEUE) > 0:
                report = KSR.pv.get(f"$mqv({QUEUE})")
                try:
                    self.put(report)
                except OSError:
                    KSR.mqueue.mq_add(QUEUE, KSR.pv.get(f"$mqk({QUEUE})"), report)
                    raise
                except (ValueError, KeyError) as error:
                    self.complain(f"a report is unfit ({error!r}): {report}")
        except OSError as error:
            self.complain(f"the outbox cannot be written to ({error}), so reports stay in memory")
        return 1

    def put(self, report):
        """Write one report as a file that appears whole or not at all; names sort by time."""
        event = json.loads(report)
        seconds, _, micros = event["timestamp"].partition(".")
        event["timestamp"] = (EPOCH + timedelta(seconds=int(seconds), microseconds=int(micros))).isoformat()
        self.number += 1
        name = f"{time.time_ns():020}-{self.number:09}.json"
        hidden = os.path.join(self.outbox, f".{name}")
        with open(hidden, "w", encoding="utf-8") as file:
            json.dump(event, file)
        os.rename(hidden, os.path.join(self.outbox, name))

    def has_room(self):
        """Say whether the outbox's disk has room, for data and for files."""
        disk = os.statvfs(self.outbox)
        enough_files = not disk.f_files or disk.f_favail >= disk.f_files * MIN_FREE
        return enough_files and disk.f_bavail >= disk.f_blocks * MIN_FREE

    def complain(self, what):
        """Log trouble, once in a while."""
        if time.monotonic() - self.complained > COMPLAIN_EVERY:
            self.complained = time.monotonic()
            KSR.err(f"phonegoggles: {what}; {KSR.mqueue.mq_size(QUEUE)} wait in the queue\n")


def mod_init():
    """Kamailio calls this when it loads the file."""
    return Collector()
