import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.engine.body import read_flag, read_members, read_model, refuse_other_kinds, splice
from routing.engine.errors import BadRequest

# Names and texts that look like the member we are after, to lead a careless search astray.
NAMES = st.sampled_from(["model", "mod", '"model"', "stream_options", "requests", "a\\", "ü", ""]) | st.text(max_size=4)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(NAMES, JSON, max_size=6)
LAYOUTS = st.sampled_from(
    [
        {"separators": (",", ":"), "ensure_ascii": False},
        {"separators": (",", ":")},
        {},
        {"indent": 2},
        {"separators": (" , ", " :\t")},
    ]
)


def change(body: bytes, **values: str) -> bytes:
    return splice(body, read_members(body), {name: json.dumps(value).encode() for name, value in values.items()})


@settings(max_examples=200, deadline=None)
@given(body=BODIES, layout=LAYOUTS, at=st.integers(0, 6), old=st.text(max_size=8), new=st.text(max_size=8))
def test_splice_changes_the_member_and_nothing_else(body, layout, at, old, new):
    before = list(body.items())
    before.insert(at, ("model", old))
    text = json.dumps(dict(before), **layout)
    after = change(text.encode(), model=new)
    assert json.loads(after) == json.loads(text) | {"model": new}


@settings(max_examples=100, deadline=None)
@given(body=BODIES, layout=LAYOUTS, new=JSON)
def test_splice_puts_a_missing_member_first(body, layout, new):
    body = {name: value for name, value in body.items() if name != "extra"} | {"model": "m"}
    text = json.dumps(body, **layout)
    raw = msgspec.json.encode(new)
    after = splice(text.encode(), read_members(text.encode()), {"extra": raw})
    assert json.loads(after) == body | {"extra": json.loads(raw)}
    assert next(iter(json.loads(after))) == "extra"


def test_other_bytes_stay_as_they_are():
    body = (
        b' { "n" : 1.50e1 ,\n\t"model":\t"a" , "x":"\\u00e9\xc3\xa9\\/" ,"nested":{"model":"a"},'
        b' "s":"\\"model\\":\\"a\\""}\n'
    )
    assert change(body, model="b") == body.replace(b'"model":\t"a"', b'"model":\t"b"')


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","messages":[{"model":"a"}]}',
        b'{"messages":[{"model":"a"}],"model":"a"}',
        b'{"tools":[{"input_schema":{"properties":{"model":{"type":"string"}}}}],"model":"a","x":{"model":"a"}}',
        b'{"x":"\\"model\\":\\"a\\"","model":"a"}',
    ],
)
def test_members_of_the_same_name_further_down_are_left_alone(body):
    whole = json.loads(body)
    assert json.loads(change(body, model="b")) == whole | {"model": "b"}


@pytest.mark.parametrize("half", [b"\\ud83d", b"\\uDE00", b"\\ud83d\\u0041", b"\\\\\\ud83d", b"\\ud83d\\ud83d\\ude00"])
def test_half_surrogate_pairs_pass_unchanged(half):
    # JavaScript cuts strings in the middle of a pair; whether that is acceptable is the upstream's to say.
    body = b'{"messages":[{"content":"%s"}],"model":"a","x":"%s"}' % (half, half)
    assert change(body, model="b", y="c") == b'{"y":"c",' + body[1:].replace(b'"model":"a"', b'"model":"b"')


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b","x":1}',
        b'{"model":"a","x":{"model":"b"},"model":"a"}',
        b'{"model":"b","x":1,"x":12,"model":"a"}',
        b'{"x":12,"x":1,"model":"a"}',
        b'{"model":"a","x":[1],"model":{"y":1},"model":"a"}',
        b'{"mod\\u0065l":"a","x":{"model":"a"}}',
        b'{"\\u006dodel":"a","model":"b"}',
    ],
)
def test_repeated_and_escaped_names_leave_only_the_new_value(body):
    after = change(body, model="new")
    pairs = json.loads(after, object_pairs_hook=list)
    assert {value for name, value in pairs if name == "model"} == {"new"}
    assert dict(pairs).keys() == json.loads(body).keys()


