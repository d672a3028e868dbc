#!/usr/bin/env python3
"""Posts Asterisk's channel events to phonegoggles, as cel_custom writes them to a file. Needs nothing but Python 3.9.

The file is the queue: what was answered is remembered as a place in it (beside it, in FILE.sent), so that nothing is
lost while this program, the network or the service is away, and nothing is forgotten when Asterisk's files are rotated.

    PHONEGOGGLES_SECRET=whsec_… forward_cel.py https://calls.example.com/api/webhooks/asterisk/ \\
        /var/log/asterisk/cel-custom/phonegoggles.csv

PHONEGOGGLES_SECRET is the secret of a webhook source (Standard Webhooks); PHONEGOGGLES_TOKEN, instead, a token.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import hmac
import http.client
import json
import logging
import os
import signal
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

logger = logging.getLogger("forward_cel")

# The columns of phonegoggles.csv (cel_custom.conf), which are those of Asterisk's own sample, by their AMI names.
COLUMNS = (
    "EventName", "EventTime", "CallerIDname", "CallerIDnum", "CallerIDani", "CallerIDrdnis", "CallerIDdnid", "Exten",
    "Context", "Channel", "Application", "AppData", "AMAFlags", "AccountCode", "UniqueID", "LinkedID", "Peer",
    "UserField", "UserDefType", "Extra",
)  # fmt: skip
# What the service makes something of; it would only count the others.
EVENTS = frozenset(
    {"CHAN_START", "ANSWER", "BRIDGE_ENTER", "HANGUP", "LINKEDID_END", "BLINDTRANSFER", "ATTENDEDTRANSFER",
     "PARK_START", "PARK_END", "HOLD", "UNHOLD"}
)  # fmt: skip
MOST_EVENTS, MOST_BYTES, LONGEST_LINE = 200, 128 * 1024, 32 * 1024
TIMEOUT_SECONDS = 30
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
# Sending these again will not help; everything else may be mended on the other side, and is waited for.
HOPELESS = frozenset({400, 409, 413, 422})


class Refused(Exception):
    """The service answered that it will never take this."""


class NotNow(Exception):
    """The service did not take this, but may later."""


# -- The file --------------------------------------------------------------------------------------


class Log:
    """A file that grows, is rotated, and is read up to a place that is remembered."""

    def __init__(self, path: Path) -> None:
        self.path, self.place = path, path.with_name(path.name + ".sent")
        self.inode, self.offset = 0, 0
        if self.place.exists():
            held = json.loads(self.place.read_text(encoding="utf-8"))
            self.inode, self.offset = held["inode"], held["offset"]

    def _current(self) -> Path | None:
        """Return the file to read on in: the one read last, under whatever name it has now, and then the new one."""
        siblings = sorted(self.path.parent.glob(self.path.name + "*"))
        files = {path.stat().st_ino: path for path in siblings if path.suffix not in (".sent", ".gz", ".tmp")}
        if self.inode in files and files[self.inode].stat().st_size >= self.offset:
            old = files[self.inode]
            if old == self.path or old.stat().st_size > self.offset or not self.path.exists():
                return old
        elif self.inode:
            logger.warning("The file that was read last is gone or was cut; what it still had is lost to us.")
        if not self.path.exists():
            return None
        self.inode, self.offset = self.path.stat().st_ino, 0
        return self.path

    def read(self) -> tuple[list[str], int]:
        """Return the next whole lines, as many as may be sent at once, and the place behind them."""
        current = self._current()
        if current is None:
            return [], self.offset
        lines: list[str] = []
        end = self.offset
        with current.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                # A line that Asterisk has not written to its end yet is left for the next time.
                if not line.endswith(b"\n") or (lines and end + len(line) - self.offset > MOST_BYTES):
                    break
                lines.append(line.decode("utf-8", "replace"))
                end += len(line)
                if len(lines) == MOST_EVENTS:
                    break
        return lines, end

    def remember(self, offset: int) -> None:
        """Remember that everything before this place was answered."""
        self.offset = offset
        fresh = self.place.with_name(self.place.name + ".tmp")
        with fresh.open("w", encoding="utf-8") as file:
            json.dump({"inode": self.inode, "offset": offset}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.place)


def events_of(lines: list[str]) -> list[dict[str, str]]:
    """Return the events that lines of CSV hold, without what is empty."""
    events = []
    for line in lines:
        row = next(csv.reader([line]), [])
        if len(line) > LONGEST_LINE:
            logger.error("Skipped a line of %d characters: %.80s", len(line), line)
        elif len(row) != len(COLUMNS):
            logger.error("Skipped a line with %d columns instead of %d: %.80s", len(row), len(COLUMNS), line.rstrip())
        elif row[0] in EVENTS:
            events.append({name: value for name, value in zip(COLUMNS, row) if value})  # noqa: B905 - for Python 3.9
    return events


# -- The service --------------------------------------------------------------------------------------


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would lose the body, and might give the token to somebody else: it is an error like others."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


class Service:
    """Where the events go."""

    def __init__(self, url: str, *, secret: str = "", token: str = "") -> None:
        self.url, self.token = url, token
        self.key = base64.b64decode(secret.removeprefix("whsec_"), validate=True) if secret else b""
        if not (self.key or token):
            raise ValueError("an empty secret")
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        self.opener = urllib.request.build_opener(NoRedirects, tls)

    def headers(self, body: bytes) -> dict[str, str]:
        """Return what proves who sends a body (https://www.standardwebhooks.com/)."""
        headers = {"Content-Type": "application/json", "User-Agent": "phonegoggles-forward-cel"}
        if not self.key:
            return {**headers, "Authorization": f"Token {self.token}"}
        id, now = f"msg_{uuid.uuid4().hex}", str(int(time.time()))
        signed = hmac.new(self.key, f"{id}.{now}.".encode() + body, hashlib.sha256).digest()
        signature = "v1," + base64.b64encode(signed).decode()
        return {**headers, "webhook-id": id, "webhook-timestamp": now, "webhook-signature": signature}

    def post(self, events: list[dict[str, str]]) -> dict[str, object]:
        """Post events and return the answer; raise Refused or NotNow."""
        body = json.dumps(events, ensure_ascii=False).encode()
        request = urllib.request.Request(self.url, body, self.headers(body), method="POST")  # noqa: S310 - see main()
        try:
            with self.opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            said = f"{error.code} {error.read(2000).decode('utf-8', 'replace')}"
            raise (Refused if error.code in HOPELESS else NotNow)(said) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NotNow(str(error) or type(error).__name__) from None


# -- Both ---------------------------------------------------------------------------------------------


def forward(log: Log, service: Service) -> bool:
    """Send the next lines; return whether there were any. Raises NotNow."""
    lines, end = log.read()
    if not lines:
        return False
    events = events_of(lines)
    if events:
        try:
            answer = service.post(events)
        except Refused as refusal:
            logger.error("%d events were refused, and are left out: %s", len(events), refusal)
        else:
            for rejected in answer.get("rejected") or []:  # type: ignore[attr-defined]
                logger.error("An event was refused, and is left out: %s: %s", rejected, events[rejected["index"]])
            logger.info("%d events: %s stored, %s known already.", len(events), answer["created"], answer["duplicates"])
    log.remember(end)
    return True


def main() -> int:
    """Send what there is, and then whatever comes, until told to stop."""
    parser = argparse.ArgumentParser(description="Posts Asterisk's channel events to phonegoggles.")
    parser.add_argument("url", help="the address of /api/webhooks/asterisk/")
    parser.add_argument("file", type=Path, help="the CSV file that cel_custom writes")
    parser.add_argument("--once", action="store_true", help="send what is there and stop; 1 if that was not possible")
    parser.add_argument("--interval", type=float, default=0.5, help="seconds between looks at the file (0.5)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    secret, token = os.environ.get("PHONEGOGGLES_SECRET", ""), os.environ.get("PHONEGOGGLES_TOKEN", "")
    if not options.url.startswith(("https://", "http://")):
        parser.error("the url must begin with https:// (or with http://, on one machine)")
    if bool(secret) == bool(token):
        parser.error("set either PHONEGOGGLES_SECRET or PHONEGOGGLES_TOKEN")
    try:
        service = Service(options.url, secret=secret, token=token)
    except ValueError:
        parser.error("PHONEGOGGLES_SECRET is not a secret such as whsec_…")
    log = Log(options.file)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    pause = FIRST_PAUSE
    while not stop.is_set():
        try:
            more = forward(log, service)
            pause = FIRST_PAUSE
        except (NotNow, OSError) as reason:
            logger.warning("Not sent, trying again in %.0f s: %s", pause, reason)
            if options.once:
                return 1
            stop.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            continue
        if not more:
            if options.once:
                break
            stop.wait(options.interval)
    return 0


if __name__ == "__main__":
    sys.exit(main())
