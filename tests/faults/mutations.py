"""Deliberate faults in the code: each breaks one rule, and some test must notice.

A fault is a text that occurs exactly once in a file, and what stands there instead. Several alternatives may be
given, of which exactly one must fit; `test_mutations.py` says so when the code has moved on.
"""

from dataclasses import dataclass
from pathlib import Path

STATE, EVENTS, WORDS = "calls/domain/state.py", "calls/domain/events.py", "calls/domain/vocabulary.py"
RECORD, STATEMENTS = "calls/operations/record.py", "calls/operations/statements.py"
# The table of sequences first: it is quick, and says more than an example that was made up.
PROPERTIES = ("tests/domain/test_state.py", "tests/domain/test_state_properties.py")
WRITING = ("tests/operations/test_record.py",)
TOGETHER = ("tests/operations/test_record_concurrently.py",)

_ACK_FIRST = """
    if dry_run:
        return _persistently(attempt)
    judged = _persistently(lambda: _judge(events))

    def later() -> None:
        _persistently(attempt)
        connection.close()

    from threading import Timer

    Timer(0.3, later).start()
    return judged


def _judge(events: Sequence[Event]) -> list[Outcome]:
    with transaction.atomic():
        outcomes = _record(events)
        transaction.set_rollback(True)
    return outcomes
"""


@dataclass(frozen=True)
class Mutation:
    """One deliberate fault: where, what instead of what, and the tests that are tried first.

    An alternative may name a file of its own.
    """

    file: str
    edits: tuple[tuple[str, str] | tuple[str, str, str], ...]
    tests: tuple[str, ...]
    postgresql: bool = False

    def apply(self, root: Path) -> tuple[str, str]:
        """Return a file and its text with the fault; raise ValueError when not exactly one alternative fits once."""
        fitting = []
        for old, new, *where in self.edits:
            file = where[0] if where else self.file
            text = (root / file).read_text(encoding="utf-8")
            if text.count(old) == 1:
                fitting.append((file, text.replace(old, new)))
        if len(fitting) != 1:
            raise ValueError(f"{self.file}: {len(fitting)} of {len(self.edits)} alternatives fit")
        return fitting[0]


def _one(file: str, old: str, new: str, tests: tuple[str, ...], *, postgresql: bool = False) -> Mutation:
    return Mutation(file, ((old, new),), tests, postgresql)


