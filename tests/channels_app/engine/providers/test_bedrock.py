"""Bedrock: signatures against the documented examples and as the far side checks them, and what a credential is."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from channels_app.engine.errors import UpstreamBlocked
from channels_app.engine.providers.bedrock import Bedrock
from channels_app.engine.providers.bedrock.signature import AccessKey, parse_access_key, signed_headers
from channels_app.engine.upstream import HttpUpstreams
from tests.channels_app.engine.scripted_upstream import Serve, ok, request_to

# The example credential of AWS's own documentation, and the moment of its test suite.
KEY = AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
MOMENT = datetime(2015, 8, 30, 12, 36, 0, tzinfo=UTC)
HOST = "https://example.amazonaws.com"
FORM = [("Content-Type", "application/x-www-form-urlencoded")]
MODEL = "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-sonnet-4-5-v1:0"
BODY = '{"text":"naïve ✓"}'.encode()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "url", "headers", "body", "service", "covered", "signature"),
    [
        (
            "GET",
            f"{HOST}/",
            [],
            b"",
            "service",
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "POST",
            f"{HOST}/",
            [],
            b"",
            "service",
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "GET",
            f"{HOST}/?Param2=value2&Param1=value1",
            [],
            b"",
            "service",
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "GET",
            f"{HOST}/ሴ",
            [],
            b"",
            "service",
            "host;x-amz-date",
            "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85",
        ),
        (
            "POST",
            f"{HOST}/",
            FORM,
            b"Param1=value1",
            "service",
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            "GET",
            "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
            [("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
            b"",
            "iam",
            "content-type;host;x-amz-date",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
    ],
    ids=["get-vanilla", "post-vanilla", "query-order", "utf8-path", "form-body", "list-users"],
)
async def test_a_signature_is_the_documented_one(method, url, headers, body, service, covered, signature):
    told = dict(
        await signed_headers(method, url, headers, body, key=KEY, region="us-east-1", service=service, at=MOMENT)
    )
    assert told == {
        "x-amz-date": "20150830T123600Z",
        "authorization": f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, "
        f"SignedHeaders={covered}, Signature={signature}",
    }


@pytest.mark.asyncio
async def test_a_session_token_is_sent_and_covered():
    key = replace(KEY, session_token="dG9rZW4=")
    told = dict(await signed_headers("POST", HOST, [], b"{}", key=key, region="r", service="s", at=MOMENT))
    assert told["x-amz-security-token"] == "dG9rZW4="
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token" in told["authorization"]


@pytest.mark.asyncio
@pytest.mark.parametrize("port", [None, 443])
async def test_the_default_port_is_no_part_of_the_host(port):
    url = f"https://host.example{f':{port}' if port else ''}/x"
    given = await signed_headers("POST", url, [], b"", key=KEY, region="r", service="s", at=MOMENT)
    plain = await signed_headers("POST", "https://host.example/x", [], b"", key=KEY, region="r", service="s", at=MOMENT)
    assert given == plain


def checked_signature(head: bytes, body: bytes, secret: str) -> tuple[str, str]:
    """Return the signature that a request carries, and the one that the far side finds for what it received."""
    first, *lines = head.decode().removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    scope, covered, carried = (field.partition("=")[2] for field in headers["authorization"].split(", "))
    canonical = "\n".join(
        [
            method,
            quote(target, safe="/"),
            "",
            *(f"{name}:{headers[name]}" for name in covered.split(";")),
            "",
            covered,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    parts = scope.split("/")[1:]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], "/".join(parts), digest])
    key = f"AWS4{secret}".encode()
    for part in parts:
        key = hmac.digest(key, part.encode(), "sha256")
    return carried, hmac.new(key, text.encode(), "sha256").hexdigest()


@pytest.mark.asyncio
async def test_what_arrives_over_the_network_is_what_was_signed(serve: Serve, upstreams: HttpUpstreams):
    upstream, bedrock = await serve(ok), Bedrock(now=lambda: MOMENT)
    secret = json.dumps({"AccessKeyId": KEY.id, "SecretAccessKey": KEY.secret, "Region": "eu-west-1"})
    url = bedrock.url(upstream.url(""), "bedrock-converse:stream", MODEL)
    asked = request_to(url, body=BODY, headers=[("content-type", "application/json"), ("accept", "*/*")])

    answer = await bedrock.send(await bedrock.sign(asked, secret, upstreams), upstreams)
    assert answer.status == 200
    await answer.close()

    [seen] = upstream.exchanges
    assert seen.body == BODY
    assert b"/eu-west-1/bedrock/aws4_request" in seen.head
    carried, found = checked_signature(seen.head, seen.body, KEY.secret)
    assert carried == found
    assert checked_signature(seen.head, seen.body + b" ", KEY.secret)[1] != carried


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com", "us-east-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("vpce-0a1b-xyz.bedrock-runtime.eu-central-1.vpce.amazonaws.com", "eu-central-1"),
        ("bedrock-runtime.ap-south-1.api.aws", "ap-south-1"),
    ],
)
async def test_the_region_is_the_hosts(host, region):
    bedrock = Bedrock(now=lambda: MOMENT)
    assert bedrock.fit_base_url(f"https://{host}") == f"https://{host}"
    signed = await bedrock.sign(request_to(f"https://{host}/model/m/converse"), "ID:SECRET", None)  # type: ignore[arg-type]
    assert f"Credential=ID/20150830/{region}/bedrock/" in dict(signed.headers)["authorization"]


@pytest.mark.asyncio
async def test_an_access_key_for_a_host_without_region_is_refused_with_what_to_do():
    with pytest.raises(UpstreamBlocked, match="names no region"):
        await Bedrock().sign(request_to("https://proxy.example/model/m/converse"), "ID:SECRET", None)  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_an_api_key_needs_no_region_and_no_signature():
    asked = request_to("https://proxy.example/model/m/converse")
    signed = await Bedrock().sign(asked, "ABSKkey", None)  # type: ignore[arg-type]
    assert signed.headers == [("authorization", "Bearer ABSKkey")]


@pytest.mark.asyncio
async def test_many_requests_are_signed_at_once_each_for_itself():
    bedrock = Bedrock(now=lambda: MOMENT)
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/m/converse"
    asked = [request_to(url, body=b"%d" % number) for number in range(50)]
    signed = await asyncio.gather(*(bedrock.sign(one, "ID:SECRET", None) for one in asked))  # type: ignore[arg-type]
    assert [one.body for one in signed] == [one.body for one in asked]
    assert len({dict(one.headers)["authorization"] for one in signed}) == 50


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("AKIA1:abc/d+e", AccessKey("AKIA1", "abc/d+e")),
        ("ASIA1:abc:tok/en==", AccessKey("ASIA1", "abc", "tok/en==")),
        ('{"access_key_id":"A","secret_access_key":"B"}', AccessKey("A", "B")),
        (
            '{"AWS_ACCESS_KEY_ID":"A","AWS_SECRET_ACCESS_KEY":"B","AWS_SESSION_TOKEN":"C","AWS_REGION":"r"}',
            AccessKey("A", "B", "C", "r"),
        ),
        (
            '{"Version":1,"AccessKeyId":"A","SecretAccessKey":"B","SessionToken":"C","Expiration":"x"}',
            AccessKey("A", "B", "C"),
        ),
        ("ABSKQmVkcm9jaw==", None),
    ],
)
def test_ways_to_write_an_access_key(secret, key):
    assert parse_access_key(secret) == key


@pytest.mark.parametrize(
    "secret", ["AKIA1:", ":s3cret", "A:s3cret:t:u", '{"access_key_id":"s3cret"}', "{s3cret", "{}", '{"a":' * 1600]
)
def test_what_begins_like_an_access_key_and_is_none_is_refused_without_showing_it(secret):
    with pytest.raises(ValueError, match="access key") as caught:
        Bedrock().check_secret(secret)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.asyncio
async def test_no_secret_is_told_in_logs_errors_and_reprs(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    secret = '{"access_key_id":"A","secret_access_key":"top-s3cret","session_token":"tok-s3cret"}'
    with pytest.raises(UpstreamBlocked) as caught:
        await Bedrock().sign(request_to("https://proxy.example/x"), secret, None)  # type: ignore[arg-type]
    signed = await Bedrock().sign(request_to("https://bedrock-runtime.us-east-1.amazonaws.com/x"), secret, None)  # type: ignore[arg-type]
    told = [caplog.text, repr(caught.value), repr(parse_access_key(secret)), repr(signed)]
    assert not [text for text in told if "s3cret" in text]
