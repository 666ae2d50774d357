"""The verbs, one function each; what a verb needs is imported when it runs, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="routex",
    help="Routex, the AI API gateway: start it, look after it, configure it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config = typer.Typer(help="The configuration document: take it out, check it, put it in.", no_args_is_help=True)
keys = typer.Typer(help="The keys that clients send.", no_args_is_help=True)
prices = typer.Typer(help="What models cost, and what requests did.", no_args_is_help=True)
requests = typer.Typer(help="What went through the gateway.", no_args_is_help=True)
app.add_typer(config, name="config")
app.add_typer(keys, name="keys")
app.add_typer(requests, name="requests")
app.add_typer(prices, name="prices")

Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
TenantName = Annotated[str, typer.Option("--tenant", "-t", help="Slug of the tenant.", envvar="ROUTEX_TENANT")]
TenantChoice = Annotated[
    list[str] | None, typer.Option("--tenant", "-t", help="Only this tenant, by slug; may be repeated.")
]
DocumentFile = Annotated[str, typer.Argument(metavar="FILE", help="YAML, JSON or TOML; - reads standard input.")]


@app.command()
def up(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what they write.")] = False,
) -> None:
    """Start everything and keep it running until Ctrl-C."""
    from routex_site.cli.up import run

    run(is_verbose=verbose)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the install, point by point; exit 1 when something needs mending."""
    from routex_site.cli.doctor import run

    raise typer.Exit(run(as_json=as_json))


@app.command()
def status(as_json: Json = False) -> None:
    """Tell what runs, and how it is."""
    from routex_site.cli.status import run

    raise typer.Exit(run(as_json=as_json))


@app.command()
def version(as_json: Json = False) -> None:
    """Tell the versions of Routex and of what it runs on."""
    from routex_site.cli.status import versions

    versions(as_json=as_json)


@config.command("export")
def config_export(
    tenant: TenantChoice = None,
    format: Annotated[str, typer.Option("--format", "-f", help="yaml or json.")] = "yaml",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
) -> None:
    """Write the configuration document; secrets are never in it."""
    from routex_site.cli.config import export

    export(slugs=tenant or [], format=format, output=output)


@config.command("import")
def config_import(
    file: DocumentFile,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would change, and change nothing.")] = False,
    tenant: TenantChoice = None,
    as_json: Json = False,
) -> None:
    """Apply a configuration document: all of it or, when something is wrong, nothing."""
    from routex_site.cli.config import apply

    apply(file, slugs=tenant or [], is_dry_run=dry_run, as_json=as_json)


@config.command("validate")
def config_validate(file: DocumentFile, tenant: TenantChoice = None, as_json: Json = False) -> None:
    """Check a configuration document against this install; exit 1 when it cannot be applied."""
    from routex_site.cli.config import validate

    raise typer.Exit(validate(file, slugs=tenant or [], as_json=as_json))


@config.command("diff")
def config_diff(file: DocumentFile, tenant: TenantChoice = None, as_json: Json = False) -> None:
    """Tell what a configuration document would change; exit 1 when anything."""
    from routex_site.cli.config import diff

    raise typer.Exit(diff(file, slugs=tenant or [], as_json=as_json))


@keys.command("new")
def keys_new(
    slug: Annotated[str, typer.Argument(help="The key's name, such as ci.")],
    tenant: TenantName = "default",
    model: Annotated[list[str] | None, typer.Option("--model", help="Glob of models it may use; repeat.")] = None,
    channel: Annotated[list[str] | None, typer.Option("--channel", help="Glob of channels; repeat.")] = None,
    expires: Annotated[str | None, typer.Option("--expires", help="Time in ISO 8601.")] = None,
    secret_stdin: Annotated[bool, typer.Option("--secret-stdin", help="Read a key of your own.")] = False,
    as_json: Json = False,
) -> None:
    """Make a key; it is written to standard output, once."""
    from routex_site.cli.keys import new

    new(
        slug, tenant=tenant, models=model or [], channels=channel or [], expires=expires,
        is_secret_given=secret_stdin, as_json=as_json,
    )  # fmt: skip


@keys.command("ls")
def keys_ls(tenant: TenantName = "default", as_json: Json = False) -> None:
    """List a tenant's keys."""
    from routex_site.cli.keys import listing

    listing(tenant=tenant, as_json=as_json)


@keys.command("revoke")
def keys_revoke(
    slug: Annotated[str, typer.Argument(help="Slug or id of the key.")],
    tenant: TenantName = "default",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Make a key useless for good."""
    from routex_site.cli.keys import revoke

    revoke(slug, tenant=tenant, is_sure=yes)


@requests.command("ls")
def requests_ls(
    tenant: TenantName = "default",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="How many.")] = 20,
    as_json: Json = False,
) -> None:
    """List the newest requests."""
    from routex_site.cli.requests import listing

    listing(tenant=tenant, limit=limit, as_json=as_json)


@requests.command("tail")
def requests_tail(
    tenant: TenantName = "default",
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, max=200, help="How many to begin with.")] = 10,
    as_json: Json = False,
) -> None:
    """Show requests as they finish, until Ctrl-C; with --json one object a line."""
    from routex_site.cli.requests import tail

    tail(tenant=tenant, limit=limit, as_json=as_json)


@prices.command("ls")
def prices_ls(
    model: Annotated[str, typer.Argument(help="A model's name, or a part of names.")] = "",
    provider: Annotated[str, typer.Option("--provider", "-p", help="Only this provider's.")] = "",
    as_json: Json = False,
) -> None:
    """List public prices, USD per million tokens; channels may set their own over them."""
    from routex_site.cli.prices import listing

    listing(model=model, provider=provider, as_json=as_json)


@prices.command("update")
def prices_update(as_json: Json = False) -> None:
    """Take over the prices of the installed package; a start does so too."""
    from routex_site.cli.prices import update

    update(as_json=as_json)


@prices.command("rerate")
def prices_rerate(
    since: Annotated[str, typer.Option("--since", help="Day (UTC) or time in ISO 8601.")],
    until: Annotated[str, typer.Option("--until", help="Day (UTC) or time in ISO 8601; now by default.")] = "",
    version: Annotated[str, typer.Option("--version", help="By these stored public prices.")] = "",
    tenant: TenantChoice = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell the difference, and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Rate stored requests again by the prices of today; all tenants unless some are named."""
    from routex_site.cli.prices import rerate

    rerate(since=since, until=until, version=version, tenants=tenant or [], is_dry_run=dry_run, as_json=as_json)
