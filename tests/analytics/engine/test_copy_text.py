"""One COPY line for every record, whatever is in it; PostgreSQL itself is the judge."""

from __future__ import annotations

import math

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.engine import copy_text
from analytics.engine.copy_text import COLUMNS, copy_line
from analytics.engine.record import AttemptRecord, RequestRecord, Usage
from analytics.engine.writer import TABLE


def stored(postgres, record: RequestRecord) -> dict[str, object]:
    """Copy one record and return its row."""
    with psycopg.connect(postgres.conninfo) as connection:
        connection.execute("SET ROLE routex_writer")
        cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
        cursor.execute(f"TRUNCATE {TABLE}")
        with cursor.copy(f"COPY {TABLE} ({', '.join(COLUMNS)}) FROM STDIN") as copy:
            copy.write(copy_line(record))
        [row] = cursor.execute(f"SELECT * FROM {TABLE}").fetchall()
        return row


def test_a_record_comes_back_as_it_was(postgres, make_record):
    record = make_record()
    row = stored(postgres, record)
    for name in copy_text.TEXT_COLUMNS:
        assert row[name] == getattr(record, name)
    for name in ("request_bytes", "response_bytes", "status", "is_stream"):
        assert row[name] == getattr(record, name)
    for name in ("queue_ms", "connect_ms", "first_token_ms", "total_ms"):
        assert row[name] == pytest.approx(getattr(record, name), abs=0.001)
    for name in copy_text.TOKEN_COLUMNS:
        assert row[name] == getattr(record.usage, name)
    assert row["usage_details"] == {}
    assert row["started_at"].timestamp() * 1e6 == record.started_us
    assert row["finished_at"].timestamp() * 1e6 == record.finished_us
    assert row["attempts"] == [{"channel": "openai-main", "credential": "main", "status": 200, "duration_ms": 812.333}]


def test_unknown_usage_and_first_token_are_null_not_zero(postgres, make_record):
    row = stored(postgres, make_record(usage=None, first_token_ms=None))
    assert row["first_token_ms"] is None
    assert all(row[name] is None for name in (*copy_text.TOKEN_COLUMNS, "cost_nano_usd"))


def test_rare_kinds_of_tokens_lie_in_the_details_and_a_cost_of_nothing_is_no_unknown_cost(postgres, make_record):
    usage = Usage(input_tokens=9, cache_write_tokens=4, cache_write_1h_tokens=3, web_searches=2, is_estimated=True)
    row = stored(postgres, make_record(usage=usage, cost_nano_usd=0, price_version="book-1"))
    assert row["usage_details"] == {"cache_write_1h_tokens": 3, "web_searches": 2, "is_estimated": True}
    assert (row["cost_nano_usd"], row["price_version"]) == (0, "book-1")


@pytest.mark.parametrize(
    "text", ["tab\tand\nnewline\r\\N", "\\.", "back\\slash", '"quoted"', "ünï ☃ 🙂", "'; DROP TABLE x; --"]
)
def test_what_copy_gives_a_meaning_of_its_own_is_stored_as_it_is(postgres, make_record, text):
    row = stored(postgres, make_record(error_message=text, attempts=(AttemptRecord(channel="a", detail=text),)))
    assert row["error_message"] == text
    assert row["attempts"][0]["detail"] == text


@pytest.mark.parametrize(
    "text", ["tab\tnewline\n\\N", '"quoted" and back\\slash', "half a \U0001f642 pair", "\\u0000 as text"]
)
def test_a_decision_is_stored_as_it_is(postgres, make_record, text):
    decision = {"by": "rule:long", "rules": [{"rule": "long", "measured": text}]}
    assert stored(postgres, make_record(decision=decision))["decision"] == decision


def test_a_decision_that_cannot_be_kept_leaves_the_record(postgres, make_record):
    row = stored(postgres, make_record(decision={"measured": "nul \0"}))
    assert row["decision"] == {"measured": "nul \ufffd"}
    assert stored(postgres, make_record(decision={"measured": "\ud800"}))["decision"] == {}
    assert stored(postgres, make_record(decision={"measured": "x" * 300_000}))["decision"] == {"too_long": True}
    assert stored(postgres, make_record(decision=None))["decision"] == {}


def test_nul_and_lone_surrogates_are_replaced(postgres, make_record):
    odd = "a\0b\ud800c"
    row = stored(postgres, make_record(asked_model=odd, attempts=(AttemptRecord(channel=odd),)))
    assert row["asked_model"] == "a\ufffdb?c"
    assert row["attempts"][0]["channel"] == "a\ufffdb?c"


def test_over_long_texts_are_cut_and_say_so(postgres, make_record):
    row = stored(
        postgres,
        make_record(
            user_agent="x" * 100_000,
            error_message="y" * 100_000,
            asked_model="z" * 100_000,
            attempts=tuple(AttemptRecord(channel="c", detail="d" * 100_000) for _ in range(1000)),
        ),
    )
    assert row["user_agent"] == "x" * 399 + "…"
    assert row["error_message"] == "y" * 1999 + "…"
    assert row["asked_model"] == "z" * 199 + "…"
    assert len(row["attempts"]) == copy_text.ATTEMPTS_LIMIT
    assert len(row["attempts"][0]["detail"]) == copy_text.DETAIL_LIMIT


def test_numbers_out_of_range_take_the_nearest_that_fits(postgres, make_record):
    record = make_record(
        status=99_999,
        started_us=10**30,
        finished_us=-5,
        total_ms=math.nan,
        request_bytes=2**70,
        usage=Usage(input_tokens=2**40, output_tokens=-1),
        user_agent="\0",  # sends it the slow way, as a refusal by PostgreSQL would
    )
    row = stored(postgres, record)
    assert (row["status"], row["input_tokens"], row["output_tokens"]) == (32767, 2**31 - 1, 0)
    assert row["started_at"].year == 9999
    assert row["total_ms"] == 0


def test_values_of_the_wrong_kind_become_a_line_too(postgres, make_record):
    row = stored(postgres, make_record(client_request_id=None, key_slug=17, status=None, total_ms="fast"))
    assert (row["client_request_id"], row["key_slug"], row["status"], row["total_ms"]) == ("", "17", 0, 0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet=st.characters(exclude_categories=()), max_size=300))
def test_any_text_in_any_column_is_stored(postgres, make_record, text):
    names = [name for name in copy_text.TEXT_COLUMNS if name not in {"id", "outcome"}]
    row = stored(postgres, make_record(**dict.fromkeys(names, text), attempts=(AttemptRecord(channel=text),)))
    valid = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    assert row["error_message"] == valid
    assert row["asked_model"] == (valid if len(valid) <= 200 else valid[:199] + "…")
