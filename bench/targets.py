"""What is measured: going direct, Routex under each server, and peers that are installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from cryptography.fernet import Fernet

from routex_site import ROOT
from routex_site.embedded import postgres, valkey
from tenants.engine import keys

MODEL = "bench"
#: Upstream format → its channel's provider, base URL after the port, and model.
CHANNELS = {
    "openai-chat": ("openai-compatible", "/v1", "bench-chat"),
    "openai-responses": ("openai-compatible", "/v1", "bench-responses"),
    "anthropic": ("anthropic-compatible", "", "bench-anthropic"),
    "gemini": ("gemini", "", "bench-gemini"),
}
LITELLM = ROOT / ".venv-litellm"
LITELLM_VERSION = "1.106.2"
#: The core of what is measured, and the core of load, upstream and databases.
GATEWAY_CORE, LOAD_CORE = 0, 1


@dataclass(frozen=True)
class Target:
    """Something that answers chat completions. `start` is None for what runs already."""

    name: str
    port: int
    key: str
    start: Callable[[], subprocess.Popen[bytes]] | None = None
    ready_path: str = "/readyz"


def pinned(argv: list[str], core: int, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a process on one core where the system can do that."""
    process = subprocess.Popen(argv, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(process.pid, {core})
    return process


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_ready(url: str, limit_s: float) -> float:
    """Return the seconds until a URL answers 200.

    Raises:
        TimeoutError: it did not within the limit.
    """
    began = time.monotonic()
    while time.monotonic() - began < limit_s:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 loopback
                if answer.status == 200:
                    return time.monotonic() - began
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise TimeoutError(url)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process and what it started."""
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        if child.is_running():
            child.kill()


def _channel(upstream_format: str, upstream: str) -> dict[str, Any]:
    provider, tail, model = CHANNELS[upstream_format]
    return {
        "slug": f"speaks-{upstream_format}",
        "provider": provider,
        "format": upstream_format,
        "base_url": upstream + tail,
        "credentials": [{"slug": "main", "api_key": "bench-credential"}],
        "models": [model],
    }


@contextmanager
def installation(upstream_port: int) -> Iterator[tuple[dict[str, str], str]]:
    """Set up PostgreSQL, Valkey and one tenant with channels to the upstream; yield environment and key."""
    folder = Path(tempfile.mkdtemp(prefix="routex-bench-"))
    database, cache = postgres.start(folder), valkey.start(folder)
    key = keys.mint()
    document = {
        "apiVersion": "routex/v1",
        "tenants": [
            {
                "slug": "default",
                "name": "Bench",
                "private_upstreams": ["127.0.0.0/8"],
                "keys": [{"slug": "bench", "secret": key}],
                "channels": [
                    {
                        "slug": "upstream",
                        "provider": "openai-compatible",
                        "base_url": f"http://127.0.0.1:{upstream_port}/v1",
                        "credentials": [{"slug": "main", "api_key": "bench-credential"}],
                        "models": [MODEL],
                    },
                    *(_channel(name, f"http://127.0.0.1:{upstream_port}") for name in CHANNELS),
                ],
            }
        ],
    }
    config = folder / "bench.yaml"
    config.write_text(yaml.safe_dump(document))
    env = os.environ | {
        "DATABASE_URL": database.url,
        "REDIS_URL": cache.url,
        "ROUTEX_SECRET_KEY": keys.mint(),
        "ROUTEX_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "ROUTEX_DATA_DIR": str(folder),
        "ROUTEX_CONFIG": str(config),
        "DJANGO_SETTINGS_MODULE": "routex_site.settings.base",
    }
    try:
        subprocess.run(
            [sys.executable, "-m", "routex_site.bootstrap"], cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL
        )
        yield env, key
    finally:
        cache.stop()
        database.stop()
        shutil.rmtree(folder, ignore_errors=True)


def routex(server: str, env: dict[str, str], key: str) -> Target:
    """Return Routex in the role `gateway` under one server."""
    port = free_port()
    own = env | {"ROUTEX_SERVER": server, "ROUTEX_ROLE": "gateway", "ROUTEX_PORT": str(port)}
    return Target(
        f"routex/{server}", port, key, lambda: pinned([sys.executable, "-m", "routex_site.server"], GATEWAY_CORE, own)
    )


def litellm(upstream_port: int) -> Target | None:
    """Return LiteLLM's proxy, one worker, no database, or None when it is not installed."""
    program = LITELLM / "bin" / "litellm"
    if not program.exists():
        return None
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="routex-bench-litellm-"))
    config = folder / "config.yaml"
    params = {"model": f"openai/{MODEL}", "api_base": f"http://127.0.0.1:{upstream_port}/v1", "api_key": "bench"}
    config.write_text(
        yaml.safe_dump(
            {
                "model_list": [{"model_name": MODEL, "litellm_params": params}],
                "general_settings": {"master_key": "sk-bench"},
                "litellm_settings": {"telemetry": False},
            }
        )
    )
    # Its price map would otherwise be fetched at import, which only stalls a machine without internet.
    env = os.environ | {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    argv = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return Target(
        f"litellm {LITELLM_VERSION}", port, "sk-bench", lambda: pinned(argv, GATEWAY_CORE, env), "/health/liveliness"
    )


def install_peers() -> None:
    """Install the peers, each in its own environment beside ours."""
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", "--clear", str(LITELLM), "--python", sys.executable], check=True)
    packages = [f"litellm[proxy]=={LITELLM_VERSION}", "uvloop"]
    subprocess.run([uv, "pip", "install", "--quiet", "--python", f"{LITELLM}/bin/python", *packages], check=True)
