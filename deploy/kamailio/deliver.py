#!/usr/bin/env python3
"""Sends the reports in an outbox to phonegoggles, signed by Standard Webhooks, until each has arrived.

The outbox is a directory with one JSON file a report, as collector.py writes it; anything that can write a file may
report in this way (write under a name with a leading dot, then rename to *.json). Sent files are removed.

    2xx                          it has arrived
    408, 425, 429, 5xx, silence  sent again, as often as it takes, with growing pauses (or Retry-After)
    any other answer             sending it again will not help: logged, and laid aside in `refused/`

phonegoggles knows a report by its event_id for ever and takes them in any order, so that sending one twice or late
does no harm. Standard library only.

Environment:
    PHONEGOGGLES_URL          such as https://calls.example.org/api/webhooks/sip/
    PHONEGOGGLES_SECRET_FILE  a file with the secret (whsec_...) of a webhook source; or PHONEGOGGLES_SECRET itself
    PHONEGOGGLES_OUTBOX       the directory (default: /var/spool/phonegoggles)
    PHONEGOGGLES_CONNECTIONS  how many reports are under way at once (default: 8)
    PHONEGOGGLES_TIMEOUT      how long to wait for an answer, in seconds (default: 10)
"""

import base64
import binascii
import contextlib
import fcntl
import hashlib
import hmac
import http.client
import json
import logging
import os
import random
import signal
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

logger = logging.getLogger("deliver")

PREFIX = "whsec_"
SENT, AGAIN, BUSY, REFUSED = "sent", "again", "busy", "refused"
# Answers of a 4xx kind that are about the moment and not about the report.
MOMENTARY = {408, 425, 429}
# The service as a whole is not there: no use in trying the other reports meanwhile.
NOT_THERE = {429, 502, 503, 504}
# Pauses between two tries, in seconds: doubled each time up to the longest, and never quite the same.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# How often the outbox is looked at when there is nothing to do, and how many reports one look takes.
LOOK_EVERY = 0.02
AT_ONCE = 1000
# No more than so many refused reports are kept.
KEEP_REFUSED = 10_000


class Answer(NamedTuple):
    """What became of one try."""

    verdict: str
    said: str
    retry_after: float = 0.0


def verdict_of(status: int) -> str:
    """Return what an HTTP status means for a report."""
    if 200 <= status < 300:
        return SENT
    if status in NOT_THERE:
        return BUSY
    if status in MOMENTARY or status >= 500:
        return AGAIN
    return REFUSED


def read_secret(text: str) -> bytes:
    """Return the key in a Standard Webhooks secret; raise ValueError if it is none."""
    try:
        key = base64.b64decode(text.strip().removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("the secret is not base64; copy all of whsec_... from the admin") from error
    if len(key) < 16:
        raise ValueError("the secret is too short; copy all of whsec_... from the admin")
    return key


def sign(key: bytes, message_id: str, seconds: int, body: bytes) -> str:
    """Return the header webhook-signature: HMAC-SHA256 over id, time and body (Standard Webhooks, v1)."""
    signed = f"{message_id}.{seconds}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def pause_after(failures: int) -> float:
    """Return how long to wait after so many failures in a row, in seconds."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 10)) * random.uniform(0.75, 1.0)  # noqa: S311 - spreads retries, no secret


class Sender:
    """Posts reports; each thread keeps a connection of its own open."""

    def __init__(self, url: str, key: bytes, timeout: float) -> None:
        """Take an address such as https://host/api/webhooks/sip/; raise ValueError if it is none."""
        self.url = urlsplit(url)
        if self.url.scheme not in ("http", "https") or not self.url.hostname:
            raise ValueError(f"{url!r} is no http:// or https:// address")
        self.key, self.timeout = key, timeout
        self.local = threading.local()

    def post(self, message_id: str, body: bytes) -> Answer:
        """Sign and send one report, and say what came back."""
        seconds = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "phonegoggles-deliver",
            "webhook-id": message_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": sign(self.key, message_id, seconds, body),
        }
        # A kept connection may have been closed meanwhile, which is only noticed now: then once more on a new one.
        for kept in (True, False):
            connection, is_new = self.connection(kept)
            try:
                connection.request("POST", self.url.path or "/", body, headers)
                response = connection.getresponse()
                said = response.read(65536)
            except (OSError, http.client.HTTPException) as error:
                self.drop()
                if is_new or isinstance(error, TimeoutError):
                    return Answer(BUSY, f"{type(error).__name__}: {error}")
                continue
            if not response.isclosed() or response.will_close:
                self.drop()
            text = said[:500].decode("utf-8", "replace")
            return Answer(verdict_of(response.status), f"{response.status} {text}", read_retry_after(response))
        raise AssertionError("a new connection was tried last")

    def connection(self, kept: bool) -> tuple[http.client.HTTPConnection, bool]:
        """Return this thread's connection, and whether it is a new one."""
        held: http.client.HTTPConnection | None = getattr(self.local, "connection", None)
        if kept and held is not None:
            return held, False
        self.drop()
        make = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        self.local.connection = make(self.url.hostname or "", self.url.port, timeout=self.timeout)
        return self.local.connection, True

    def drop(self) -> None:
        """Close this thread's connection."""
        held = getattr(self.local, "connection", None)
        if held is not None:
            held.close()
        self.local.connection = None


