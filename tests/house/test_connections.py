"""The pool lends no dead connection, and does not ask a living one."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg_pool import ConnectionPool

from phonegoggles.connections import HAS_POLL, PooledConnection

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]


@pytest.fixture
def pool() -> Iterator[ConnectionPool[Any]]:
    options = {"autocommit": True, "dbname": connection.settings_dict["NAME"]}
    options |= {key: connection.settings_dict[key.upper()] for key in ("user", "password", "host", "port")}
    with ConnectionPool(
        kwargs={name: value for name, value in options.items() if value},
        connection_class=PooledConnection,
        check=ConnectionPool.check_connection,
        min_size=1,
        max_size=1,
        timeout=20,
    ) as pool:
        yield pool


def test_a_connection_that_the_database_ended_meanwhile_is_not_lent(pool: ConnectionPool[Any]) -> None:
    with pool.connection() as lent:
        pid = lent.info.backend_pid
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        assert cursor.fetchone() == (True,)
    with pool.connection() as lent:
        assert lent.info.backend_pid != pid
        assert lent.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.skipif(not HAS_POLL, reason="no poll() here")
def test_a_living_connection_is_lent_without_a_question(
    pool: ConnectionPool[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    with pool.connection() as lent:
        pid = lent.info.backend_pid
    monkeypatch.setattr(psycopg.Connection, "execute", lambda self, query, *more, **options: asked.append(query))
    with pool.connection() as lent:
        assert lent.info.backend_pid == pid
    assert not asked
