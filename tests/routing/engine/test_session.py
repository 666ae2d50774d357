"""Which conversation a request belongs to."""

import json

import pytest

from routing.engine.body import read_members
from routing.engine.session import derived_id, session_id, thread_of

CODEX = {b"user-agent": b"codex_cli_rs/0.44"}
ORDER = [
    ({b"x-routex-session-id": b"own"}, "own"),
    ({b"x-claude-code-session-id": b"claude"}, "claude"),
    (CODEX | {b"session-id": b"codex"}, "codex"),
    (CODEX | {b"thread-id": b"thread"}, "thread"),
    (CODEX | {b"session_id": b"older"}, "older"),
    (CODEX | {b"conversation_id": b"oldest"}, "oldest"),
    ({b"x-opencode-session": b"opencode"}, "opencode"),
    ({b"x-session-id": b"plain"}, "plain"),
]


@pytest.mark.parametrize("place", range(len(ORDER)))
def test_the_first_identifier_wins(place):
    later = {}
    for headers, _ in reversed(ORDER[place:]):
        later |= headers
    assert session_id(later, "hint") == ORDER[place][1]


@pytest.mark.parametrize("name", [b"session-id", b"thread-id", b"session_id", b"conversation_id"])
def test_codex_headers_mean_nothing_from_other_clients(name):
    assert session_id({name: b"x", b"user-agent": b"curl/8"}, "hint") == "hint"


def test_without_a_header_the_body_names_it():
    assert session_id({}, "user_1") == "user_1"
    assert session_id({}, "") == ""


def test_long_ids_are_cut_and_odd_ones_are_named_by_their_hash():
    assert len(session_id({b"x-session-id": b"a" * 5000}, "")) == 200
    odd = thread_of("a\x00b\ud800", {})
    assert odd.startswith("odd-") and odd.isprintable() and odd != thread_of("a\x00b", {})


def test_a_sub_agent_is_a_thread_of_its_own():
    headers = {b"x-claude-code-agent-id": b"explorer", b"x-claude-code-parent-agent-id": b"main"}
    assert thread_of("s", headers) == "s/explorer"
    assert thread_of("s", {}) == "s"


def derived(key="key_1", **body):
    return derived_id(key, read_members(json.dumps(body).encode()).values)


def chat(*turns, system="You help."):
    said = [{"role": role, "content": text} for role, text in turns]
    return derived(model="m", messages=[{"role": "system", "content": system}, *said])


def test_a_conversation_is_known_by_its_beginning():
    first = chat(("user", "hi"))
    assert first.startswith("begun-")
    assert chat(("user", "hi"), ("assistant", "Hello"), ("user", "more")) == first
    assert (
        len({first, chat(("user", "other")), chat(("user", "hi"), system="Else."), chat(("user", "hi"), system="")})
        == 4
    )


def test_the_same_beginning_of_another_key_is_another_conversation():
    body = {"messages": [{"role": "user", "content": "hi"}]}
    assert derived("key_1", **body) != derived("key_2", **body)


@pytest.mark.parametrize(
    "bodies",
    [
        [
            {"system": "s", "messages": [{"role": "user", "content": [block]}]}
            for block in (
                {"type": "text", "text": "hi"},
                {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}},
            )
        ],
        [
            {"instructions": "s", "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}, *more]}
            for more in ([], [{"role": "assistant", "content": []}])
        ],
        [
            {"contents": [{"parts": [{"text": "hi"}]}, *more], "systemInstruction": {"parts": [{"text": "s"}]}}
            for more in ([], [{"role": "model", "parts": [{"text": "Hello"}]}, {"role": "user", "parts": []}])
        ],
        [{"messages": [{"role": "user", "content": "x" * 300_000}, *more]} for more in ([], [{"role": "assistant"}])],
        [{"input": "just text", "stream": is_stream} for is_stream in (True, False)],
    ],
    ids=["marks-move", "responses", "gemini", "huge", "string"],
)
def test_what_is_added_later_changes_nothing(bodies):
    ids = {derived(**body) for body in bodies}
    assert len(ids) == 1 and ids != {""}


@pytest.mark.parametrize(
    "body",
    [{}, {"messages": []}, {"messages": "x"[:0] or 3}, {"messages": [1, 2]}, {"messages": [{"role": "assistant"}]}],
)
def test_a_body_without_a_users_message_names_nothing(body):
    assert derived(**body) == ""


@pytest.mark.parametrize("content", [None, 5, {}, [None, 3, {"text": 4}, {"text": None}], "\ud800", [["deep"] * 50]])
def test_odd_contents_are_survived(content):
    assert derived(messages=[{"role": "user", "content": content}]).startswith("begun-")
