"""Export, validate and import configuration documents; a dry run is a real import that is rolled back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from routing.config_document import Document, TenantEntry, document_from
from routing.config_export import document_text, tenant_text, tenants_document
from routing.config_import import Report, TenantImport, located
from routing.config_text import (
    ConfigError,
    Parsed,
    Problem,
    TextFormat,
    parse,
    refuse_placeholders,
    resolve,
    text_format,
)
from routing.services import backup_create
from routing.snapshots import DoesNotCompile, compile_tenant
from tenants.context import tenant_scope
from tenants.models import Tenant
from tenants.services import SYSTEM, tenant_create

__all__ = ["ConfigError", "Report", "config_export", "config_import", "config_validate", "report_data"]

#: Two imports at once would each find rows missing that the other is making.
_IMPORT_LOCK = 7_268_201_142


class _RollBack(Exception):
    """Ends a dry run."""


def config_export(*, tenants: list[Tenant], is_operator: bool = False, format: str = "yaml") -> str:
    """Return the tenants' document as text, "yaml" or "json"; with an operator's fields only for an operator."""
    return document_text(
        tenants_document(tenants, is_operator=is_operator), format="json" if format == "json" else "yaml"
    )


def config_import(
    *,
    text: str,
    name: str = "",
    format: TextFormat | None = None,
    only_tenant: Tenant | None = None,
    only_slugs: frozenset[str] = frozenset(),
    data_dir: Path | None = None,
    environ: Mapping[str, str] | None = None,
    actor: str = SYSTEM,
    is_dry_run: bool = False,
) -> Report:
    """Apply a document: everything in it or, when anything is wrong, nothing.

    Args:
        text: the document.
        name: the file's name, which tells the format when `format` does not.
        format: the format; None goes by the name and the text.
        only_tenant: the tenant that supplied the document. It may then hold no placeholder, nothing that only the
            platform sets and no other tenant. None: the operator of the host supplied it.
        only_slugs: the tenants to apply, of those in an operator's document; none named: all.
        data_dir: Routex's own data folder, for an operator's document; no placeholder reads a file in it.
        environ: what `${env:…}` reads; None takes the process's own.
        actor: who does it, for the audit trail.
        is_dry_run: report and leave everything as it is.

    Raises:
        ConfigError: the document cannot be applied; it lists what is wrong, where, and on which line.
    """
    parsed = parse(text, format=format or text_format(name, text))
    if only_tenant is None:
        parsed = resolve(parsed, data_dir=data_dir or Path(settings.DATA_DIR), environ=environ)
    else:
        parsed = refuse_placeholders(parsed)
    document = document_from(parsed)
    with _lines_added(parsed):
        if only_tenant is not None:
            _refuse_what_is_the_platforms(document, only_tenant)
        missing = sorted(only_slugs - {entry.slug for entry in document.tenants})
        if missing:
            raise ConfigError(Problem("/tenants", f"The document has no tenant {', '.join(missing)}."))
        return _applied(document, only_tenant=only_tenant, only_slugs=only_slugs, actor=actor, is_dry_run=is_dry_run)


def config_validate(**arguments: Any) -> Report:
    """Return what `config_import` with the same arguments would do, and leave everything as it is.

    Raises:
        ConfigError: as config_import.
    """
    return config_import(**arguments, is_dry_run=True)


def report_data(report: Report) -> dict[str, Any]:
    """Return a report as plain data; the secrets of keys that were made are left out."""
    return {
        "created": report.count("created"),
        "changed": report.count("changed"),
        "unchanged": report.count("unchanged"),
        "objects": [dataclasses.asdict(change) for change in report.changes],
        "warnings": report.warnings,
    }


def _applied(
    document: Document, *, only_tenant: Tenant | None, only_slugs: frozenset[str], actor: str, is_dry_run: bool
) -> Report:
    report = Report()
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_IMPORT_LOCK])
            for place, entry in enumerate(document.tenants):
                if only_slugs and entry.slug not in only_slugs:
                    continue
                tenant = only_tenant or Tenant.objects.filter(slug=entry.slug).first()
                _apply_tenant(entry, tenant, f"/tenants/{place}", actor=actor, report=report)
            if is_dry_run:
                raise _RollBack
    except _RollBack:
        report.made_keys.clear()  # nobody will ever be able to use them
    return report


def _apply_tenant(entry: TenantEntry, tenant: Tenant | None, pointer: str, *, actor: str, report: Report) -> None:
    is_new, seen = tenant is None, len(report.changes)
    if tenant is None:
        with located(pointer):
            tenant = tenant_create(slug=entry.slug, name=entry.name or entry.slug, actor=actor)
    with tenant_scope(tenant.id):
        before = "" if is_new else tenant_text(tenant)
        TenantImport(tenant=tenant, entry=entry, pointer=pointer, actor=actor, report=report).apply()
        if is_new:
            report.changes[seen] = dataclasses.replace(report.changes[seen], action="created", fields=())
        if any(change.action != "unchanged" for change in report.changes[seen:]):
            if before:
                backup_create(tenant=tenant, reason="before an import", document=before, actor=actor)
            try:
                compile_tenant(tenant=tenant, version=0)
            except DoesNotCompile as error:
                raise ConfigError(Problem(pointer, str(error))) from error


def _refuse_what_is_the_platforms(document: Document, tenant: Tenant) -> None:
    problems = []
    for place, entry in enumerate(document.tenants):
        if entry.slug != tenant.slug:
            problems.append(
                Problem(
                    f"/tenants/{place}/slug",
                    f"A document for {tenant.slug!r} cannot change the tenant {entry.slug!r}; remove that part.",
                )
            )
        if entry.private_upstreams:
            problems.append(
                Problem(
                    f"/tenants/{place}/private_upstreams",
                    "Only the operator of this host may open private address ranges; remove this or ask them to.",
                )
            )
    if problems:
        raise ConfigError(*problems)


class _lines_added:  # noqa: N801 reads as a phrase
    """Add the lines of the text to problems that were found after parsing."""

    def __init__(self, parsed: Parsed) -> None:
        self._line_of: Callable[[str], int] = parsed.line_of

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ConfigError):
            raise ConfigError(
                *(
                    dataclasses.replace(problem, line=problem.line or self._line_of(problem.pointer))
                    for problem in error.problems
                )
            ) from error
