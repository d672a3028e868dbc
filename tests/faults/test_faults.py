"""The quick fault tests: a few seconds each; `python3 dev.py soak` lets them last longer, and has slower ones."""

from collections.abc import Iterator

import pytest
from django.db import connection

from tests.faults import databases, servers, storms, upgrades  # noqa: F401 - they enter their faults into the list
from tests.faults.run import FAULTS, SLOW, LeftOut, Place, place
from tests.faults.traffic import Ledger, Traffic

SECONDS = 2.0
SQLITE = {name for name in FAULTS if "sqlite" in name}


@pytest.fixture(scope="module")
def here() -> Iterator[Place]:
    """Where faults happen: one cluster for all of them."""
    with place(seconds=SECONDS) as made:
        yield made


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in SLOW])
def test_the_promise_is_kept(name: str, here: Place) -> None:
    # The tests run on both databases; a fault brings its own, so it is tried in one of these runs only.
    if (connection.vendor == "sqlite") != (name in SQLITE):
        pytest.skip("tried in the run on the other database")
    try:
        verdict = FAULTS[name](here)
    except LeftOut as reason:
        pytest.skip(f"NOT TRIED: {reason}")
    print(verdict, verdict.notes)
    assert verdict.good, (str(verdict), verdict.lost[:5], verdict.duplicated[:5], verdict.wrong[:5])


def test_senders_that_reach_nobody_are_no_success() -> None:
    senders = Traffic(["http://127.0.0.1:9"], writer="", reader="")
    event = next(iter(senders._next().events))  # type: ignore[union-attr]
    assert event.event_id in senders.ledger.sent
    assert not senders.ledger.answer(senders._next(), 503, {})  # type: ignore[arg-type]
    assert senders.ledger.acked == set()
    assert Ledger().refused == {}
