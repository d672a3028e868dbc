"""deploy/kamailio by itself: what becomes of reports when something around Kamailio is not as it should be."""

import contextlib
import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.journey import play
from tests.journeys.kinds import KINDS
from tests.journeys.telephony import (
    Load,
    Telephones,
    Tuning,
    find_programs,
    kamailio_command,
    running_kamailio,
    wait_for,
    workplace,
)

pytestmark = [
    pytest.mark.telephony,
    pytest.mark.skipif(find_programs() is None, reason="needs Kamailio with its modules, and SIPp"),
]
COMPLETED = KINDS[0]


def reports_in(outbox: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(outbox.glob("[!.]*.json"))]


def test_reports_wait_in_memory_while_the_outbox_is_away_and_none_is_lost_when_it_is_back() -> None:
    calls = 60  # more reports than Kamailio's own loops take, which is 100
    with workplace(KINDS, Tuning()) as directory, running_kamailio(directory) as kamailio:
        away = kamailio.outbox.rename(directory / "away")
        (row,) = play([Load(COMPLETED, calls=calls, rate=40, pause=100)], kamailio)
        assert row.wrong == []
        assert reports_in(away) == []
        wait_for("Kamailio complains", lambda: "reports stay in memory" in kamailio.said())
        away.rename(kamailio.outbox)
        wait_for("all reports are there", lambda: kamailio.waiting() >= calls * len(COMPLETED.events))
        reports = reports_in(kamailio.outbox)
    words = Counter(report["event_type"] for report in reports)
    assert words == dict.fromkeys(["call_initiated", "call_ringing", "call_answered", "call_ended"], calls)
    assert len({report["event_id"] for report in reports}) == len(reports)


def test_a_call_that_outlives_a_crash_of_kamailio_still_has_its_end() -> None:
    with workplace(KINDS, Tuning()) as directory, contextlib.ExitStack() as stack:
        with running_kamailio(directory) as kamailio:
            telephones = Telephones(Load(COMPLETED, calls=1, rate=1, pause=4000), directory, kamailio.address)
            caller = stack.enter_context(telephones.run())
            wait_for("the call is answered", lambda: kamailio.waiting() == 3)
            os.killpg(kamailio.kamailio.pid, signal.SIGKILL)
        with running_kamailio(directory) as kamailio:
            wait_for("the call is over", lambda: caller.poll() is not None)
            wait_for("its end is reported", lambda: kamailio.waiting() == 4)
            reports = reports_in(kamailio.outbox)
        assert caller.returncode == 0, telephones.errors()
    assert [report["event_type"] for report in reports][2:] == ["call_answered", "call_ended"]
    assert len({report["sip_call_id"] for report in reports}) == 1


def test_kamailio_does_not_start_without_an_outbox() -> None:
    with workplace(KINDS, Tuning()) as directory:
        environ = {**os.environ, "PHONEGOGGLES_OUTBOX": "/nowhere"}
        done = subprocess.run(
            kamailio_command(directory), env=environ, capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode != 0
    assert "PHONEGOGGLES_OUTBOX: /nowhere is no directory" in done.stderr


def test_the_example_of_a_site_is_a_valid_configuration(tmp_path: Path) -> None:
    with workplace(KINDS, Tuning()) as directory:
        collector = directory / "collector.py"
        example = (Path(__file__).parents[2] / "deploy" / "kamailio" / "site.cfg").read_text()
        # Its addresses are nobody's here.
        example = example.replace("/etc/kamailio/collector.py", str(collector)).replace("10.0.0.5", "127.0.0.1")
        (directory / "site.cfg").write_text(example)
        environ = {**os.environ, "PHONEGOGGLES_OUTBOX": str(tmp_path)}
        done = subprocess.run(
            [*kamailio_command(directory), "-c"], env=environ, capture_output=True, text=True, check=False, timeout=60
        )
    assert "config file ok" in done.stderr, done.stderr
    assert done.returncode == 0