def read_retry_after(response: http.client.HTTPResponse) -> float:
    """Return the seconds that the service asks us to wait; only as a number, and an hour at most."""
    text = response.headers.get("Retry-After", "").strip()
    return min(3600.0, float(text)) if text.isascii() and text.isdigit() else 0.0


class Outbox:
    """A directory of reports. A file's modification time is the time before which it is not to be tried again."""

    def __init__(self, path: Path) -> None:
        self.path, self.refused = path, path / "refused"
        self.refused.mkdir(exist_ok=True)
        self.failures: dict[str, int] = {}

    def due(self) -> list[Path]:
        """Return reports whose time has come, the oldest first."""
        now = time.time()
        found: list[str] = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name.endswith(".json") and not entry.name.startswith("."):
                    try:
                        if entry.stat().st_mtime <= now:
                            found.append(entry.name)
                    except FileNotFoundError:
                        continue
        return [self.path / name for name in sorted(found)[:AT_ONCE]]

    def done(self, report: Path) -> None:
        """Forget a report that has arrived."""
        report.unlink(missing_ok=True)
        self.failures.pop(report.name, None)

    def postpone(self, report: Path, at_least: float) -> None:
        """Try a report again later."""
        failures = self.failures[report.name] = self.failures.get(report.name, 0) + 1
        due = time.time() + max(at_least, pause_after(failures))
        os.utime(report, (due, due))

    def lay_aside(self, report: Path) -> None:
        """Put a report where nobody tries it again, for somebody to look at; move it back to send it anew."""
        self.failures.pop(report.name, None)
        if len(os.listdir(self.refused)) >= KEEP_REFUSED:
            report.unlink(missing_ok=True)
        else:
            report.replace(self.refused / report.name)


