"""HTTP through both servers, as raw bytes on loopback sockets."""

from __future__ import annotations

import pytest


def test_answer_has_no_server_banner(server):
    with server.wire() as wire:
        response = wire.get("/hello").response()
    assert (response.status, response.body) == (200, b"hello")
    assert "server" not in response.headers


def test_connection_serves_several_requests(server):
    with server.wire() as wire:
        assert [wire.get("/hello").response().body for _ in range(3)] == [b"hello"] * 3


def test_pipelined_requests_are_answered_in_order(server):
    with server.wire() as wire:
        wire.send(
            b"GET /stream?n=2&ms=50 HTTP/1.1\r\nhost: test\r\n\r\n"
            b"POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\nabc"
            b"GET /hello HTTP/1.1\r\nhost: test\r\n\r\n"
        )
        assert wire.response().body == b"event 0\nevent 1\n"
        assert wire.response().json["length"] == 3
        assert wire.response().body == b"hello"


def test_request_may_arrive_byte_by_byte(server):
    with server.wire() as wire:
        for byte in b"POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\nabc":
            wire.send(bytes([byte]))
        assert wire.response().json["length"] == 3


def test_chunked_body_is_put_together(server):
    with server.wire() as wire:
        wire.send(b"POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n")
        wire.send(b"3;note=x\r\nabc\r\n4\r\nde").send(b"fg\r\n0\r\ntrailer: x\r\n\r\n")
        answer = wire.response().json
        assert (answer["length"], answer["sum"]) == (7, sum(b"abcdefg"))
        assert wire.get("/hello").response().body == b"hello"


def test_expect_100_gets_its_go_ahead(server):
    with server.wire() as wire:
        wire.send(b"POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n")
        assert wire.response().status == 100
        assert wire.send(b"abc").response().json["length"] == 3


def test_head_has_the_length_and_no_body(server):
    with server.wire() as wire:
        wire.send(b"HEAD /hello HTTP/1.1\r\nhost: test\r\n\r\n")
        response = wire.response(has_body=False)
        assert (response.status, response.headers["content-length"]) == (200, "5")
        assert wire.get("/hello").response().body == b"hello"


def test_204_has_neither_body_nor_framing(server):
    with server.wire() as wire:
        response = wire.get("/204").response()
        assert response.status == 204
        assert "transfer-encoding" not in response.headers
        assert wire.get("/hello").response().body == b"hello"


def test_connection_close_is_honoured(server):
    with server.wire() as wire:
        response = wire.get("/hello", "connection: close").response()
        assert response.headers["connection"] == "close"
        assert wire.rest() == b""


def test_http_1_0_stream_ends_with_the_connection(daphne):
    with daphne.wire() as wire:
        wire.send(b"GET /stream?n=3&ms=1 HTTP/1.0\r\n\r\n")
        response = wire.response()
    assert "transfer-encoding" not in response.headers
    assert response.body == b"event 0\nevent 1\nevent 2\n"


