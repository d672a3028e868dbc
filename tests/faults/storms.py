"""Storms: concurrent, repeated, shuffled reports, in batches of several sizes, with group commit and without it."""

import time
from dataclasses import dataclass
from functools import partial

from tests.faults.installation import Verdict, judge, manage, serving, traffic
from tests.faults.run import Place, fault


@dataclass(frozen=True)
class Storm:
    """What is sent, and where to."""

    what: str
    sizes: tuple[int, ...] = (1, 1, 1, 2, 7)  # so many events in a request, each as likely as the next
    senders: int = 16
    grouped: bool = True
    sqlite: bool = False
    rolled: bool = False  # calls are added up by hours beside it
    slow: bool = False  # no part of the quick tests


STORMS = {
    "storm": Storm("single events and small batches", rolled=True),
    "storm_singles": Storm("single events only", sizes=(1,), senders=32, slow=True),
    # A shared commit takes up to 256 events; who brings more goes past it.
    "storm_batches": Storm("batches of 50, 200 and 300", sizes=(50, 200, 300)),
    "storm_large_batches": Storm("batches of 1,000 beside single events", sizes=(1, 1, 1000), slow=True),
    "storm_ungrouped": Storm("single events and small batches", grouped=False),
    "storm_ungrouped_batches": Storm("batches of 1, 50 and 300", sizes=(1, 50, 300), grouped=False, slow=True),
    "storm_sqlite": Storm("single events and small batches", sqlite=True, rolled=True),
    "storm_sqlite_batches": Storm("batches of 1, 50 and 300", sizes=(1, 50, 300), sqlite=True, slow=True),
    "storm_sqlite_ungrouped": Storm("single events and small batches", grouped=False, sqlite=True),
}


def run(storm: Storm, place: Place) -> Verdict:
    """Let a storm blow for as long as the place says; whatever GROUP_COMMIT is outside, it is as the storm says."""
    url, tokens = place.sqlite() if storm.sqlite else place.postgresql()
    with serving(url, GROUP_COMMIT=str(storm.grouped).lower()) as server:
        with traffic(server, tokens, senders=storm.senders, sizes=storm.sizes).flowing() as senders:
            end, times = time.monotonic() + place.seconds, 0
            while storm.rolled and time.monotonic() < end:
                manage(url, "roll_up_calls")
                times += 1
            senders.last(max(0.0, end - time.monotonic()))
        notes = [storm.what, f"group commit {'on' if storm.grouped else 'off'}"]
        notes += [f"calls added up by hours {times} times meanwhile"] if times else []
        return judge(url, senders.ledger, address=server.address, tokens=tokens, notes=notes)


for _name, _storm in STORMS.items():
    fault(name=_name, slow=_storm.slow)(partial(run, _storm))
