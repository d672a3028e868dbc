"""SIPp calls through Kamailio with deploy/kamailio's configuration into the running service: one call of each kind.

The long runs are `python3 dev.py journey`.
"""

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings

from calls.models import CallEvent
from calls.operations.webhooks import add_source
from tests.journeys.journey import Service, compare, expected_events, play, wait_for_delivery
from tests.journeys.kinds import KINDS
from tests.journeys.telephony import Load, Tuning, exchange, find_programs
from tests.journeys.test_first_specification import key_of
from tests.server import production_server

pytestmark = [
    pytest.mark.telephony,
    pytest.mark.postgresql,  # the databases give the same answers, and other tests show it
    pytest.mark.skipif(find_programs() is None, reason="needs Kamailio with its modules, and SIPp"),
    pytest.mark.usefixtures("groups"),
]


def test_a_call_of_each_kind_is_told_of_as_sipp_played_it() -> None:
    key, (_, secret) = key_of("Analysts"), add_source("kamailio")
    begin = datetime.now(UTC) - timedelta(seconds=1)
    loads = [Load(kind, calls=1, rate=1, pause=300) for kind in KINDS]
    with (
        production_server(SECRET_KEY=settings.SECRET_KEY) as address,
        exchange(f"{address}/api/webhooks/sip/", secret, KINDS, Tuning()) as kamailio,
    ):
        rows = play(loads, kamailio)
        wait_for_delivery(rows, kamailio, CallEvent.objects.count)
        wrong = compare(rows, Service(address, key), begin)
        wrong += [f"refused: {report}" for report in kamailio.refused()]
        wrong += [line for row in rows for line in row.wrong]
        said = kamailio.said()
    if wrong:
        pytest.fail("\n".join([*wrong, said]))
    assert [row.truth.made for row in rows] == [1] * len(KINDS)
    assert [(row.in_history, row.in_logs, row.lost, row.duplicated) for row in rows] == [(1, 1, 0, 0)] * len(KINDS)
    assert CallEvent.objects.count() == expected_events(rows)
