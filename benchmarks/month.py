"""Times the statistics of January 2023 and the plain scan of the same calls, in turns; both must say the same."""

import json
import time
from datetime import UTC, datetime
from statistics import median

import django

django.setup()

from django.db import connection  # noqa: E402 - after the setup

from calls.domain.periods import Span  # noqa: E402
from calls.queries.statistics import Summary, summary_of  # noqa: E402

MONTH = Span(datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 1, 31, tzinfo=UTC))
PLAIN = """
    SELECT COUNT(*), COUNT(answered_at), COUNT(*) FILTER (WHERE direction = 'inbound'),
        COUNT(*) FILTER (WHERE direction = 'outbound'), SUM(duration), COUNT(duration)
    FROM calls_call WHERE started_at >= %s AND started_at < %s AND ended_at IS NOT NULL
"""


def plain() -> int:
    """Add the month up from its calls; return how many there are."""
    with connection.cursor() as cursor:
        cursor.execute(PLAIN, [MONTH.start, MONTH.end])
        return int(cursor.fetchone()[0])


def main() -> None:
    """Print the median of each, in seconds."""
    for _ in range(10):  # a worker that has answered before: its connection is open, and its statement prepared
        summary_of(MONTH)
    plain()
    took: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(5):
        began = time.perf_counter()
        summary: Summary = summary_of(MONTH)
        between = time.perf_counter()
        count = plain()
        took["ours"].append(between - began)
        took["plain"].append(time.perf_counter() - between)
        if summary.total_calls != count:
            raise SystemExit(f"{summary.total_calls} is not {count}")
    print(json.dumps({name: median(values) for name, values in took.items()}))


if __name__ == "__main__":
    main()
