"""Prints addresses of histories' pages: `python -m benchmarks.places '{"kind": [numbers …]}' PAGE`."""

import json
import sys

import django

django.setup()

from django.db import connection  # noqa: E402 - after the setup

from calls.queries.history import HistoryFilter  # noqa: E402
from calls.web.cursors import Cursor, write_cursor  # noqa: E402

# Places around the middle of a number's history, some hundred entries apart.
HALFWAY = """
    WITH its AS (
        SELECT started_at, id, row_number() OVER (ORDER BY started_at, id) AS place, count(*) OVER () AS calls
        FROM calls_call WHERE calling_number = %(number)s OR called_number = %(number)s
    )
    SELECT started_at, id FROM its WHERE (place - calls / 2) %% %(step)s = 0 AND place <= calls / 2
    ORDER BY place DESC LIMIT %(places)s
"""
STEP = 100
ADDRESSES = 200


def main(chosen: dict[str, list[str]], page: int) -> None:
    """Print, for each kind of numbers, the addresses of first pages, of such from the middle, and of all entries."""
    found: dict[str, list[str]] = {}
    for kind, numbers in chosen.items():
        addresses = [f"/call-history/%2B{number[1:]}/" for number in numbers]
        found[f"first {kind}"] = [f"{address}?limit={page}" for address in addresses]
        found[f"whole {kind}"] = addresses
        deep = []
        for number, address in zip(numbers, addresses, strict=True):
            places = max(1, ADDRESSES // len(numbers))
            with connection.cursor() as cursor:
                cursor.execute(HALFWAY, {"number": number, "step": STEP, "places": places})
                for started_at, call in cursor.fetchall():
                    text = write_cursor(Cursor(started_at, call), filters=HistoryFilter(number=number))
                    deep.append(f"{address}?limit={page}&cursor={text}")
        found[f"deep {kind}"] = deep
    print(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), int(sys.argv[2]))
