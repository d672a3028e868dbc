"""Live changes: a part of `python3 dev.py bench`, and more of it by itself: `python -m benchmarks.live`.

1. Two socket processes with 500 sockets: does each change reach all of them once, and how long after it was reported?
2. Ingest with nobody listening, and with 500 sockets that follow one number each, at one socket process, as `manage.py
   serve` runs it (`--processes` for more). By itself also with the socket processes frozen (SIGSTOP), and killed.
"""

import argparse
import asyncio
import signal
import statistics
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.figures import Figure, in_turns
from benchmarks.lab import Lab, Server, cpu_seconds, laboratory
from benchmarks.listeners import Arrivals, arrivals, ears, make_reader, socket_servers

CONNECTIONS = 32
# Changes a second, when what matters is that they arrive.
RATE = 20.0


def measure(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Figure 12, and whether what is reported arrives once."""
    cost = Figure("12", f"single events with {lab.sockets} sockets, each to one number ÷ with none", 0.9, True)
    wrong = Figure("12b", f"live messages lost, repeated or out of order, {lab.sockets} sockets", 0, False)
    here = lab.another("live")
    reader = make_reader(here)
    with here.server() as server:
        tell(f"{lab.sockets * 2:,} changes to {lab.sockets} sockets")
        found = _arrivals(here, server, reader, lab.sockets, lab.sockets * 2, RATE)
        wrong.take(float(found.wrong), messages=len(found.delays), p50=found.delay(0.5), p99=found.delay(0.99))
        server.load(connections=CONNECTIONS, seconds=min(1, lab.seconds))

        def heard() -> dict[str, Any]:
            with socket_servers(here) as servers, ears(here, list(servers), reader=reader, sockets=lab.sockets) as ear:
                pids = {"sockets": [process.pid for process in servers.values()], "ears": [ear.pid]}
                before = {name: sum(map(cpu_seconds, those)) for name, those in pids.items()}
                seen = server.load(connections=CONNECTIONS)
                used = {name: sum(map(cpu_seconds, those)) - before[name] for name, those in pids.items()}
            return seen | {name: seconds / max(1, seen["count"]) * 1e6 for name, seconds in used.items()}

        sides = {"nobody listens": lambda: server.load(connections=CONNECTIONS), "listeners": heard}
        for got in in_turns(lab.rounds, sides, tell):
            alone, together = got["nobody listens"], got["listeners"]
            costs = {
                "CPU alone": alone["app"] + alone["database"],
                "listened to": together["app"] + together["database"],
                "of the socket process": together["sockets"],
                "of the listeners": together["ears"],
            }
            cost.take(together["rate"] / alone["rate"], listened=together["rate"], alone=alone["rate"], **costs)
    return [cost, wrong]


def _arrivals(lab: Lab, server: Server, reader: str, sockets: int, changes: int, rate: float) -> Arrivals:
    with socket_servers(lab, 2) as servers:
        listening = arrivals(
            server.port, list(servers), writer=lab.key, reader=reader, sockets=sockets, changes=changes, rate=rate
        )
        return asyncio.run(listening)


# -- By itself --------------------------------------------------------------------------------------


def costs(lab: Lab, server: Server, reader: str, options: argparse.Namespace) -> None:
    """Measure ingest in each situation, in interleaved rounds, and print the ratios."""
    rates: dict[str, list[float]] = {"nobody listens": [], "listeners": [], "frozen": [], "killed": []}

    def load(situation: str) -> None:
        rates[situation].append(server.load(connections=options.connections)["rate"])

    server.load(connections=options.connections, seconds=1)  # to warm up
    for turn in range(options.rounds):
        print(f"  round {turn + 1} of {options.rounds}", file=sys.stderr)
        load("nobody listens")
        with (
            socket_servers(lab, options.processes) as servers,
            ears(lab, list(servers), reader=reader, sockets=options.sockets),
        ):
            load("listeners")
            for process in servers.values():
                process.send_signal(signal.SIGSTOP)
            load("frozen")
            for process in servers.values():
                process.kill()
            load("killed")
    base = statistics.median(rates["nobody listens"])
    print(f"Ingest over {options.connections} connections, each figure the median of {options.rounds} rounds")
    for situation, found in rates.items():
        rate = statistics.median(found)
        print(f"  {situation:16} {rate:8,.0f} events/s   ÷ nobody listening {rate / base:.2f}")


def main() -> int:
    """Run both measurements on a durable cluster of their own; fail if anything was lost or repeated."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sockets", type=int, default=500)
    parser.add_argument("--processes", type=int, default=1, help="for sockets, while ingest is measured")
    parser.add_argument("--changes", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=RATE, help="changes a second (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement of ingest")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with laboratory(seconds=options.seconds, rounds=options.rounds) as lab, lab.server() as server:
        reader = make_reader(lab)
        found = _arrivals(lab, server, reader, options.sockets, options.changes, options.rate)
        print(f"{found.changes:,} changes in {found.seconds:.1f} s, {found.sockets} sockets")
        print(f"  messages   {len(found.delays):,} of {found.changes * found.sockets:,}")
        print(f"  lost {found.lost}, repeated {found.repeated}, out of order {found.out_of_order}")
        p50, p99, most = (found.delay(part) for part in (0.5, 0.99, 1.0))
        print(f"  from the report to the listener: p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {most:.0f} ms")
        if options.rounds:
            costs(lab, server, reader, options)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
