"""`up`: hand the processes to the supervisor, and print the one box once they are ready."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routex_site import ROOT
from routex_site.cli.install import environment
from routex_site.cli.output import Failure, is_watched, talk

if TYPE_CHECKING:
    from routex_site.settings.env import Environment
    from routex_site.supervisor import Child, Facts

#: The gateway lets running requests finish for 30 s.
WEB_GRACE_S = 35.0
KEY_VARIABLE = "$ROUTEX_API_KEY"


def run(*, is_verbose: bool) -> None:
    """Run Routex until somebody stops it.

    Raises:
        Failure: it does not come up.
    """
    from routex_site.embedded.process import StartError
    from routex_site.supervisor import supervise

    settings = environment()
    talk(f"Routex is starting; its data is in {settings.data_dir}")
    try:
        supervise(
            settings,
            children=children(settings),
            prepare=prepare(settings),
            on_ready=lambda facts: show(settings, facts),
            is_verbose=is_verbose,
        )
    except StartError as error:
        raise Failure(str(error), next_command="./routex doctor") from error


def prepare(settings: Environment) -> Child | None:
    """Return the step that makes the database ready; a gateway leaves that to a console."""
    from routex_site.supervisor import Child

    if settings.role == "gateway":
        return None
    return Child("prepare", (sys.executable, "-m", "routex_site.bootstrap"), _path())


def children(settings: Environment) -> list[Child]:
    """Return the processes of the role, in the order in which they stop."""
    from routex_site.supervisor import Child

    path = _path()
    ready_url = f"{local_url(settings)}/readyz"
    names = ["web"] if settings.workers == 1 else [f"web-{number}" for number in range(1, settings.workers + 1)]
    found = [
        Child(name, (sys.executable, "-m", "routex_site.server"), path, ready_url=ready_url, grace_s=WEB_GRACE_S)
        for name in names
    ]
    if settings.role != "gateway":
        # A beat inside the worker: two of them would do everything twice, so there is one worker.
        beat = f"--schedule={settings.data_dir / 'celerybeat-schedule'}"
        words = ("worker", "-B", "-P", "threads", "-c", "4", "--without-gossip", "--without-mingle", beat)
        found.append(Child("worker", (sys.executable, "-m", "celery", "-A", "routex_site.celery", *words), path))
    return found


def _path() -> Mapping[str, str]:
    """Let the children find Routex whatever folder we were started in."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}


def local_url(settings: Environment) -> str:
    """Return where this machine reaches the web process, whatever its public URL is."""
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def show(settings: Environment, facts: Facts) -> None:
    """Print the box; it is the only place where the first key appears."""
    prepared: dict[str, Any] = json.loads(facts.prepared) if facts.prepared.strip() else {}
    made = (prepared.get("config") or {}).get("made_keys") or {}
    if made and not is_watched(sys.stdout):
        made = {"keys of ROUTEX_CONFIG": f"in {keys_file(made, settings.data_dir)}"}
    lines = box(url=facts.url, data_dir=facts.data_dir, prepared=prepared, made_keys=made, took_s=facts.took_s)
    rule = "━" * max(40, min(100, max(map(len, lines)))) if is_watched(sys.stdout) else "-" * 72
    print("\n".join([rule, *lines, rule]), flush=True)


def box(
    *, url: str, data_dir: Path, prepared: Mapping[str, Any], made_keys: Mapping[str, str], took_s: float
) -> list[str]:
    """Return the lines of the box. No side borders: a line must be copied whole into a shell."""
    setup_token = prepared.get("setup_token")
    console = f"{url}/setup/?token={setup_token}" if setup_token else f"{url}/"
    key = prepared.get("tenant_key") or ""
    lines = [
        f"Routex is ready ({took_s:.1f} s)",
        "",
        f"Console    {console}",
        *(["           (the link makes the first administrator; once, within 30 minutes)"] if setup_token else []),
    ]
    if key:
        lines.append(f"Your key   {key}   (tenant {prepared.get('tenant', 'default')}; shown this once)")
    lines += [f"New key    {name}: {secret}" for name, secret in made_keys.items()]
    lines += [f"Channel    {slug} (from your environment)" for slug in prepared.get("channels_made") or []]
    lines += [f"Warning    {text}" for text in (prepared.get("config") or {}).get("warnings") or []]
    lines += [
        f"Data       {data_dir}",
        "Stop       Ctrl-C",
        "",
        "Try it:" if key else "Try it with a key of yours in ROUTEX_API_KEY (a new one: ./routex keys new NAME):",
        curl_line(url, key or KEY_VARIABLE),
    ]
    return lines


def curl_line(url: str, key: str) -> str:
    """Return a command that the echo channel answers."""
    body = '{"model":"echo","messages":[{"role":"user","content":"Hello, Routex!"}]}'
    return (
        f'curl -sS {url}/v1/chat/completions -H "Authorization: Bearer {key}" '
        f"-H 'content-type: application/json' -d '{body}'"
    )


def keys_file(made: Mapping[str, str], folder: Path) -> Path:
    """Write keys that nobody watches being made into a file that only its owner may read, and return it."""
    path = folder / f"new-keys-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.txt"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.writelines(f"{name}\t{secret}\n" for name, secret in made.items())
    return path