@pytest.mark.parametrize(
    ("body", "place", "says"),
    [
        (b'{"model": "a",\n "max_tokens" 100}', "line 2 column 15", "expected `:`"),
        (b'{"model": "a"\n\n "x": 1}', "line 3 column 2", "expected `,` or `}`"),
        (b'{"model": "\xc3\xa9\xc3\xa9" x}', "line 1 column 16", "expected `,` or `}`"),
        (b'{"model": "a"', "line 1 column 14", "ends too early"),
        (b'{"model": "a",}', "line 1 column 15", "trailing comma"),
        (b"{'model': 'a'}", "line 1 column 2", "object keys must be strings"),
        (b'{"model": NaN}', "line 1 column 11", "invalid character"),
    ],
)
def test_bad_json_is_told_with_its_place(body, place, says):
    with pytest.raises(BadRequest) as caught:
        read_members(body)
    assert caught.value.code == "invalid_json"
    assert place in caught.value.message
    assert says in caught.value.message


def test_surroundings_are_short_printable_and_marked_as_cut():
    body = b'{"messages": "' + b"x" * 300 + b"\x1b[31m" + b"y" * 300 + b'"}'
    with pytest.raises(BadRequest) as caught:
        read_members(body)
    near = caught.value.message.partition("Near: ")[2]
    assert near == f"`…{'x' * 20} [31m{'y' * 15}…`"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "Body is empty"),
        (b" \n", "Body is empty"),
        (b"[1]", "not a list"),
        (b'"text"', "not a string"),
        (b"12", "not a number"),
        (b"null", "not null"),
        (b'{"model":"a\xff"}', "byte 12 of 14 is 0xff"),
        (b'{"x":"\xed\xa0\x80"}', "Body is not UTF-8"),
        ("{}".encode("utf-16"), "Body is not UTF-8"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    ],
)
def test_what_is_no_object_is_refused(body, says):
    with pytest.raises(BadRequest) as caught:
        read_members(body)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{}", "`model` is missing"),
        (b'{"model":""}', "`model` is empty"),
        (b'{"model":"  "}', "`model` is empty"),
        (b'{"model":null}', "`model` must be a string, not null"),
        (b'{"model":["a"]}', "`model` must be a string, not a list"),
        (b'{"model":1.5}', "`model` must be a string, not a number"),
    ],
)
def test_model_must_be_named(body, says):
    with pytest.raises(BadRequest) as caught:
        read_model(read_members(body))
    assert (caught.value.code, caught.value.param) == ("invalid_value", "model")
    assert says in caught.value.message


def test_flag_is_true_false_null_or_refused():
    assert [read_flag(read_members(b'{"stream":%s}' % value), "stream") for value in (b"true", b"false", b"null")] == [
        True,
        False,
        False,
    ]
    with pytest.raises(BadRequest, match="`stream` must be true or false, not a string"):
        read_flag(read_members(b'{"stream":"yes"}'), "stream")


def test_body_of_another_path_is_sent_there():
    with pytest.raises(BadRequest) as caught:
        refuse_other_kinds(read_members(b'{"model":"a","input":"hi"}'), ("messages",), "/v1/chat/completions")
    assert caught.value.code == "wrong_endpoint"
    assert caught.value.message == "This is a Responses body (`input`) on /v1/chat/completions. Use /v1/responses."


def test_body_that_has_what_its_path_wants_is_never_sent_away():
    refuse_other_kinds(read_members(b'{"messages":[],"input":"x","contents":[]}'), ("messages",), "/v1/messages")
    refuse_other_kinds(read_members(b'{"model":"a"}'), ("messages",), "/v1/messages")
