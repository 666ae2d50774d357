"""The embedded PostgreSQL, each time for real."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from routex_site.embedded import postgres, process, unprivileged
from routex_site.embedded.process import StartError, has_ended
from routex_site.embedded.secrets import read_secret

from .processes import NOBODY, ROOT, as_nobody, eventually, fork, is_gone, kill, new_folder, on_linux

is_root = os.geteuid() == 0
needs_root = pytest.mark.skipif(not is_root, reason="only root has to become somebody else")


@pytest.fixture(scope="module")
def server(template: Path) -> Iterator[postgres.PostgreSQL]:
    """One server for the tests that only look at it."""
    folder = Path(shutil.copytree(template, new_folder(), dirs_exist_ok=True))
    server = postgres.start(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


def cluster_of(server: postgres.PostgreSQL) -> Path:
    argv = psutil.Process(server.pid).cmdline()
    return Path(argv[argv.index("-D") + 1])


def superuser_url(server: postgres.PostgreSQL) -> str:
    password = read_secret(cluster_of(server).parent / "superuser-password")
    return f"postgresql://postgres:{password}@127.0.0.1:{server.port}/postgres"


def setting(server: postgres.PostgreSQL, name: str) -> str:
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row
    return str(row[0])


def test_roles_are_plain_and_the_app_does_not_inherit(server: postgres.PostgreSQL) -> None:
    with psycopg.connect(server.url) as connection:
        roles = connection.execute(
            "SELECT rolname, rolcanlogin, rolsuper, rolbypassrls FROM pg_roles WHERE rolname LIKE 'routex%' ORDER BY 1"
        ).fetchall()
        grant = connection.execute(
            "SELECT roleid::regrole::text, inherit_option, set_option, admin_option FROM pg_auth_members"
            " WHERE member = 'routex_app'::regrole"
        ).fetchall()
        owner = connection.execute("SELECT datdba::regrole::text FROM pg_database WHERE datname = 'routex'").fetchone()
        inherits = connection.execute("SELECT rolinherit FROM pg_roles WHERE rolname = 'routex_app'").fetchone()
    assert roles == [("routex_app", True, False, False), ("routex_writer", False, False, False)]
    assert grant == [("routex_writer", False, True, False)]
    assert (owner, inherits) == (("routex_app",), (False,))


def test_policies_bind_the_app_and_the_writer_may_copy(server: postgres.PostgreSQL) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("SET ROLE routex_writer")
        connection.execute("CREATE TABLE record (tenant text NOT NULL)")
        connection.execute("ALTER TABLE record ENABLE ROW LEVEL SECURITY")
        connection.execute("CREATE POLICY own ON record USING (tenant = current_setting('app.tenant', true))")
        connection.execute("GRANT SELECT, INSERT ON record TO routex_app")
        with connection.cursor().copy("COPY record FROM STDIN") as copy:
            copy.write_row(["acme"])
            copy.write_row(["rival"])
        connection.execute("RESET ROLE")
        assert connection.execute("SELECT * FROM record").fetchall() == []
        connection.execute("SET app.tenant = 'acme'")
        assert connection.execute("SELECT * FROM record").fetchall() == [("acme",)]
        with (
            pytest.raises(psycopg.errors.FeatureNotSupported),
            connection.cursor().copy("COPY record FROM STDIN") as copy,
        ):
            copy.write_row(["acme"])
        connection.rollback()


def test_schemas_and_tables_can_be_made_by_the_app(server: postgres.PostgreSQL) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE SCHEMA tenant_x CREATE TABLE thing (name text)")
        connection.execute("CREATE TABLE public.shared (name text)")
        connection.rollback()


def test_settings_are_ours(server: postgres.PostgreSQL) -> None:
    assert setting(server, "listen_addresses") == "127.0.0.1"
    assert setting(server, "max_locks_per_transaction") == "256"
    assert setting(server, "max_connections") == "200"
    assert setting(server, "server_version_num").startswith("18")
    assert setting(server, "TimeZone") == "UTC"
    with psycopg.connect(server.url) as connection:
        locale = connection.execute(
            "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'routex'"
        ).fetchone()
    assert locale == ("b", "C.UTF-8")


def test_nobody_gets_in_without_the_password(server: postgres.PostgreSQL) -> None:
    for user in ("routex_app", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://{user}@127.0.0.1:{server.port}/routex", passfile="/nonexistent")


def test_passwords_are_private_and_shown_nowhere(server: postgres.PostgreSQL) -> None:
    home = cluster_of(server).parent
    for name in ("superuser-password", "app-password"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    words = " ".join(psutil.Process(server.pid).cmdline()) + repr(server)
    words += (home.parent / "logs" / "postgresql.log").read_text(encoding="utf-8")
    assert server.password not in words
    assert not (home / "initdb-password").exists()


def test_lines_for_a_managed_server_in_the_adr_work(server: postgres.PostgreSQL) -> None:
    adr = (ROOT / "docs/adr/0003-embedded-postgresql-and-valkey.md").read_text(encoding="utf-8")
    block = re.search(r"```sql\n(.*?)```", adr, re.DOTALL)
    assert block
    # The roles exist here already, so the same lines make another pair and another database.
    managed = block[1].replace("routex", "managed")
    with psycopg.connect(superuser_url(server), autocommit=True) as connection:
        connection.execute("CREATE ROLE cloud_admin LOGIN CREATEROLE CREATEDB PASSWORD 'admin'")
    first, second = managed.split("\\connect managed\n")
    for lines, database in ((first, "postgres"), (second, "managed")):
        url = f"postgresql://cloud_admin:admin@127.0.0.1:{server.port}/{database}"
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in filter(str.strip, lines.split(";")):
                connection.execute(statement.encode())
    login = re.search(r"PASSWORD '(.*?)'", managed)
    assert login
    with psycopg.connect(f"postgresql://managed_app:{login[1]}@127.0.0.1:{server.port}/managed") as connection:
        connection.execute("SET ROLE managed_writer")
        connection.execute("CREATE TABLE record (tenant text)")
        connection.execute("RESET ROLE")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM record")


def test_second_start_keeps_port_and_rows(made_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = postgres.start(made_dir)
    with psycopg.connect(first.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    first.stop()
    assert postgres.running(made_dir) is None
    second = postgres.start(made_dir)
    with psycopg.connect(second.url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchall() == [(42,)]
    assert not second.is_new
    assert second.url == first.url
    second.stop()

    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", first.port))
        squatter.listen()
        monkeypatch.setattr(process, "PORT_GRACE_S", 0)
        with pytest.raises(StartError, match=f"port {first.port} was taken by"):
            postgres.start(made_dir, port=first.port)
        third = postgres.start(made_dir)
        assert third.port != first.port
        third.stop()


def test_rows_survive_kill_9(made_dir: Path) -> None:
    server = postgres.start(made_dir)
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    with psycopg.connect(server.url) as witness:  # a backend that must notice the death
        server.process.kill()
        again = postgres.start(made_dir, port=server.port)
        with pytest.raises(psycopg.OperationalError):
            witness.execute("SELECT 1")
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)
    assert again.pid != server.pid
    again.stop()


def test_orphan_is_found_and_replaced(made_dir: Path) -> None:
    orphan = postgres.start(made_dir)
    found = postgres.running(made_dir)
    assert found
    assert (found.pid, found.url) == (orphan.pid, orphan.url)
    with psycopg.connect(orphan.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    heir = postgres.start(made_dir)
    assert has_ended(orphan.process)
    with psycopg.connect(heir.url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchall() == [(42,)]
    assert "shut down" in (made_dir / "logs" / "postgresql.log").read_text(encoding="utf-8")
    heir.stop()


def test_pid_file_that_names_a_stranger_is_stale(made_dir: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        cluster = postgres.cluster_folder(made_dir)
        (cluster / "postmaster.pid").write_text(f"{stranger.pid}\n{cluster}\n1\n5432\n\n127.0.0.1\n\nready\n")
        assert postgres.running(made_dir) is None
        server = postgres.start(made_dir)
        assert stranger.poll() is None
        server.stop()
    finally:
        stranger.kill()
        stranger.wait()


def test_half_made_cluster_is_made_anew(data_dir: Path) -> None:
    half = data_dir / "postgres" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = postgres.start(data_dir)
    assert server.is_new
    assert not half.exists()
    server.stop()


def test_wrong_superuser_password_is_explained(made_dir: Path) -> None:
    (made_dir / "postgres" / "superuser-password").write_text("another\n")
    with pytest.raises(StartError, match="superuser-password does not open the database"):
        postgres.start(made_dir)
    assert postgres.running(made_dir) is None


def test_other_major_version_is_explained(data_dir: Path) -> None:
    cluster = postgres.cluster_folder(data_dir)
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("16\n")
    with pytest.raises(StartError, match=r"made by PostgreSQL 16, .* carries PostgreSQL 18"):
        postgres.start(data_dir)


def test_missing_binaries_advise_database_url(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StartError, match="Set DATABASE_URL"):
        postgres.start(data_dir)


def test_broken_start_says_what_postgresql_said(made_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "SETTINGS", postgres.SETTINGS + "no_such_setting = 1\n")
    with pytest.raises(StartError, match="no_such_setting"):
        postgres.start(made_dir)


@needs_root
@pytest.mark.parametrize("size", ["64k", "3m", "12m"])  # full at once, before and after the write-ahead log is there
def test_full_disk_is_explained(data_dir: Path, size: str) -> None:
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(data_dir)], check=False)
    if mount.returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        with pytest.raises(StartError, match=rf"The disk that holds {data_dir} is full"):
            postgres.start(data_dir)
    finally:
        subprocess.run(["umount", str(data_dir)], check=True)


def test_folder_of_somebody_else_is_explained(data_dir: Path) -> None:
    def refused() -> str:
        with pytest.raises(StartError) as refusal:
            postgres.start(data_dir)
        return str(refusal.value)

    data_dir.chmod(0o555)
    assert "ROUTEX_DATA_DIR" in as_nobody(refused)
    assert os.strerror(errno.EACCES) in as_nobody(refused)


def test_ordinary_user_needs_nothing_special(data_dir: Path) -> None:
    def start_and_look() -> str:
        server = postgres.start(data_dir)
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        user = psutil.Process(server.pid).uids().real
        server.stop()
        return f"{user} {is_gone(server.pid)}"

    if is_root:
        shutil.chown(data_dir, NOBODY, NOBODY)
    assert as_nobody(start_and_look) == f"{NOBODY if is_root else os.geteuid()} True"
    if is_root:  # and root can take over that folder without taking it away from the user
        server = postgres.start(data_dir)
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchall() == [(42,)]
        assert psutil.Process(server.pid).uids().real == NOBODY
        assert postgres.cluster_folder(data_dir).stat().st_uid == NOBODY
        server.stop()


@needs_root
def test_root_without_namespaces_runs_it_as_nobody(made_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "user_namespace_allowed", lambda: False)
    assert postgres.cluster_folder(made_dir).stat().st_uid == 0  # as after a move into a container
    server = postgres.start(made_dir)
    assert psutil.Process(server.pid).uids().real == NOBODY
    server.stop()
    assert is_gone(server.pid)


@needs_root
def test_root_that_cannot_become_anybody_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unprivileged, "user_namespace_allowed", lambda: False)
    closed = tmp_path / "closed"
    (closed / "data").mkdir(parents=True)
    closed.chmod(0o700)
    with pytest.raises(StartError, match=rf"refuses to run as root, .* fails at {closed}"):
        postgres.start(closed / "data")


@on_linux
@pytest.mark.parametrize("has_namespaces", [True, pytest.param(False, marks=needs_root)])
def test_server_dies_with_a_killed_parent(
    made_dir: Path, monkeypatch: pytest.MonkeyPatch, has_namespaces: bool
) -> None:
    if not has_namespaces:
        monkeypatch.setattr(unprivileged, "user_namespace_allowed", lambda: False)
    parent, pid = fork(lambda: str(postgres.start(made_dir).pid))
    assert not is_gone(int(pid))
    kill(parent)
    eventually(lambda: is_gone(int(pid)))
    log = (made_dir / "logs" / "postgresql.log").read_text(encoding="utf-8")
    assert "received fast shutdown request" in log  # not a crash: the next start needs no recovery
