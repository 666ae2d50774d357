"""ASGI applications that the server tests run in real server processes."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import socket
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs

LIMIT = int(os.environ.get("ROUTEX_MAX_BODY_MB", "32")) * 1024 * 1024
counts: Counter[str] = Counter()


def note(word):
    """Tell the test across the end of the process."""
    if path := os.environ.get("TEST_NOTES"):
        with Path(path).open("a") as file:
            file.write(word + "\n")


async def answer(send, body, status=200, headers=()):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def begin(send, headers=()):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain"), *headers]})


async def hello(scope, receive, send):
    await answer(send, b"hello")


async def status_204(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def show_scope(scope, receive, send):
    shown = {key: scope[key] for key in ("method", "path", "root_path", "http_version", "scheme")}
    shown["raw_path"], shown["query"] = scope["raw_path"].decode(), scope["query_string"].decode()
    shown["headers"] = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    await answer(send, shown)


def own_socket_options(client_port):
    """Return TCP_NODELAY of this process's sockets that talk to the port."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            sock = socket.socket(fileno=int(entry.name))
        except OSError:
            continue
        try:
            if sock.family == socket.AF_INET and sock.getpeername()[1] == client_port:
                found.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        except OSError:  # it listens
            continue
        finally:
            sock.detach()
    return found


async def process_state(scope, receive, send):
    nodelay = own_socket_options(scope["client"][1])
    state = {"pid": os.getpid(), "frozen": gc.get_freeze_count(), "threshold": gc.get_threshold(), "nodelay": nodelay}
    state["descriptors"] = resource.getrlimit(resource.RLIMIT_NOFILE)
    await answer(send, state)


async def stats(scope, receive, send):
    await answer(send, counts)


async def echo(scope, receive, send):
    """Read all, answer how it came."""
    sizes, body = [], b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            counts["told_to_stop_reading"] += 1
            return
        sizes.append(len(message["body"]))
        body += message["body"]
        if not message["more_body"]:
            break
    await answer(send, {"messages": len(sizes), "length": len(body), "sum": sum(body) % 65521})


async def limited(scope, receive, send):
    """An application with a limit and an error body of its own."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    length, more_body = 0, int(declared) <= LIMIT
    while more_body and length <= LIMIT:
        message = await receive()
        length, more_body = length + len(message["body"]), message["more_body"]
    if int(declared) > LIMIT or length > LIMIT:
        await answer(send, {"error": "too large for me"}, status=413)
    else:
        await answer(send, {"length": length})


async def drain(scope, receive, send):
    """Read all, keep nothing; notes how much had come when it first looked."""
    length, more_body = 0, True
    while more_body:
        message = await receive()
        if message["type"] == "http.disconnect":
            counts["told_to_stop_draining"] += 1
            return
        if not length:
            counts["drains_begun"] += 1
        length, more_body = length + len(message["body"]), message["more_body"]
    await answer(send, {"length": length})


async def deaf(scope, receive, send):
    """Take nothing in, for as long as the test holds its file open."""
    counts["deaf"] += 1
    while Path(os.environ["TEST_NOTES"]).exists():
        await asyncio.sleep(0.02)
    await drain(scope, receive, send)


async def fail(scope, receive, send):
    raise RuntimeError("on purpose")


async def fail_late(scope, receive, send):
    await begin(send)
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise RuntimeError("on purpose")


async def return_early(scope, receive, send):
    return


async def too_short(scope, receive, send):
    await begin(send, [(b"content-length", b"10")])
    await send({"type": "http.response.body", "body": b"short"})


async def too_long(scope, receive, send):
    await begin(send, [(b"content-length", b"3")])
    await send({"type": "http.response.body", "body": b"longer"})


async def bad_header(scope, receive, send):
    await begin(send, [(b"x-note", b"a\r\nx-injected: b")])
    await send({"type": "http.response.body", "body": b"never"})


async def stream(scope, receive, send):
    """n events, some milliseconds apart."""
    query = parse_qs(scope["query_string"].decode())
    count, pause_s = int(query["n"][0]), int(query["ms"][0]) / 1000
    await begin(send)
    try:
        for number in range(count):
            await send({"type": "http.response.body", "body": b"event %d\n" % number, "more_body": True})
            await asyncio.sleep(pause_s)
        await send({"type": "http.response.body", "body": b""})
    except asyncio.CancelledError:
        note("cancelled")
        raise


async def blocks(scope, receive, send):
    """Send 500 blocks of 10 kB, each unlike the others."""
    await begin(send)
    for number in range(500):
        await send({"type": "http.response.body", "body": b"%05d" % number * 2000, "more_body": number < 499})


async def endless(scope, receive, send):
    """Send as fast as the client reads, until it leaves."""
    await begin(send)
    gone = asyncio.ensure_future(receive_disconnect(receive))
    while not gone.done():
        await send({"type": "http.response.body", "body": b"x" * 16384, "more_body": True})
        counts["endless_bytes"] += 16384
        await asyncio.sleep(0)
    counts["endless_ended"] += 1


async def receive_disconnect(receive):
    while (await receive())["type"] != "http.disconnect":
        pass
    counts["disconnects"] += 1


async def wait(scope, receive, send):
    counts["waiting"] += 1
    await receive_disconnect(receive)


async def stubborn(scope, receive, send):
    counts["stubborn"] += 1
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        counts["stubborn_cancelled"] += 1
        raise


async def ws_echo(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "fail":
            raise RuntimeError("on purpose")
        if message.get("text") == "root_path":
            message = {"text": scope["root_path"]}
        kind = "text" if message.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: message[kind]})
    counts["ws_ended"] += 1


async def ws_return(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})


async def ws_reject(scope, receive, send):
    await receive()
    await send({"type": "websocket.close"})


async def ws_endless(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    gone = asyncio.ensure_future(receive())
    try:
        while not gone.done():
            await send({"type": "websocket.send", "bytes": b"x" * 16384})
            counts["ws_endless_bytes"] += 16384
            await asyncio.sleep(0)
    finally:
        counts["ws_endless_ended"] += 1


async def ws_deaf(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await asyncio.sleep(60)


PATHS = {
    "/hello": hello,
    "/204": status_204,
    "/scope": show_scope,
    "/v1/scope": show_scope,
    "/process": process_state,
    "/stats": stats,
    "/echo": echo,
    "/limited": limited,
    "/drain": drain,
    "/deaf": deaf,
    "/fail": fail,
    "/fail-late": fail_late,
    "/return": return_early,
    "/too-short": too_short,
    "/too-long": too_long,
    "/bad-header": bad_header,
    "/stream": stream,
    "/blocks": blocks,
    "/endless": endless,
    "/wait": wait,
    "/stubborn": stubborn,
    "/ws/echo": ws_echo,
    "/ws/return": ws_return,
    "/ws/reject": ws_reject,
    "/ws/endless": ws_endless,
    "/ws/deaf": ws_deaf,
}


async def lifespan(receive, send):
    while True:
        kind = (await receive())["type"].removeprefix("lifespan.")
        if os.environ.get("TEST_FAIL") == f"raise in {kind}":
            raise RuntimeError("on purpose")
        if os.environ.get("TEST_FAIL") == f"say in {kind}":
            await send({"type": f"lifespan.{kind}.failed", "message": "the disk is full"})
            return
        note(kind)
        await send({"type": f"lifespan.{kind}.complete"})
        if kind == "shutdown":
            return


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    else:
        await PATHS[scope["path"]](scope, receive, send)
