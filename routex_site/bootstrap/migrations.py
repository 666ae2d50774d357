"""Migrates what is behind and nothing else: asking django-tenants to look at every schema costs seconds."""

from __future__ import annotations

from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from tenants.context import PUBLIC_SCHEMA
from tenants.models import Tenant


def migrate_what_is_behind() -> list[str]:
    """Bring the public schema, then each tenant's, to the migrations of this version; return the schemas changed."""
    on_disk = migrations_on_disk()
    changed = []
    if _is_behind(PUBLIC_SCHEMA, on_disk):
        call_command("migrate_schemas", shared=True, interactive=False, verbosity=0)
        changed.append(PUBLIC_SCHEMA)
    for schema in _tenant_schemas():  # only now is the table of tenants sure to be there
        if _is_behind(schema, on_disk):
            call_command("migrate_schemas", tenant=True, schema_name=schema, interactive=False, verbosity=0)
            changed.append(schema)
    return changed


def schemas_behind() -> list[str]:
    """Return the schemas that lack a migration of this version."""
    on_disk = migrations_on_disk()
    if _is_behind(PUBLIC_SCHEMA, on_disk):
        return [PUBLIC_SCHEMA]
    return [schema for schema in _tenant_schemas() if _is_behind(schema, on_disk)]


def migrations_on_disk() -> set[tuple[str, str]]:
    """Return this version's migrations as (app, name)."""
    return set(MigrationLoader(None).disk_migrations)


def _tenant_schemas() -> list[str]:
    return list(Tenant.objects.order_by("slug").values_list("schema_name", flat=True))


def _is_behind(schema: str, on_disk: set[tuple[str, str]]) -> bool:
    """Whether a schema's own table of applied migrations lacks one; those of other schemas' apps stand in it, too."""
    with connection.cursor() as cursor:
        name = f"{connection.ops.quote_name(schema)}.django_migrations"
        cursor.execute("SELECT to_regclass(%s)", [name])
        row = cursor.fetchone()
        if row is None or row[0] is None:
            return True
        cursor.execute(f"SELECT app, name FROM {name}")  # noqa: S608 quoted above
        return not on_disk <= set(cursor.fetchall())
