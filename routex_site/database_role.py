"""Checks that the database role is one that row-level security holds, and says which SQL mends it."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

WRITER = "routex_writer"

_FACTS = """
SELECT current_setting('server_version_num')::int, r.rolname, r.rolsuper, r.rolbypassrls, current_database(),
       has_database_privilege(current_database(), 'CREATE'),
       has_schema_privilege('public', 'CREATE'),
       EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'routex_writer')
FROM pg_roles r WHERE r.rolname = current_user
"""
_WRITER_FACTS = """
SELECT pg_has_role(current_user, 'routex_writer', 'MEMBER'),
       pg_has_role(current_user, 'routex_writer', 'USAGE'),
       has_schema_privilege('routex_writer', 'public', 'CREATE')
"""


@dataclass(frozen=True, slots=True)
class RoleProblem:
    """Why Routex does not start as this role; `sql` is for a superuser, or the owner of the database."""

    why: str
    sql: str

    def __str__(self) -> str:
        return f"{self.why} As a superuser in this database, run:\n  {self.sql}"


def role_problem(connection: psycopg.Connection) -> RoleProblem | None:
    """Return what is wrong with the role of the connection, or None."""
    facts = connection.execute(_FACTS).fetchone()
    assert facts is not None, "every session has a role"
    version, role, is_super, bypasses, database, may_create, may_use_public, has_writer = facts
    if is_super:
        return RoleProblem(
            f"Routex connects as {role}, a superuser, whom no row policy holds: one tenant could read another's rows.",
            "CREATE ROLE routex_app LOGIN NOINHERIT PASSWORD '…'; "
            f"ALTER DATABASE {_quoted(database)} OWNER TO routex_app;  -- and name routex_app in DATABASE_URL",
        )
    if bypasses:
        return RoleProblem(
            f"The role {role} has BYPASSRLS, so no row policy holds it: one tenant could read another's rows.",
            f"ALTER ROLE {_quoted(role)} NOBYPASSRLS;",
        )
    if not may_create or not may_use_public:
        return RoleProblem(
            f"The role {role} may not make schemas in {database} and tables in its public schema.",
            f"GRANT CREATE ON DATABASE {_quoted(database)} TO {_quoted(role)}; "
            f"GRANT USAGE, CREATE ON SCHEMA public TO {_quoted(role)};",
        )
    if not has_writer:
        return RoleProblem(
            f"There is no role {WRITER}, which owns the request log and writes it by COPY.",
            f"CREATE ROLE {WRITER} NOLOGIN; {_grant(role, version)} GRANT USAGE, CREATE ON SCHEMA public TO {WRITER};",
        )
    return _writer_problem(connection, role, version)


def _writer_problem(connection: psycopg.Connection, role: str, version: int) -> RoleProblem | None:
    facts = connection.execute(_WRITER_FACTS).fetchone()
    assert facts is not None, "the query has no FROM"
    is_member, inherits, writer_may_create = facts
    if not is_member:
        return RoleProblem(
            f"The role {role} cannot act as {WRITER}, which writes the request log.", _grant(role, version)
        )
    if inherits:
        return RoleProblem(
            f"The role {role} inherits {WRITER}, the owner of the request log, whom its row policy does not hold: one "
            "tenant could read another's requests.",
            f"ALTER ROLE {_quoted(role)} NOINHERIT; REVOKE {WRITER} FROM {_quoted(role)}; {_grant(role, version)}",
        )
    if not writer_may_create:
        return RoleProblem(
            f"The role {WRITER} may not make the request log's partitions.",
            f"GRANT USAGE, CREATE ON SCHEMA public TO {WRITER};",
        )
    return None


def _grant(role: str, version: int) -> str:
    """Return the grant that lets the role act as the writer without being it all the time."""
    if version >= 160_000:
        return f"GRANT {WRITER} TO {_quoted(role)} WITH INHERIT FALSE, SET TRUE;"
    return f"ALTER ROLE {_quoted(role)} NOINHERIT; GRANT {WRITER} TO {_quoted(role)};"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
