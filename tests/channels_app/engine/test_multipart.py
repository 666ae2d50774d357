"""Forms read in passing: what stands where, whatever the cuts, and nothing that two parsers may read differently."""

from __future__ import annotations

import itertools

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels_app.engine.multipart import MAX_HEAD_BYTES, MAX_VALUE_BYTES, FormScanner, MalformedForm, boundary_of

HEAD = b'content-disposition: form-data; name="model"'


def scan(body: bytes, boundary: bytes = b"b", cuts: tuple[int, ...] = ()):
    scanner = FormScanner(boundary)
    found = []
    edges = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    for start, end in itertools.pairwise(edges):
        found += scanner.feed(body[start:end])
    scanner.finish()
    return found


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end


def encoded(**fields):
    """Return body and boundary of a form as a widespread client writes it."""
    files = {name: value for name, value in fields.items() if isinstance(value, tuple)}
    data = {name: value for name, value in fields.items() if not isinstance(value, tuple)}
    request = httpx.Request("POST", "http://x/", data=data, files=files)
    return request.read(), boundary_of(request.headers["content-type"].encode())


def test_a_clients_form_is_read():
    audio = bytes(range(256)) * 40 + b"\r\n--"
    body, boundary = encoded(model="whisper-1", prompt='ü "x"', file=("ä b.wav", audio, "audio/wav"))
    model, prompt, file = scan(body, boundary)
    assert (model.name, model.value, body[model.start : model.end]) == ("model", b"whisper-1", b"whisper-1")
    assert prompt.value == 'ü "x"'.encode()
    assert (file.is_file, file.content_type, body[file.start : file.end], file.value) == (True, "audio/wav", audio, b"")


@given(
    values=st.lists(st.binary(max_size=300), min_size=1, max_size=4),
    cuts=st.lists(st.integers(1, 1500), max_size=12).map(tuple),
)
@settings(max_examples=150, deadline=None)
def test_parts_do_not_depend_on_the_cuts(values, cuts):
    if any(b"--b" in value for value in values):
        return
    body = form(*(HEAD + b"\r\n\r\n" + value for value in values))
    whole = scan(body)
    assert [part.value for part in whole] == [body[part.start : part.end] for part in whole] == values
    assert scan(body, cuts=cuts) == scan(body, cuts=tuple(range(1, len(body)))) == whole


@pytest.mark.parametrize(
    "body",
    [
        form(HEAD + b"\r\n\r\nm", end=b"--b--"),
        b"\r\n" + form(HEAD + b"\r\n\r\nm"),
        form(HEAD + b"\r\n\r\nm", end=b"--b--\r\nan epilogue that nobody reads"),
        form(b"Content-Disposition:form-data;name=model\r\n\r\nm"),
        form(HEAD + b"\r\ncontent-type: text/plain; charset=utf-8\r\n\r\nm"),
    ],
)
def test_lawful_variants_are_read(body):
    (part,) = scan(body)
    assert (part.name, part.value, body[part.start : part.end]) == ("model", b"m", b"m")


@pytest.mark.parametrize("number", [b"1", b"01"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_parts_own_length_is_found(number, place):
    line = b"Content-Length: " + number
    head = line + b"\r\n" + HEAD if place == "before" else HEAD + b"\r\n" + line
    body = form(b'content-disposition: form-data; name="language"\r\ncontent-length:2\r\n\r\nen', head + b"\r\n\r\nm")
    other, part = scan(body)
    assert (other.length, part.length, part.value) == (b"2", number, b"m")
    assert body[part.length_at :].startswith(number + b"\r\n")
    assert scan(body, cuts=tuple(range(1, len(body)))) == [other, part]


def test_an_empty_value_is_a_value():
    body = form(HEAD + b"\r\n\r\n")
    (part,) = scan(body)
    assert part.value == b"" and part.start == part.end


def test_a_long_value_is_found_and_not_kept():
    body = form(HEAD + b"\r\n\r\n" + b"x" * (3 * MAX_VALUE_BYTES))
    (part,) = scan(body, cuts=tuple(range(0, len(body), 1000)))
    assert part.end - part.start == 3 * MAX_VALUE_BYTES
    assert len(part.value) == MAX_VALUE_BYTES


def test_little_is_held_of_a_large_file():
    scanner = FormScanner(b"b")
    scanner.feed(b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n')
    for _ in range(100):
        scanner.feed(b"\r\n--" * 4096)
        assert len(scanner._held) + len(scanner._value) < 100


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"model": "m"}',
        b"preamble\r\n" + form(HEAD + b"\r\n\r\nm"),
        form(HEAD + b"\r\n\r\nm", end=b""),
        form(HEAD + b"\r\n\r\nm", end=b"--b\r\n"),
        form(HEAD + b"\r\n\r\nm").replace(b"\r\n", b"\n"),
        form(HEAD + b"\r\n\r\nm\r\n--bc\r\nx"),
        form(b'content-disposition: form-data; filename="x"\r\n\r\nm'),
        form(b"content-type: text/plain\r\n\r\nm"),
        form(HEAD + b'; name="other"\r\n\r\nm'),
        form(HEAD + b"; name*=utf-8''other\r\n\r\nm"),
        form(HEAD + b"\r\n" + HEAD + b"\r\n\r\nm"),
        form(HEAD + b"\r\n folded\r\n\r\nm"),
        form(HEAD + b"\nx: y\r\n\r\nm"),
        form(HEAD.replace(b"model", b"mod\\el") + b"\r\n\r\nm"),
        form(HEAD.replace(b"form-data", b"attachment") + b"\r\n\r\nm"),
        form(HEAD + b"\r\ncontent-transfer-encoding: base64\r\n\r\nbQ=="),
        form(HEAD + b"\r\ncontent-length: 2\r\n\r\nm"),
        form(HEAD + b"\r\ncontent-length: 0\r\n\r\nm"),
        form(HEAD + b"\r\ncontent-length: +1\r\n\r\nm"),
        form(HEAD + b"\r\ncontent-length:\r\n\r\nm"),
        form(HEAD + b"\r\ncontent-type: text/plain; charset=utf-16\r\n\r\nm"),
        form(HEAD + b"\r\n" + b"x: " + b"y" * MAX_HEAD_BYTES + b"\r\n\r\nm"),
        form(*[HEAD + b"\r\n\r\nm"] * 1001),
    ],
)
def test_what_receivers_may_read_differently_is_refused(body):
    with pytest.raises(MalformedForm):
        scan(body)
    with pytest.raises(MalformedForm):
        scan(body, cuts=tuple(range(1, min(len(body), 3000))))


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'Multipart/Form-Data; charset=utf-8; Boundary="a b"', b"a b"),
    ],
)
def test_the_boundary_is_read(content_type, expected):
    assert boundary_of(content_type) == expected


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"application/json",
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=a; boundary=b",
        b"multipart/form-data; boundary=a; boundary*=b",
        b"multipart/form-data; boundary=" + b"x" * 71,
        b"multipart/mixed; boundary=a",
    ],
)
def test_a_type_without_one_boundary_is_refused(content_type):
    with pytest.raises(MalformedForm):
        boundary_of(content_type)
