"""One connection's prepared statements, sent straight through libpq, together with the BEGIN or the COMMIT beside them.

A transaction of two statements is then two waits for the database instead of four, and none of the driver's
cursors; a third of a small group's cost was that. This is libpq's pipeline mode
(https://www.postgresql.org/docs/current/libpq-pipeline-mode.html) by psycopg's own binding to it; the connection
stays psycopg's, and Django's, for whatever else happens in the same transaction.
"""

import re
import select
from collections.abc import Sequence
from itertools import count
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, Format, TransactionStatus

ROWS, DONE, SYNC = ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.PIPELINE_SYNC
# Where it is missing (Windows), the driver's cursors do the work.
AVAILABLE = hasattr(select, "poll")


class Lane:
    """Runs statements on a connection that nobody else uses meanwhile."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self.connection = connection
        self._names: dict[str, bytes] = {}
        self._numbers = count()
        self._reader = Transformer(connection)
        self._poll = select.poll()
        self._poll.register(connection.pgconn.socket, select.POLLIN)

    def run(self, sql: str, parameters: Sequence[str], *, last: bool) -> list[Any]:
        """Run a statement and return its rows, in a transaction that it begins, or commits if it is the `last`.

        The parameters are texts in `%s` places. Raises psycopg's errors; the transaction is then broken or gone.
        """
        pgconn = self.connection.pgconn
        name = self._names.get(sql) or self._prepare(sql)
        begins = not self.connection.autocommit and pgconn.transaction_status == TransactionStatus.IDLE
        pgconn.enter_pipeline_mode()
        try:
            if begins:
                pgconn.send_query_params(b"BEGIN", None)
            pgconn.send_query_prepared(name, [text.encode() for text in parameters], None, Format.BINARY)
            if last:
                pgconn.send_query_params(b"COMMIT", None)
            pgconn.pipeline_sync()
            results = self._receive()
        finally:
            if not self.connection.closed:
                pgconn.exit_pipeline_mode()
        for result in results:
            if result.status not in (ROWS, DONE):
                self._names.clear()  # should it have been one of them that is lost
                raise psycopg.errors.error_from_result(result, encoding=self.connection.info.encoding)
        result = results[begins]
        if result.status != ROWS or not result.ntuples:
            return []
        self._reader.set_pgresult(result)
        return self._reader.load_rows(0, result.ntuples, tuple)

    def _prepare(self, sql: str) -> bytes:
        places = iter(range(1, sql.count("%s") + 1))
        text = re.sub("%s", lambda place: f"${next(places)}", sql)
        # Never a name twice: what a broken transaction has left behind does not matter.
        name = f"lane_{next(self._numbers)}".encode()
        result = self.connection.pgconn.prepare(name, text.encode())
        if result.status != DONE:
            raise psycopg.errors.error_from_result(result, encoding=self.connection.info.encoding)
        self._names[sql] = name
        return name

    def _receive(self) -> list[Any]:
        """Return the results of what was sent, one a command; raises OperationalError when the line is cut."""
        pgconn = self.connection.pgconn
        while pgconn.flush():  # more than the line takes at once; the database may have to be heard meanwhile
            self._poll.modify(pgconn.socket, select.POLLIN | select.POLLOUT)
            self._poll.poll()
            self._poll.modify(pgconn.socket, select.POLLIN)
            pgconn.consume_input()
        results: list[Any] = []
        while True:
            while pgconn.is_busy():
                self._poll.poll()
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                continue  # it separates the commands
            if result.status == SYNC:
                return results
            results.append(result)
