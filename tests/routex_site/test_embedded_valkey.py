"""The embedded Valkey, each time for real."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from routex_site.embedded import process, valkey
from routex_site.embedded.process import StartError, has_ended

from .processes import NOBODY, as_nobody, eventually, fork, is_gone, kill, on_linux


@pytest.fixture
def server(data_dir: Path) -> Iterator[valkey.Valkey]:
    server = valkey.start(data_dir)
    yield server
    server.stop()


def test_client_gets_in_with_the_url_only(server: valkey.Valkey) -> None:
    with redis.Redis.from_url(server.url) as client:
        assert client.set("key", "value", ex=60)
        assert client.get("key") == b"value"
        assert client.eval("return redis.call('GET', KEYS[1])", 1, "key") == b"value"
    once = Retry(NoBackoff(), 0)
    with redis.Redis(port=server.port, retry=once) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_queues_are_never_evicted_and_nothing_goes_to_disk(server: valkey.Valkey) -> None:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        config = client.config_get("*")
    assert config["maxmemory-policy"] == "volatile-lru"
    assert int(config["maxmemory"]) > 0
    assert (config["save"], config["appendonly"], config["bind"]) == ("", "no", "127.0.0.1")


def test_password_is_private_and_shown_nowhere(server: valkey.Valkey, data_dir: Path) -> None:
    for name in ("password", "valkey.conf"):
        assert stat.S_IMODE((data_dir / "valkey" / name).stat().st_mode) == 0o600
    words = " ".join(psutil.Process(server.pid).cmdline()) + repr(server)
    assert server.password not in words + (data_dir / "logs" / "valkey.log").read_text(encoding="utf-8")
    assert server.password not in " ".join(psutil.Process(server.pid).environ().values())


def test_restart_after_kill_9_keeps_the_url(data_dir: Path) -> None:
    server = valkey.start(data_dir)
    server.process.kill()
    server.process.wait()
    again = valkey.start(data_dir, port=server.port)
    assert again.url == server.url
    again.stop()
    assert is_gone(again.pid)


def test_orphan_is_found_and_replaced(data_dir: Path) -> None:
    orphan = valkey.start(data_dir)
    found = valkey.running(data_dir)
    assert found
    assert (found.pid, found.url) == (orphan.pid, orphan.url)
    heir = valkey.start(data_dir)
    assert has_ended(orphan.process)
    assert heir.port == orphan.port
    heir.stop()
    assert valkey.running(data_dir) is None


def test_pid_file_that_names_a_stranger_is_stale(data_dir: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (data_dir / "valkey").mkdir()
        (data_dir / "valkey" / "valkey.pid").write_text(f"{stranger.pid}\n")
        server = valkey.start(data_dir)
        assert stranger.poll() is None
        server.stop()
    finally:
        stranger.kill()
        stranger.wait()


def test_port_that_must_stay_but_is_taken_is_explained(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PORT_GRACE_S", 0)
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port} was taken by"):
            valkey.start(data_dir, port=port)


def test_folder_with_a_space_works(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    folder.mkdir()
    valkey.start(folder).stop()


def test_missing_binary_advises_redis_url(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StartError, match="Set REDIS_URL"):
        valkey.start(data_dir)


def test_broken_start_says_what_valkey_said(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "CONFIGURATION", valkey.CONFIGURATION + "no-such-directive yes\n")
    with pytest.raises(StartError, match="no-such-directive"):
        valkey.start(data_dir)


def test_ordinary_user_needs_nothing_special(data_dir: Path) -> None:
    def start_and_look() -> str:
        server = valkey.start(data_dir)
        user = psutil.Process(server.pid).uids().real
        server.stop()
        return f"{user} {is_gone(server.pid)}"

    if os.geteuid() == 0:
        shutil.chown(data_dir, NOBODY, NOBODY)
    assert as_nobody(start_and_look) == f"{NOBODY if os.geteuid() == 0 else os.geteuid()} True"


@on_linux
def test_server_dies_with_a_killed_parent(data_dir: Path) -> None:
    parent, pid = fork(lambda: str(valkey.start(data_dir).pid))
    assert not is_gone(int(pid))
    kill(parent)
    eventually(lambda: is_gone(int(pid)))
