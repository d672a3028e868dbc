"""A figure: a ratio of two things measured in turns, what was wanted of it, and what came out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass
class Figure:
    """One row of the table. `got` has one ratio for each round; `sides` what they were made of."""

    number: str
    name: str
    goal: float
    at_least: bool
    got: list[float] = field(default_factory=list)
    sides: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""

    def take(self, ratio: float, **sides: float) -> None:
        """Add what a round gave."""
        self.got.append(ratio)
        for name, value in sides.items():
            self.sides.setdefault(name, []).append(value)

    @property
    def value(self) -> float | None:
        """The median of the rounds."""
        return median(self.got) if self.got else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where nothing could be measured."""
        if self.value is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def as_json(self) -> dict[str, Any]:
        """Return all that is known of it."""
        return {
            "figure": self.number,
            "name": self.name,
            "goal": f"{'>=' if self.at_least else '<='} {self.goal:g}",
            "median": self.value,
            "rounds": self.got,
            "sides": {name: median(values) for name, values in self.sides.items()},
            "met": self.met,
            "note": self.note,
        }


def table(figures: list[Figure]) -> str:
    """Return the figures as a table in Markdown."""
    lines = ["| # | figure | goal | got (from … to) | sides (medians) | met |", "|---|---|---|---|---|---|"]
    for one in figures:
        said = one.as_json()
        spread = f"{one.value:.3g} ({min(one.got):.3g} … {max(one.got):.3g})" if one.value is not None else one.note
        sides = ", ".join(f"{name} {value:,.4g}" for name, value in said["sides"].items())
        met = {True: "met", False: "**not met**", None: "not measured"}[one.met]
        lines.append(f"| {one.number} | {one.name} | {said['goal']} | {spread} | {sides} | {met} |")
    return "\n".join(lines)


def in_turns(rounds: int, sides: dict[str, Callable[[], Any]], tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure all sides in turns, the second round in the opposite order and so on; return each round's results."""
    results = []
    for number in range(rounds):
        order = list(sides) if number % 2 == 0 else list(reversed(sides))
        result = {}
        for name in order:
            tell(f"round {number + 1} of {rounds}: {name}")
            result[name] = sides[name]()
        results.append(result)
    return results