def test_http_1_0_stream_that_breaks_ends_with_a_reset(daphne):
    with daphne.wire() as wire:
        wire.send(b"GET /fail-late HTTP/1.0\r\n\r\n")
        wire.until(b"\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            while wire.sock.recv(100):
                pass


def test_scope_tells_the_request(server):
    with server.wire() as wire:
        scope = wire.get("/scop%65?a=%20b", "X-Two: 1", "x-two: 2").response().json
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("GET", "/scope", "/scop%65")
    assert (scope["query"], scope["http_version"], scope["scheme"]) == ("a=%20b", "1.1", "http")
    assert [value for name, value in scope["headers"] if name == "x-two"] == ["1", "2"]


def test_client_sets_no_root_path_and_no_underscored_header(server):
    with server.wire() as wire:
        scope = wire.get("/scope", "daphne-root-path: /evil", "x_routex_tenant: evil").response().json
    assert scope["root_path"] == ""
    assert "x_routex_tenant" not in dict(scope["headers"])


UNDERSCORED = (
    "Session_Id: older",
    "conversation_id: oldest",
    "x_api_key: evil",
    "session__id: evil",
    "session-id: new",
)


def test_underscored_names_of_older_codex_reach_the_gateway_and_shadow_nothing(server):
    with server.wire() as wire:
        scope = wire.get("/v1/scope", *UNDERSCORED).response().json
    names = {"session_id": "older", "conversation_id": "oldest", "session-id": "new"}
    assert {name: value for name, value in scope["headers"] if "_" in name or name == "session-id"} == names


@pytest.mark.parametrize("path", ["/scope", "/scope?/v1/"])
def test_underscored_names_reach_no_other_path(server, path):
    with server.wire() as wire:
        scope = wire.get(path, *UNDERSCORED).response().json
    assert not any("_" in name for name, _ in scope["headers"])


@pytest.mark.parametrize(
    "head",
    [
        b"GET /hello HTTP/1.1\r\nhost: test\r\nbad name: x\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nhost: test\r\nx-note: a\x00b\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nhost: test\r\nno colon\r\n\r\n",
        b"GET /hello HTTP/1.1 more\r\nhost: test\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: +3\r\n\r\nabc",
        b"POST /echo HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
    ],
    ids=["name", "nul", "colon", "line", "two-framings", "two-lengths", "signed-length", "chunk-size"],
)
def test_malformed_request_is_refused_and_cut(server, head):
    with server.wire() as wire:
        assert b" 400 " in wire.send(head).rest().partition(b"\r\n")[0]


def test_value_that_others_take_for_a_line_end_is_refused(daphne):
    with daphne.wire() as wire:
        assert wire.get("/hello", "x-note: a\x0bb").response().status == 400


def test_head_in_one_piece_over_the_limit_is_refused(server):
    with server.wire() as wire:
        wire.get("/hello", *(f"x-{number}: {'y' * 2000}" for number in range(20)))
        assert b" 400 " in wire.rest().partition(b"\r\n")[0]


def test_single_header_over_the_limit_is_refused(server):
    with server.wire() as wire:
        wire.get("/hello", f"x-note: {'y' * 40_000}")
        assert b" 400 " in wire.rest().partition(b"\r\n")[0]


def test_endless_head_is_refused(server):
    with server.wire() as wire:
        wire.send(b"GET /hello HTTP/1.1\r\nx-note: ")
        with pytest.raises(OSError):
            for _ in range(1000):
                wire.send(b"y" * 4096)
        assert b"hello" not in wire.rest()


def test_head_below_the_limit_is_served(server):
    with server.wire() as wire:
        assert wire.get("/hello", f"x-note: {'y' * 20_000}").response().status == 200


# What goes wrong in the application


@pytest.mark.timeout(8)
def test_exceptions_are_answered_at_once(server):
    wires = [server.wire() for _ in range(20)]
    for wire in wires:  # stock Daphne needs up to a second for each, longer than pytest lets this test run
        with wire:
            assert wire.get("/fail").response().status == 500


def test_return_without_an_answer_is_a_500(server):
    with server.wire() as wire:
        assert wire.get("/return").response().status == 500


def test_stream_that_breaks_has_no_clean_end(server):
    with server.wire() as wire:
        received = wire.get("/fail-late").rest()
    assert received.endswith(b"4\r\nhalf\r\n")


def test_body_shorter_than_its_length_ends_the_connection(server):
    with server.wire() as wire:
        received = wire.get("/too-short").get("/hello").rest()
    assert received.endswith(b"\r\n\r\nshort")


def test_body_longer_than_its_length_is_not_sent(server):
    with server.wire() as wire:
        received = wire.get("/too-long", "connection: close").rest()
    assert b"longer" not in received


def test_line_end_in_a_sent_header_is_never_written(server):
    with server.wire() as wire:
        response = wire.get("/bad-header", "connection: close").rest()
    assert b" 200 " not in response
    assert b"x-injected" not in response
