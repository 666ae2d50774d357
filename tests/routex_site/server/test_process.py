"""A server process from its start to its end."""

from __future__ import annotations

import socket
import struct

import pytest

from routex_site.embedded.process import port_problem
from routex_site.server.listen import DESCRIPTORS, bind, start_listening
from routex_site.server.options import BACKLOG


def test_life_of_a_server_is_silent_and_runs_the_applications_start_and_end(kind, launch, tmp_path):
    notes = tmp_path / "notes"
    server = launch(kind, TEST_NOTES=str(notes))
    assert notes.read_text() == "startup\n"  # before the port opened
    with server.wire() as wire:
        assert wire.get("/hello").response().status == 200
    assert server.stop() == 0
    assert notes.read_text() == "startup\nshutdown\n"
    assert server.errors.read_text() == ""


def test_taken_port_ends_the_start(kind, run_to_the_end):
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        ended = run_to_the_end(ROUTEX_SERVER=kind, ROUTEX_PORT=str(port))
    assert ended.returncode == 1
    assert ended.stderr == f"Port {port} on 127.0.0.1 is taken. Stop the program that uses it, or set ROUTEX_PORT.\n"


@pytest.mark.parametrize(
    ("env", "arguments", "words"),
    [
        ({"ROUTEX_SERVER": "apache"}, (), "ROUTEX_SERVER"),
        ({"ROUTEX_HOST": "no.such.host.invalid"}, (), "ROUTEX_HOST"),
        ({"ROUTEX_HOST": "192.0.2.1"}, (), "ROUTEX_HOST"),
        ({}, ("--fd", "99"), "--fd 99"),
        ({}, ("--fd", "0"), "--fd 0"),
        ({"ROUTEX_SERVER": "uvicorn"}, ("--app", "no_such_module:application"), "no_such_module"),
        ({"ROUTEX_SERVER": "uvicorn"}, ("--app", "asgi_apps:no_such_name"), "no_such_name"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(run_to_the_end, env, arguments, words):
    ended = run_to_the_end(*arguments, **{"ROUTEX_PORT": "18999", **env})
    assert ended.returncode == 1
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("kind", "fault", "words"),
    [
        ("daphne", "say", "the disk is full"),
        ("uvicorn", "say", "the disk is full"),
        ("uvicorn", "raise", "on purpose"),  # told by code that both share
    ],
)
def test_failed_start_of_the_application_ends_the_process(run_to_the_end, kind, fault, words):
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
    ended = run_to_the_end(ROUTEX_SERVER=kind, ROUTEX_PORT=str(port), TEST_FAIL=f"{fault} in startup")
    assert ended.returncode == 1
    assert words in ended.stderr.splitlines()[-1]


def test_failed_end_of_the_application_is_told(launch):
    server = launch("uvicorn", TEST_FAIL="say in shutdown")
    assert server.stop() == 0
    assert "the disk is full" in server.errors.read_text()


def test_sigterm_refuses_new_connections_and_lets_a_stream_finish(kind, launch, tmp_path):
    server = launch(kind, TEST_NOTES=str(tmp_path / "notes"))
    idle = server.wire()
    idle.get("/hello").response()
    with server.wire() as wire:
        wire.get("/stream?n=5&ms=100").until(b"event 0\n")
        server.listener.close()
        server.process.terminate()
        assert idle.rest() == b""
        with pytest.raises((ConnectionRefusedError, ConnectionResetError)):
            for _ in range(1000):
                server.wire()
        assert wire.rest().endswith(b"event 4\n\r\n0\r\n\r\n")
    assert server.wait() == 0
    assert (tmp_path / "notes").read_text() == "startup\nshutdown\n"


def test_stream_that_goes_on_is_cancelled_when_the_wait_is_over(kind, launch, tmp_path):
    server = launch(kind, {"stop_wait_s": 0.3}, TEST_NOTES=str(tmp_path / "notes"))
    with server.wire() as wire:
        wire.get("/stream?n=1000&ms=100").until(b"event 0\n")
        assert server.stop() == 0
        assert not wire.rest().endswith(b"0\r\n\r\n")
    assert (tmp_path / "notes").read_text() == "startup\ncancelled\nshutdown\n"


def test_request_that_has_begun_at_the_end_is_answered_and_its_connection_closed(launch):
    server = launch("daphne", {"stop_wait_s": 25})
    idle = server.wire()
    with server.wire() as wire:
        wire.send(b"GET /hello HTTP/1.1\r\n")
        server.ask("/stats")  # the line is read by now
        server.process.terminate()
        assert idle.rest() == b""
        response = wire.send(b"host: test\r\n\r\n").response()
        assert (response.status, response.headers["connection"]) == (200, "close")
    assert server.process.wait(15) == 0


def test_second_signal_ends_the_wait(kind, launch, tmp_path):
    server = launch(kind, {"stop_wait_s": 25}, TEST_NOTES=str(tmp_path / "notes"))
    idle = server.wire()
    with server.wire() as wire:
        wire.get("/stream?n=1000&ms=100").until(b"event 0\n")
        server.process.terminate()
        assert idle.rest() == b""  # the first one is handled
        server.process.terminate()
        assert server.process.wait(15) == 0
    assert (tmp_path / "notes").read_text() == "startup\ncancelled\nshutdown\n"


def test_long_queue_of_connections_may_wait(server):
    info = server.listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    longest = struct.unpack_from("6I", info, 8)[5]  # tcpi_sacked: of a listening socket, its backlog
    with open("/proc/sys/net/core/somaxconn") as file:  # noqa: PTH123
        assert longest == min(BACKLOG, int(file.read()))


def test_sockets_send_without_delay_and_the_collector_leaves_the_start_alone(server):
    state = server.ask("/process")
    assert state["nodelay"] == [1]
    assert state["frozen"] > 10_000
    assert state["threshold"][0] == 10_000


def test_process_allows_itself_many_sockets(server):
    soft, hard = server.ask("/process")["descriptors"]
    assert soft == min(DESCRIPTORS, hard)


def test_processes_share_a_port(launch):
    first = bind("127.0.0.1", 0, shared=True)
    second = bind("127.0.0.1", first.getsockname()[1], shared=True)
    for sock in (first, second):
        start_listening(sock)  # now, so that the slower of the two processes gets its share too
    servers = [launch("daphne", sock=first), launch("uvicorn", sock=second)]
    pids = {servers[0].ask("/process")["pid"] for _ in range(60)}
    assert pids == {server.process.pid for server in servers}


def test_shared_port_taken_by_another_program_is_noticed():
    with bind("127.0.0.1", 0, shared=True) as taken:
        taken.listen()
        assert port_problem("127.0.0.1", taken.getsockname()[1]), "the supervisor asks before it starts several"


def test_servers_import_no_django(run_python):
    code = (
        "import sys, routex_site.server.__main__, routex_site.server.tuned_daphne, routex_site.server.tuned_uvicorn;"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in {'django', 'channels'}))"
    )
    ended = run_python("-c", code)
    assert ended.stdout == "[]\n", ended.stderr
