"""The data plane's connections to PostgreSQL: in the role that writes records and the ledger, none waiting long."""

from __future__ import annotations

from typing import Any

import psycopg

_SESSION = """
    SET ROLE routex_writer;
    SET statement_timeout = '{limit_s}s';
    SET idle_in_transaction_session_timeout = '{limit_s}s';
    SET lock_timeout = '{limit_s}s';
    -- A commit that was confirmed outlives a crash of PostgreSQL too. It is waited for off the request path.
    SET synchronous_commit = on
"""


async def connected(conninfo: str, *, name: str, connect_timeout_s: int, limit_s: int) -> psycopg.AsyncConnection[Any]:
    """Return a connection that commits by itself, with its session set up.

    Args:
        conninfo: where PostgreSQL is.
        name: what it is called in the server's list of connections.
        connect_timeout_s: how long connecting may take.
        limit_s: how long a statement, a lock and an idle transaction may take.

    Raises:
        psycopg.Error, OSError: it cannot be reached, or the role is not there.
    """
    connection = await psycopg.AsyncConnection.connect(
        conninfo,
        autocommit=True,
        prepare_threshold=None,
        application_name=name,
        connect_timeout=connect_timeout_s,
        # A server that vanished without a word is noticed by the kernel, not after two hours.
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=2,
        tcp_user_timeout=10_000,
    )
    try:
        await connection.execute(_SESSION.format(limit_s=int(limit_s)).encode())
    except BaseException:
        await connection.close()
        raise
    return connection
