"""Row-level security as migration operations: which rows of a public table a connection may see."""

from __future__ import annotations

from django.db import migrations

#: True for the rows of the tenant that the scope named, and for every row in the platform's scope; never without one.
CONDITION = "{column} = current_setting('app.tenant', true) OR current_setting('app.tenant', true) = '*'"


def row_security_sql(table: str, column: str = "tenant_id") -> str:
    """Return the statements that protect a table owned by the application's role, its owner included."""
    condition = CONDITION.format(column=column)
    return (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY;"
        f"CREATE POLICY {table}_tenant ON {table} USING ({condition}) WITH CHECK ({condition});"
    )


def protect(table: str, column: str = "tenant_id") -> migrations.RunSQL:
    """Return the migration operation that gives a public table its row policy."""
    return migrations.RunSQL(
        row_security_sql(table, column),
        f"DROP POLICY {table}_tenant ON {table};"
        f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY;"
        f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;",
    )