class Delivery:
    """The loop: look into the outbox, send what is due on several connections, pause when the service is away."""

    def __init__(self, outbox: Outbox, sender: Sender, connections: int) -> None:
        self.outbox, self.sender, self.connections = outbox, sender, connections
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.room = threading.Semaphore(connections)
        self.under_way: set[str] = set()
        self.failures = 0  # in a row, of the service as a whole
        self.resume_at = 0.0

    def run(self) -> None:
        """Work until told to stop; what is under way is finished."""
        ready: deque[Path] = deque()
        with ThreadPoolExecutor(self.connections) as pool:
            while not self.stopping.is_set():
                wait = self.resume_at - time.monotonic()
                if wait > 0:
                    ready.clear()
                    self.stopping.wait(wait)
                elif self.failures and self.under_way:
                    self.stopping.wait(LOOK_EVERY)  # one report finds out whether the service is back
                elif ready:
                    self.room.acquire()
                    report = ready.popleft()
                    self.under_way.add(report.name)
                    pool.submit(self.deliver, report)
                else:
                    ready.extend(report for report in self.outbox.due() if report.name not in self.under_way)
                    if not ready:
                        self.stopping.wait(LOOK_EVERY)

    def deliver(self, report: Path) -> None:
        """Send one report and act on the answer; nothing about one report may end the loop."""
        try:
            # Others may have found meanwhile that the service is away.
            if not self.stopping.is_set() and time.monotonic() >= self.resume_at:
                self.try_once(report)
        except Exception:
            logger.exception("%s: unexpected trouble; tried again later", report.name)
            with contextlib.suppress(OSError):
                self.outbox.postpone(report, LONGEST_PAUSE)
        finally:
            self.under_way.discard(report.name)
            self.room.release()

    def try_once(self, report: Path) -> None:
        """Send one report and act on the answer."""
        try:
            body = report.read_bytes()
        except FileNotFoundError:
            return  # somebody took it out
        try:
            message_id = str(json.loads(body)["event_id"])
            if not message_id.isascii() or not message_id.isprintable():
                raise ValueError("the event_id does not fit into a header")
        except (ValueError, KeyError, TypeError) as error:
            logger.error("%s is no report and is laid aside: %r", report.name, error)
            self.outbox.lay_aside(report)
            return
        answer = self.sender.post(message_id, body)
        if answer.verdict == BUSY:
            self.pause(answer)
            return
        self.back()
        if answer.verdict == SENT:
            self.outbox.done(report)
        elif answer.verdict == AGAIN:
            logger.warning("%s: tried again later: %s", message_id, answer.said)
            self.outbox.postpone(report, answer.retry_after)
        else:
            logger.error("%s is refused and laid aside as %s: %s", message_id, report.name, answer.said)
            self.outbox.lay_aside(report)

    def pause(self, answer: Answer) -> None:
        """Leave the service alone for a while; failures that were under way at the same time count once."""
        with self.lock:
            if time.monotonic() < self.resume_at:
                return
            self.failures += 1
            wait = max(answer.retry_after, pause_after(self.failures))
            self.resume_at = time.monotonic() + wait
        logger.warning("phonegoggles does not take reports; next try in %.1f s: %s", wait, answer.said)

    def back(self) -> None:
        """The service answers."""
        with self.lock:
            if self.failures:
                logger.warning("phonegoggles takes reports again")
            self.failures = 0


def from_environment() -> Delivery:
    """Return what the environment asks for; raise ValueError or OSError with what is wrong."""
    url = os.environ.get("PHONEGOGGLES_URL", "")
    if not url:
        raise ValueError("PHONEGOGGLES_URL is not set")
    file, secret = os.environ.get("PHONEGOGGLES_SECRET_FILE"), os.environ.get("PHONEGOGGLES_SECRET", "")
    if file:
        secret = Path(file).read_text(encoding="utf-8")
    if not secret.strip():
        raise ValueError("neither PHONEGOGGLES_SECRET_FILE nor PHONEGOGGLES_SECRET gives a secret")
    connections = int(os.environ.get("PHONEGOGGLES_CONNECTIONS") or 8)
    timeout = float(os.environ.get("PHONEGOGGLES_TIMEOUT") or 10)
    if connections < 1 or timeout <= 0:
        raise ValueError("PHONEGOGGLES_CONNECTIONS and PHONEGOGGLES_TIMEOUT must be above zero")
    outbox = Outbox(Path(os.environ.get("PHONEGOGGLES_OUTBOX") or "/var/spool/phonegoggles"))
    return Delivery(outbox, Sender(url, read_secret(secret), timeout), connections)


def main() -> int:
    """Run until a signal comes."""
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    try:
        delivery = from_environment()
        lock = (delivery.outbox.path / ".lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.error("another deliver.py works on this outbox")
        return 1
    except (ValueError, OSError) as error:
        logger.error("%s", error)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: delivery.stopping.set())
    logger.info("%s -> %s", delivery.outbox.path, delivery.sender.url.geturl())
    delivery.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
