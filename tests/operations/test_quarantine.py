"""The quarantine's bounds: nobody fills the disk with it, and a flood pushes out nothing that waits."""

from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from calls.models import QuarantineShare, RefusedReport
from calls.operations.quarantine import Refusal, dismiss, keep
from calls.queries.quarantine import dropped, open_count
from tests.build import at
from tests.operations.test_record_concurrently import at_once

pytestmark = pytest.mark.django_db


def refusal(number: int, *, size: int = 10) -> Refusal:
    return Refusal(body=f"{number:{size}}".encode(), status=400, code="invalid", detail="")


def refuse(*numbers: int, sender: str = "user 1", moment: datetime | None = None, size: int = 10) -> int:
    refusals = [refusal(number, size=size) for number in numbers]
    return keep(refusals, door="sip", sender=sender, sender_name="PBX", at=moment or at(0))


def numbers(sender: str = "user 1") -> list[int]:
    rows = RefusedReport.objects.filter(sender=sender).order_by("id")
    return [int(bytes(row.body)) for row in rows]


def test_when_rows_are_full_the_newcomers_are_dropped_and_counted(settings: Any) -> None:
    settings.QUARANTINE_ROWS = 3
    assert refuse(1, 2) == 2
    assert refuse(3, 4, 5, moment=at(60)) == 1
    assert numbers() == [1, 2, 3]
    [told] = dropped()
    assert (told.sender, told.count, told.last_at) == ("user 1", 2, at(60))
    # What is known is only counted, and needs no room.
    assert refuse(1, 1) == 0
    assert RefusedReport.objects.get(times=3).times == 3
    assert QuarantineShare.objects.get().dropped == 2


def test_bytes_are_bounded_too(settings: Any) -> None:
    settings.QUARANTINE_BYTES = 250
    assert refuse(1, 2, 3, size=100) == 2
    assert refuse(4, size=20) == 1
    assert sum(RefusedReport.objects.values_list("kept_bytes", flat=True)) == 220


def test_one_sender_takes_nothing_from_another(settings: Any) -> None:
    settings.QUARANTINE_ROWS = 2
    refuse(*range(100))
    assert refuse(7, sender="user 2") == 1
    assert numbers("user 2") == [7]


def test_what_was_handled_makes_room_the_oldest_first(settings: Any) -> None:
    settings.QUARANTINE_ROWS = 4
    operator = User.objects.create_user("ada").pk
    refuse(1, 2, 3, 4)
    for number, moment in ((2, 50), (4, 40), (1, 60)):
        row = RefusedReport.objects.get(id=RefusedReport.objects.order_by("id")[number - 1].pk)
        dismiss(row, user_id=operator, at=at(moment))
    assert refuse(5, 6) == 2
    assert numbers() == [1, 3, 5, 6]
    assert refuse(7, 8) == 1
    assert numbers() == [3, 5, 6, 7]


def test_a_batch_of_many_members_is_kept_as_far_as_there_is_room(settings: Any) -> None:
    settings.QUARANTINE_ROWS = 1_200
    assert refuse(*range(3_000)) == 1_200
    assert refuse(*range(3_000)) == 0
    assert RefusedReport.objects.filter(times=2).count() == 1_200


def test_a_very_long_refusal_is_cut_everywhere() -> None:
    errors = {f"field {number}" * 50: ["wrong " * 1_000] for number in range(1_000)}
    one = Refusal(body=b"x" * 10_000_000, status=400, code="c" * 999, detail="d" * 99_999, errors=errors)
    keep([one], door="sip", sender="user 1", sender_name="n" * 999, at=at(0))
    row = RefusedReport.objects.get()
    assert (row.size, row.is_cut, len(bytes(row.body))) == (10_000_000, True, 64 * 1024)
    assert row.kept_bytes < 72 * 1024


def test_open_ones_are_counted() -> None:
    refuse(1, 2, 3)
    dismiss(RefusedReport.objects.first(), user_id=User.objects.create_user("ada").pk, at=at(1))  # type: ignore[arg-type]
    assert open_count() == 2


def test_what_was_last_sent_long_ago_is_purged() -> None:
    now = timezone.now()
    refuse(1, 2, moment=now - timedelta(days=31))
    refuse(2, 3, moment=now - timedelta(days=29))
    out = StringIO()
    call_command("purge_quarantine", stdout=out)
    assert out.getvalue() == "1 refused reports removed.\n"
    assert numbers() == [2, 3]
    call_command("purge_quarantine", "--older-than", "4w", stdout=out)
    assert numbers() == []
    with pytest.raises(CommandError):
        call_command("purge_quarantine", "--older-than", "soon", stdout=out)


@pytest.mark.django_db(transaction=True)
def test_many_refusals_at_once_keep_to_the_bounds_and_count_each_once(settings: Any) -> None:
    settings.QUARANTINE_ROWS = 20
    made = at_once([lambda number=number: refuse(number // 2) for number in range(80)], writers=8)  # type: ignore[misc]
    rows = RefusedReport.objects.values_list("times", flat=True)
    assert len(rows) == sum(made) == 20
    # Each was sent twice: it was kept and then counted, or dropped each time, or dropped once before there was room.
    assert sum(rows) + QuarantineShare.objects.get().dropped == 80
