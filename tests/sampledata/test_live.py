"""Invented calls that happen now."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random

import pytest

from calls.domain.vocabulary import EventType, Source
from calls.models import Call, CallEvent
from calls.operations.record import record
from calls.sampledata import SAMPLE_OWN_NUMBERS, Sample
from calls.sampledata.live import endings, go_on, live_calls
from tests.server import ROOT, database_url

NOW = datetime(2024, 4, 1, 10, tzinfo=UTC)
SAMPLE = Sample(seed=3, until=NOW, calls=20, days=2, ongoing=4, numbers=12, own_numbers=(SAMPLE_OWN_NUMBERS,))


def test_live_events_come_in_the_order_in_which_they_happen_and_from_now_on():
    events = list(islice(live_calls(SAMPLE, at=NOW, calls_a_minute=6), 600))
    times = [event.occurred_at for event in events]
    assert times == sorted(times)
    assert times[0] >= NOW
    assert len({event.event_id for event in events}) == 600
    minutes = (times[-1] - NOW) / timedelta(minutes=1)
    begun = sum(event.type is EventType.INITIATED for event in events)
    assert 4 < begun / minutes < 8


def test_live_calls_ring_are_held_and_end():
    events = list(islice(live_calls(SAMPLE, at=NOW, calls_a_minute=60), 2_000))
    kinds = Counter(event.type for event in events)
    assert set(kinds) >= {EventType.RINGING, EventType.ANSWERED, EventType.HOLD, EventType.UNHOLD, EventType.ENDED}
    assert {event.source for event in events} == {Source.SIP, Source.PROCESS_EVENTS}


@pytest.mark.django_db
def test_live_calls_make_sense_to_the_rules():
    record(list(islice(live_calls(SAMPLE, at=NOW, calls_a_minute=60), 1_000)))
    assert Call.objects.exclude(anomalies=0).count() == 0
    assert Call.objects.filter(status="on_hold").count() < Call.objects.count() / 4


@pytest.mark.django_db
def test_the_calls_that_the_sample_left_in_progress_end_within_minutes():
    for batch in SAMPLE.batches():
        record(batch)
    assert Call.objects.filter(ended_at=None).count() == 4
    events = endings(at=NOW, rng=Random(1))
    assert all(NOW <= event.occurred_at <= NOW + timedelta(minutes=3) for event in events)
    record(events)
    assert Call.objects.filter(ended_at=None).count() == 0
    assert not endings(at=NOW, rng=Random(1))


@pytest.mark.django_db
def test_each_event_is_written_down_when_it_happens():
    counts = next(islice(go_on(SAMPLE, calls_a_minute=600), 9, None))
    assert counts.total() == CallEvent.objects.count() == 10
    for event in CallEvent.objects.all():
        assert timedelta() <= event.received_at - event.occurred_at < timedelta(seconds=5)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent there")
def test_ctrl_c_ends_it_well():
    settings = {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "create_test_data.py", "--calls", "5", "--days", "1", "--live", "600"]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        assert child.stdout
        for line in child.stdout:
            if line.startswith("Live"):
                break
        child.send_signal(signal.SIGINT)
        last = child.stdout.read()
    assert child.returncode == 0
    assert re.search(r"Stopped after \d+ live events?; calls in progress stay so\.", last)
    assert Call.objects.count() >= 5
