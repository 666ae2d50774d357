"""The two database roles and the database, made or mended on every start."""

from __future__ import annotations

import psycopg
from psycopg import sql

DATABASE = "routex"
APP_ROLE = "routex_app"
WRITER_ROLE = "routex_writer"


def roles_ensure(*, port: int, superuser: str, superuser_password: str, app_password: str) -> None:
    """Create what is missing and set what differs; a second run changes nothing.

    The reasons for two roles are in docs/adr/0003-embedded-postgresql-and-valkey.md, together with the same lines for
    a managed PostgreSQL.

    Raises:
        psycopg.Error: the server refused.
    """
    # hostaddr, options and sslmode are said so that no PG* variable of the user's shell decides them.
    login = f"hostaddr=127.0.0.1 port={port} user={superuser} password={superuser_password} options='' sslmode=disable"
    with psycopg.connect(login, dbname="postgres", autocommit=True) as connection:
        known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        for role in (WRITER_ROLE, APP_ROLE):
            if role not in known:
                connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN NOSUPERUSER NOBYPASSRLS").format(sql.Identifier(WRITER_ROLE)))
        # Only the SCRAM verifier travels, so a failing statement cannot put the password into the server's log.
        verifier = connection.pgconn.encrypt_password(app_password.encode(), APP_ROLE.encode(), b"scram-sha-256")
        connection.execute(
            sql.SQL("ALTER ROLE {} LOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS PASSWORD {}").format(
                sql.Identifier(APP_ROLE), sql.Literal(verifier.decode())
            )
        )
        connection.execute(
            sql.SQL("GRANT {} TO {} WITH INHERIT FALSE, SET TRUE").format(
                sql.Identifier(WRITER_ROLE), sql.Identifier(APP_ROLE)
            )
        )
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(APP_ROLE))
            )
    with psycopg.connect(login, dbname=DATABASE, autocommit=True) as connection:
        connection.execute(
            sql.SQL("GRANT USAGE, CREATE ON SCHEMA public TO {}, {}").format(
                sql.Identifier(WRITER_ROLE), sql.Identifier(APP_ROLE)
            )
        )
