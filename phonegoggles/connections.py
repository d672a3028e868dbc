"""Connections of the pool, and how it is noticed that one is dead."""

import select
from typing import Any

import psycopg

# Not on Windows, where each connection is asked over the network.
HAS_POLL = hasattr(select, "poll")


class PooledConnection(psycopg.Connection[Any]):
    """A connection whose health costs no question.

    The pool asks each connection that it lends an empty question, before every request. But a database that ends a
    connection, or is ended, says so: then there is something to read on a connection on which nothing was
    asked. Only then, or if the last answer was not read to its end, the question is asked.
    """

    def execute(self, query: Any, params: Any = None, **options: Any) -> "psycopg.Cursor[Any]":
        """Run a statement; the pool's empty question is answered from what is known."""
        if query == "" and HAS_POLL and self._is_silent():
            return self.cursor()
        return super().execute(query, params, **options)

    def _is_silent(self) -> bool:
        if self.pgconn.status != psycopg.pq.ConnStatus.OK:
            return False
        poll = select.poll()
        poll.register(self.pgconn.socket, select.POLLIN | select.POLLPRI)
        return self.pgconn.transaction_status == psycopg.pq.TransactionStatus.IDLE and not poll.poll(0)
