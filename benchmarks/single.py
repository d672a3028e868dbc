"""Single events over 32 connections, against PostgreSQL alone, the empty REST view and the usual Django design."""

from collections.abc import Callable

from benchmarks.figures import Figure, in_turns
from benchmarks.lab import Lab
from benchmarks.peers import pgbench

CONNECTIONS = 32


def measure(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Figures 1 to 4."""
    limit = Figure("1", "single events ÷ one-CTE limit of PostgreSQL", 0.5, True)
    empty = Figure("2", "single events ÷ empty REST view", 1.5, True)
    view = Figure("2b", "the REST view alone ÷ empty REST view", 0.55, True)
    cpu = Figure("3", "CPU an event ÷ usual Django design", 1 / 40, False, note="CPU is known on Linux only")
    p99 = Figure("4", "p99 ÷ empty REST view's p99", 0.5, False)
    pgbench.make_tables(lab.url)
    # What all is compared with is served by a plain WSGI server; on ours, an empty view is told beside it.
    with lab.server() as server, lab.server(INGEST_SHORTCUT="false") as long_way, lab.server(wsgi=True) as plain:
        for warm in (server, long_way, plain):
            warm.load(seconds=min(1, lab.seconds))
        sides = {
            "PostgreSQL alone": lambda: pgbench.events_per_second(lab.url, seconds=lab.seconds, clients=CONNECTIONS),
            "empty view": lambda: plain.load(path="/peers/empty/", connections=CONNECTIONS),
            "events": lambda: server.load(connections=CONNECTIONS),
            "empty view here": lambda: server.load(path="/peers/empty/", connections=CONNECTIONS),
            "events by the view": lambda: long_way.load(connections=CONNECTIONS),
            "usual design": lambda: plain.load(path="/peers/usual/", connections=CONNECTIONS),
        }
        for got in in_turns(lab.rounds, sides, tell):
            ours, base, usual = got["events"], got["empty view"], got["usual design"]
            here = got["empty view here"]
            limit.take(ours["rate"] / got["PostgreSQL alone"], ours=ours["rate"], postgresql=got["PostgreSQL alone"])
            empty.take(ours["rate"] / base["rate"], ours=ours["rate"], empty=base["rate"], here=here["rate"])
            by_view = got["events by the view"]["rate"]
            view.take(by_view / base["rate"], view=by_view, empty=base["rate"], here=here["rate"])
            p99.take(ours["p99"] / base["p99"], ours=ours["p99"], empty=base["p99"], here=here["p99"])
            usual_cpu = usual["app"] + usual["database"]
            if usual_cpu:
                ours_cpu = ours["app"] + ours["database"]
                cpu.take(ours_cpu / usual_cpu, app=ours["app"], database=ours["database"], usual=usual_cpu)
    return [limit, empty, view, cpu, p99]
