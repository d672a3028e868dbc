"""`manage.py reap_calls`."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from calls.models import Call
from calls.operations.record import record
from tests.build import build_event

pytestmark = pytest.mark.django_db


def reap(*options: str) -> str:
    out = StringIO()
    call_command("reap_calls", *options, stdout=out)
    return out.getvalue()


def test_silent_calls_are_ended_and_counted_and_a_dry_run_names_them() -> None:
    now = timezone.now()
    for call, age in (("old", 2), ("young", 0.5)):
        heard = now - timedelta(hours=age)
        record([build_event(call_id=call, occurred_at=heard)])
    told = reap("--dry-run")
    assert told.startswith("old (")
    assert "): initiated, last heard of " in told
    assert told.endswith("1 calls would be ended: 1 initiated.\n")
    assert not Call.objects.exclude(ended_at=None).exists()
    assert reap() == "1 calls ended: 1 initiated.\n"
    assert Call.objects.exclude(ended_at=None).get().external_id == "old"
    assert reap() == "0 calls ended.\n"
