"""An event in order for a call with a thousand events, against one for a call with three."""

from collections.abc import Callable
from typing import Any

from benchmarks.figures import Figure, in_turns
from benchmarks.lab import Lab

CONNECTIONS = 8


def measure(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Figure 13: what an event costs must not grow with its call."""
    figure = Figure("13", "time of an event for a call of 1,000 events ÷ of 3", 1.2, False)
    with lab.server() as server:
        long = f"long-{lab.name()}"
        sent = [server.load(connections=CONNECTIONS, call=long, least=lab.long_call, seconds=0)["most"]]

        def go_on() -> dict[str, Any]:
            seen = server.load(connections=CONNECTIONS, call=long, first=sent[0])
            sent[0] += seen["most"]
            return seen

        sides = {"calls of 3": lambda: server.load(connections=CONNECTIONS), "long calls": go_on}
        for got in in_turns(lab.rounds, sides, tell):
            short, at_length = got["calls of 3"]["p50"], got["long calls"]["p50"]
            figure.take(at_length / short, long=at_length, short=short)
    return [figure]
