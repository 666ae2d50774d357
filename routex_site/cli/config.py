"""`config export`, `import`, `validate`, `diff`: these open the database themselves and need no running server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routex_site.cli.install import database
from routex_site.cli.output import NOT_FOUND, USAGE, Failure, is_watched, put_json, talk

if TYPE_CHECKING:
    from routing.config_io import Report

MARKS = {"created": "+", "changed": "~", "unchanged": " "}


def export(*, slugs: list[str], format: str, output: Path | None) -> None:
    """Write the document of all tenants, or of those named."""
    if format not in {"yaml", "json"}:
        raise Failure(f"--format takes yaml or json, not {format!r}.", code=USAGE)
    with database():
        from routing.config_io import config_export
        from tenants.models import Tenant

        tenants = list(Tenant.objects.filter(slug__in=slugs) if slugs else Tenant.objects.all())
        missing = sorted(set(slugs) - {tenant.slug for tenant in tenants})
        if missing:
            raise Failure(f"There is no tenant {', '.join(missing)}.", code=NOT_FOUND)
        text = config_export(tenants=tenants, is_operator=True, format=format)
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{output} cannot be written: {error.strerror}.") from error
    talk(f"Wrote {output} ({len(tenants)} tenants, no secrets).")


def apply(file: str, *, slugs: list[str], is_dry_run: bool, as_json: bool) -> None:
    """Apply a document; keys that it makes are shown on a terminal, else put into a file of the owner's."""
    report, folder = _imported(file, slugs=slugs, is_dry_run=is_dry_run)
    data = _data(report)
    if report.made_keys:
        data["made_keys"] = _hand_over(report.made_keys, folder)
    if as_json:
        put_json(data)
        return
    _put_changes(report)
    _summarise(report, is_dry_run=is_dry_run)


def validate(file: str, *, slugs: list[str], as_json: bool) -> int:
    """Check a document by an import that is rolled back."""
    report, _ = _imported(file, slugs=slugs, is_dry_run=True)
    if as_json:
        put_json(_data(report))
    else:
        _summarise(report, is_dry_run=True)
        talk("The document can be applied.")
    return 0


def diff(file: str, *, slugs: list[str], as_json: bool) -> int:
    """Tell what differs, by name; never a value, which may be a secret."""
    report, _ = _imported(file, slugs=slugs, is_dry_run=True)
    if as_json:
        put_json(_data(report))
    else:
        _put_changes(report)
        _summarise(report, is_dry_run=True)
    return 1 if report.has_changes else 0


def _imported(file: str, *, slugs: list[str], is_dry_run: bool) -> tuple[Report, Path]:
    text = _text(file)
    with database() as settings:
        from routing.config_io import ConfigError, config_import

        try:
            report = config_import(
                text=text,
                name="" if file == "-" else file,
                only_slugs=frozenset(slugs),
                data_dir=settings.data_dir,
                actor="command line",
                is_dry_run=is_dry_run,
            )
        except ConfigError as error:
            name = "standard input" if file == "-" else file
            raise Failure(
                "\n".join([f"{name} cannot be applied; nothing was changed.", *(f"  {one}" for one in error.problems)])
            ) from error
        return report, settings.data_dir


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}.", code=USAGE) from error
    except UnicodeDecodeError as error:
        raise Failure(f"{file} is not UTF-8 text.", code=USAGE) from error


def _data(report: Report) -> dict[str, Any]:
    from routing.config_io import report_data

    return report_data(report)


def _put_changes(report: Report) -> None:
    for change in report.changes:
        if change.action != "unchanged":
            fields = f" ({', '.join(change.fields)})" if change.action == "changed" else ""
            print(f"{MARKS[change.action]} {change.kind} {change.name}{fields}")


def _summarise(report: Report, *, is_dry_run: bool) -> None:
    for warning in report.warnings:
        talk(f"warning: {warning}")
    create, change = ("Would create", "change") if is_dry_run else ("Created", "changed")
    talk(f"{create} {report.count('created')}, {change} {report.count('changed')}; {report.count('unchanged')} as is.")


def _hand_over(made: dict[str, str], folder: Path) -> list[str]:
    if is_watched(sys.stderr):
        for name, secret in made.items():
            talk(f"New key {name}, shown this once: {secret}")
    else:
        from routex_site.cli.up import keys_file

        talk(f"New keys are in {keys_file(made, folder)}; only you can read it.")
    return sorted(made)