MUTATIONS: dict[str, Mutation] = {
    "arrival order instead of event order": _one(
        STATE, "for event in sorted(events, key=lambda event: event.key):", "for event in events:", PROPERTIES
    ),
    "a late event is applied on top": Mutation(
        RECORD,
        (
            ("elif new and states[call].comes_before(new[0]):", "elif new:"),
            ("if not state.comes_before(facts[0]):", "if False:"),
        ),
        WRITING,
    ),
    "acknowledged before the commit": Mutation(
        RECORD,
        (
            ("\n    return _persistently(attempt)\n\n\ndef decide(", f"{_ACK_FIRST}\n\ndef decide("),
            ("\n    return _persistently(attempt, races=len(events))\n", _ACK_FIRST),
        ),
        ("tests/faults/test_faults.py::test_the_promise_is_kept[kill_workers]",),
        postgresql=True,
    ),
    "the database answers before its log is on disk": _one(
        "phonegoggles/settings.py",
        '    _database["CONN_HEALTH_CHECKS"] = True\n',
        '    _database["CONN_HEALTH_CHECKS"] = True\n'
        '    _database.setdefault("OPTIONS", {})["options"] = "-c synchronous_commit=off"\n',
        ("tests/faults/test_faults.py::test_the_promise_is_kept[kill_postgresql]",),
        postgresql=True,
    ),
    "a silent connection is waited for, however long": _one(
        "phonegoggles/settings.py",
        '_silence = env.number("DATABASE_SILENCE_SECONDS", 20)',
        "_silence = 0",
        ("tests/faults/test_faults.py::test_the_promise_is_kept[dead_network]",),
        postgresql=True,
    ),
    "last write wins": _one(
        STATEMENTS,
        "ON CONFLICT (source, event_id) DO NOTHING",
        "ON CONFLICT (source, event_id) DO UPDATE SET type = excluded.type, occurred_at = excluded.occurred_at",
        WRITING,
    ),
    "a known event counts again": _one(
        RECORD, "for event in group if (event.source, event.event_id) in added", "for event in group", WRITING
    ),
    "a conflict is taken for a duplicate": Mutation(
        RECORD,
        (
            ("elif event.same_fact(stored.get(key, firsts[key])):", "elif True:"),
            ("elif not event.same_fact(stored.get(key, firsts[key])):", "elif False:"),
            (
                "elif not (event.same_fact(known := stored.get(key, firsts[key])) or repeats_erased(event, known)):",
                "elif False:",
            ),
        ),
        WRITING,
    ),
    "metadata is part of what makes events the same": _one(
        EVENTS,
        "and self.called_number == other.called_number",
        "and self.called_number == other.called_number\n            and self.metadata == other.metadata",
        WRITING,
    ),
    "numbers are no part of what makes events the same": _one(
        EVENTS, "            and self.calling_number == other.calling_number\n", "", WRITING
    ),
    "the order of equal times is the order of ids": _one(
        EVENTS,
        "return (self.occurred_at, RANKS[self.type], self.event_id, self.source)",
        "return (self.occurred_at, 0, self.event_id, self.source)",
        PROPERTIES,
    ),
    "a late ringing reopens a call": _one(
        STATE,
        "        state.ringing_at = at\n",
        "        state.ringing_at = at\n        state.ended_at = state.ended_by = None\n",
        PROPERTIES,
    ),
    "an answer after the end is dropped": _one(
        STATE,
        "first_answer = kind is _ANSWERED and state.answered_at is None",
        "first_answer = kind is _ANSWERED and state.answered_at is None and not state.ended",
        PROPERTIES,
    ),
    "the last end's cause wins": _one(
        STATE, "state.cause = state.cause or event.cause", "state.cause = event.cause or state.cause", PROPERTIES
    ),
    "duration counts from the answer": _one(
        STATE,
        "return whole_seconds(self.ended_at - self.started_at)",
        "return whole_seconds(self.ended_at - self.answered_at)",
        PROPERTIES,
    ),
    "seconds are rounded up": Mutation(
        STATE,
        (("+ length.seconds if", "+ length.seconds + (length.microseconds > 0) if"),),
        PROPERTIES,
    ),
    "a hold before the answer counts": _one(
        STATE, "at - max(state.held_since, state.answered_at)", "at - state.held_since", PROPERTIES
    ),
    "an assumed end stays, whatever comes later": _one(
        STATE, "    if state.inferred_end:\n        # Whatever", "    if False:\n        # Whatever", PROPERTIES
    ),
    "the lock on calls is dropped": Mutation(
        RECORD,
        ((".select_for_update()", ""), (" ORDER BY id FOR NO KEY UPDATE", "", STATEMENTS)),
        TOGETHER,
        postgresql=True,
    ),
    "a time without an offset is local": _one(
        "calls/domain/instants.py",
        "        return UTC\n",
        "        return timezone(timedelta(hours=1))\n",
        ("tests/domain/test_instants.py",),
    ),
    "SIP's cause beats that of Q.850": _one(
        WORDS, 'for kind in ("q850", "sip"):', 'for kind in ("sip", "q850"):', ("tests/domain/test_vocabulary.py",)
    ),
    "an inbound call that was cancelled is not missed": _one(
        WORDS,
        "if status is CallStatus.CANCELLED and direction is Direction.INBOUND:",
        "if False:",
        ("tests/domain/test_vocabulary.py",),
    ),
    "a dry run stores": _one(RECORD, "transaction.set_rollback(True)", "pass", WRITING),
}
