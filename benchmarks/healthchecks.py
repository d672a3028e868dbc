"""Single events against Healthchecks' ping view, the nearest thing that others run: an event in, a state brought up."""

from collections.abc import Callable

from benchmarks.figures import Figure, in_turns
from benchmarks.lab import Lab
from benchmarks.peers import healthchecks as peer

CONNECTIONS = 32


def measure(lab: Lab, tell: Callable[[str], None]) -> list[Figure]:
    """Figure 5, where a checkout is named."""
    figure = Figure("5", "single events ÷ Healthchecks' ping view", 20, True, note=peer.NOT_NAMED)
    folder = peer.checkout()
    if folder is None:
        tell(peer.NOT_NAMED)
        return [figure]
    figure.name = f"single events ÷ Healthchecks' ping view ({peer.version(folder)})"
    tell("preparing Healthchecks")
    with lab.server() as ours, peer.serve(lab, folder, connections=CONNECTIONS) as theirs:
        sides = {
            "events": lambda: ours.load(connections=CONNECTIONS),
            "pings": lambda: theirs.load(path=peer.PING, kind="get", connections=CONNECTIONS),
        }
        for side in sides.values():
            side()  # to warm up
        for got in in_turns(lab.rounds, sides, tell):
            us, them = got["events"], got["pings"]
            costs = {"our CPU": us["app"] + us["database"], "their CPU": them["app"] + them["database"]}
            figure.take(us["rate"] / them["rate"], ours=us["rate"], pings=them["rate"], **costs)
    return [figure]
