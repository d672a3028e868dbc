"""Clients and their numbers; whoever gets a number gets its calls, also the earlier ones."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from calls.domain.state import CallState
from calls.models import Call, Client, ClientNumber
from calls.models.calls import STATE_FIELDS, state_from_row
from calls.operations.annotate import tell_of_changes

# How many calls are matched in one statement.
STRETCH = 1_000
# How long after its end a call's new client is still news for live listeners.
RECENT = timedelta(days=1)


class NumberTaken(Exception):
    """A number belongs to another client."""

    def __init__(self, numbers: Sequence[str]) -> None:
        self.numbers = list(numbers)
        super().__init__(", ".join(numbers))


def set_numbers(client: Client, numbers: Iterable[str], *, at: datetime) -> None:
    """Give a client exactly these numbers, and match the calls of those that come and go; raise NumberTaken."""
    wanted = set(numbers)
    with transaction.atomic():
        Client.objects.select_for_update().get(pk=client.pk)
        present = set(client.numbers.values_list("number", flat=True))
        taken = ClientNumber.objects.filter(number__in=wanted).exclude(client=client)
        if names := list(taken.values_list("number", flat=True)):
            raise NumberTaken(sorted(names))
        client.numbers.filter(number__in=present - wanted).delete()
        try:
            with transaction.atomic():
                ClientNumber.objects.bulk_create(
                    ClientNumber(client=client, number=number) for number in sorted(wanted - present)
                )
        except IntegrityError:
            raise NumberTaken(sorted(wanted - present)) from None
        match_calls(present ^ wanted, at=at)


def delete_client(client: Client, *, at: datetime) -> None:
    """Delete a client; calls that another client's number claims too become that client's."""
    with transaction.atomic():
        numbers = list(client.numbers.values_list("number", flat=True))
        calls = Call.objects.filter(client=client)
        recent = list(calls.filter(_of_interest(at)).values_list("pk", flat=True))
        calls.update(client=None, updated_at=at)
        tell_of_changes(recent, at=at)
        client.delete()
        match_calls(numbers, at=at)


def match_calls(numbers: Iterable[str], *, at: datetime) -> int:
    """Set the client of all calls of these numbers, by exact number, and return how many have changed."""
    changed = 0
    for number in sorted(numbers):
        calls = Call.objects.filter(Q(calling_number=number) | Q(called_number=number)).order_by("pk")
        last: UUID | None = None
        while True:
            page = calls.filter(pk__gt=last) if last else calls
            rows = list(page.values_list("pk", "client_id", *STATE_FIELDS)[:STRETCH])
            changed += _match([(pk, client, state_from_row(list(row))) for pk, client, *row in rows], at)
            if len(rows) < STRETCH:
                break
            last = rows[-1][0]
    return changed


def _match(calls: list[tuple[UUID, int | None, CallState]], at: datetime) -> int:
    """Set the client of some calls; the first of a call's remote numbers that somebody has decides."""
    remote = {number for _, _, state in calls for number in state.remote_numbers}
    owners = dict(ClientNumber.objects.filter(number__in=remote).values_list("number", "client_id"))
    moved: dict[int | None, list[UUID]] = defaultdict(list)
    for call, client, state in calls:
        owner = next((owners[number] for number in state.remote_numbers if number in owners), None)
        if owner != client:
            moved[owner].append(call)
    changed = sum(Call.objects.filter(pk__in=ids).update(client=owner, updated_at=at) for owner, ids in moved.items())
    touched = Call.objects.filter(_of_interest(at), pk__in=[call for ids in moved.values() for call in ids])
    tell_of_changes(list(touched.order_by("pk").values_list("pk", flat=True)), at=at)
    return changed


def _of_interest(at: datetime) -> Q:
    """Return the condition that somebody may be watching a call; years of earlier ones are not told one by one."""
    return Q(ended_at=None) | Q(ended_at__gte=at - RECENT)
