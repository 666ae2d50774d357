"""The request log under row-level security, its reads, its partitions and the sums made of it."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable

import psycopg
import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError, ProgrammingError

from analytics import record_table, services
from analytics.engine.record import RequestRecord as Record
from analytics.engine.record import Usage
from analytics.engine.writer import RecordWriter
from analytics.models import RequestRecord, RollUpMark, UsageQuarter
from analytics.selectors import (
    moment_us,
    request_cursor,
    request_get,
    requests_newest,
    requests_recorded_since,
    usage_by,
)
from analytics.tasks import keep_partitions, roll_up_usage
from tenants.context import platform_scope, tenant_scope

pytestmark = pytest.mark.django_db(transaction=True)

ACME, RIVAL = "ten_01JACME0000000000000000000", "ten_01JRVAL0000000000000000000"
SECOND_US = 1_000_000


def now_us() -> int:
    return moment_us(dt.datetime.now(dt.UTC))


def quarter(tenant_id: str) -> dict[str, object]:
    """Return a row of sums, all nothing."""
    texts, moment = ("channel_id", "model", "key_id"), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    numbers = {field.name for field in UsageQuarter._meta.fields} - {*texts, "pk", "tenant_id", "bucket_at"}
    return {"tenant_id": tenant_id, "bucket_at": moment, **dict.fromkeys(texts, ""), **dict.fromkeys(numbers, 0)}


@pytest.fixture
def write(request_log: str) -> Callable[..., None]:
    """Write records as a gateway does."""

    def write(*records: Record) -> None:
        async def run() -> None:
            writer = RecordWriter(request_log)
            await writer.write(records)
            await writer.disconnect()

        asyncio.run(run())

    return write


# --- Who sees what ----------------------------------------------------------------------------------------------------


def test_a_row_is_seen_by_its_own_tenant_only(write, make_record):
    mine, other = make_record(tenant_id=ACME), make_record(tenant_id=RIVAL)
    write(mine, other)
    with tenant_scope(ACME):
        assert [row.id for row in RequestRecord.objects.all()] == [mine.id]
        assert request_get(tenant_id=RIVAL, request_id=other.id) is None
        assert requests_newest(tenant_id=RIVAL) == []
        assert requests_recorded_since(tenant_id=RIVAL, recorded_us=0) == []
    with tenant_scope(RIVAL):
        assert [row.id for row in RequestRecord.objects.all()] == [other.id]
    with platform_scope():
        assert RequestRecord.objects.count() == 2


def test_without_a_tenant_no_row_is_seen(write, make_record):
    write(make_record(tenant_id=ACME))
    assert RequestRecord.objects.count() == 0
    with tenant_scope(""):
        assert RequestRecord.objects.count() == 0


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO analytics_requestrecord (id, tenant_id) VALUES ('req_x', '{tenant}')",
        "UPDATE analytics_requestrecord SET status = 500",
        "DELETE FROM analytics_requestrecord",
        "TRUNCATE analytics_requestrecord",
        "SELECT * FROM analytics_requestrecord_default",
        "ALTER TABLE analytics_requestrecord DISABLE ROW LEVEL SECURITY",
    ],
)
@pytest.mark.parametrize("tenant", [ACME, RIVAL])
def test_the_applications_role_can_only_read(request_log, statement, tenant):
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        tenant_scope(ACME),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format(tenant=tenant))


def test_a_partition_is_no_way_round_the_policy(write, make_record):
    write(make_record(tenant_id=RIVAL, started_us=now_us()))
    name = record_table.partition_name(dt.datetime.now(dt.UTC).date())
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        tenant_scope(ACME),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"SELECT * FROM {name}")


def test_sums_of_another_tenant_can_be_neither_read_nor_written(write, make_record):
    write(make_record(tenant_id=RIVAL, started_us=now_us()))
    services.usage_roll_up()
    with tenant_scope(ACME):
        assert UsageQuarter.objects.count() == 0
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            UsageQuarter.objects.create(**quarter(RIVAL))
    with tenant_scope(RIVAL):
        assert UsageQuarter.objects.count() == 1


# --- Reads ------------------------------------------------------------------------------------------------------------


def test_newest_come_first_and_the_cursor_goes_on_where_the_page_ended(write, make_record):
    start_us = now_us()
    # Three of them start in the same microsecond: the id decides.
    records = [make_record(tenant_id=ACME, started_us=start_us - max(place, 2)) for place in range(7)]
    write(*records)
    expected = [record.id for record in sorted(records, key=lambda r: (r.started_us, r.id), reverse=True)]
    seen: list[str] = []
    cursor = ""
    with tenant_scope(ACME):
        while page := requests_newest(tenant_id=ACME, limit=2, before=cursor):
            seen += [row.id for row in page]
            cursor = request_cursor(record=page[-1])
    assert seen == expected


def test_a_bad_cursor_is_refused():
    with pytest.raises(ValueError, match="invalid literal"):
        requests_newest(tenant_id=ACME, before="yesterday")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"channel": "b"}, {"other channel"}),
        ({"model": "smart"}, {"asked"}),
        ({"model": "claude-sonnet-5"}, {"upstream"}),
        ({"status_class": 5}, {"failed"}),
        ({"outcome": "gone"}, {"gone"}),
        ({"outcome": "gone", "status_class": 5}, set()),
    ],
)
def test_newest_can_be_filtered(write, make_record, filters, expected):
    write(
        make_record(tenant_id=ACME, id="plain"),
        make_record(tenant_id=ACME, id="other channel", channel_slug="b"),
        make_record(tenant_id=ACME, id="asked", asked_model="smart"),
        make_record(tenant_id=ACME, id="upstream", upstream_model="claude-sonnet-5"),
        make_record(tenant_id=ACME, id="failed", status=502, outcome="failed"),
        make_record(tenant_id=ACME, id="gone", outcome="gone"),
    )
    with tenant_scope(ACME):
        assert {row.id for row in requests_newest(tenant_id=ACME, **filters)} == expected


def test_what_was_recorded_since_is_found_by_time_of_recording(write, make_record):
    # Recorded now although it began a week ago, as a long wait in the spill has it.
    old, new = make_record(tenant_id=ACME, started_us=now_us() - 7 * 86_400 * SECOND_US), make_record(tenant_id=ACME)
    write(old)
    with tenant_scope(ACME):
        first = request_get(tenant_id=ACME, request_id=old.id)
        assert first is not None
    write(new)
    since_us = moment_us(first.recorded_at)
    with tenant_scope(ACME):
        found = requests_recorded_since(tenant_id=ACME, recorded_us=since_us + 1, overlap_s=0)
        assert [row.id for row in found] == [new.id]
        overlapping = requests_recorded_since(tenant_id=ACME, recorded_us=since_us + 1)
        assert [row.id for row in overlapping] == [old.id, new.id]
        assert [row.id for row in requests_recorded_since(tenant_id=ACME, recorded_us=0, limit=1)] == [new.id]
        assert requests_recorded_since(tenant_id=ACME, recorded_us=10**30) == []


def test_a_request_is_found_with_all_that_was_recorded(write, make_record):
    record = make_record(tenant_id=ACME)
    write(record)
    with tenant_scope(ACME):
        row = request_get(tenant_id=ACME, request_id=record.id)
    assert row is not None
    assert row.attempts[0]["channel"] == "openai-main"
    assert (row.output_tokens, row.total_ms, row.key_slug) == (340, 901.5, "ci")


# --- Partitions -------------------------------------------------------------------------------------------------------


@pytest.fixture
def clean_partitions(request_log):
    """Leave the days that a new install has."""
    yield
    services.partitions_keep()


def rows_of(table: str) -> int:
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute(f"SET LOCAL ROLE {record_table.WRITER}")
        cursor.execute(f"SELECT count(*) FROM {table}")
        return cursor.fetchone()[0]


def test_days_ahead_are_made_once(clean_partitions):
    today = dt.date(2031, 5, 10)
    created, _ = services.partitions_keep(today=today)
    assert created == [today + dt.timedelta(days=offset) for offset in range(-1, 8)]
    assert services.partitions_keep(today=today) == ([], [])
    assert services.partitions_keep(today=today + dt.timedelta(days=1))[0] == [today + dt.timedelta(days=8)]


def test_days_past_retention_are_dropped_with_what_lies_in_the_default_partition(clean_partitions, write, make_record):
    day = dt.date(2031, 6, 20)
    services.partitions_keep(today=day)
    kept_us = moment_us(dt.datetime(2031, 6, 20, 12, tzinfo=dt.UTC))
    write(
        make_record(tenant_id=ACME, id="kept", started_us=kept_us),
        make_record(tenant_id=ACME, id="before every partition", started_us=SECOND_US),
    )
    _, dropped = services.partitions_keep(today=day + dt.timedelta(days=30), retention_days=30)
    assert day - dt.timedelta(days=1) in dropped
    assert day not in dropped
    with tenant_scope(ACME):
        assert [row.id for row in RequestRecord.objects.all()] == ["kept"]


def test_rows_that_came_before_their_partition_move_into_it(clean_partitions, write, make_record):
    day = dt.date(2033, 1, 1)
    noon_us = moment_us(dt.datetime(2033, 1, 1, 12, tzinfo=dt.UTC))
    write(*[make_record(tenant_id=ACME, started_us=noon_us) for _ in range(3)])
    assert rows_of(record_table.DEFAULT_PARTITION) == 3
    assert day in services.partitions_keep(today=day)[0]
    assert rows_of(record_table.DEFAULT_PARTITION) == 0
    assert rows_of(record_table.partition_name(day)) == 3
    with tenant_scope(ACME):
        assert RequestRecord.objects.count() == 3


def test_a_new_partition_has_the_indexes_and_refuses_a_second_copy_of_a_row(clean_partitions, write, make_record):
    services.partitions_keep(today=dt.date(2034, 1, 1))
    record = make_record(tenant_id=ACME, started_us=moment_us(dt.datetime(2034, 1, 2, tzinfo=dt.UTC)))
    write(record)
    write(record)
    assert rows_of(record_table.partition_name(dt.date(2034, 1, 2))) == 1


def test_a_busy_partition_is_left_for_the_next_run(clean_partitions, request_log):
    day = dt.date(2035, 1, 1)
    services.partitions_keep(today=day)
    with psycopg.connect(request_log) as other:
        other.execute(f"SET ROLE {record_table.WRITER}")
        other.execute(f"SELECT * FROM {record_table.partition_name(day)} FOR UPDATE")
        later = day + dt.timedelta(days=40)
        created, dropped = services.partitions_keep(today=later)
        assert day not in dropped
    assert later in created
    assert day in services.partitions_keep(today=later)[1]


def test_the_task_keeps_the_retention_that_is_set(clean_partitions, settings):
    settings.RECORD_RETENTION_DAYS = 3
    today = dt.datetime.now(dt.UTC).date()
    services.partitions_keep(today=today - dt.timedelta(days=5))
    assert today - dt.timedelta(days=5) in services.partition_days()
    keep_partitions()
    assert min(services.partition_days()) >= today - dt.timedelta(days=3)


# --- Roll-ups ---------------------------------------------------------------------------------------------------------


def sums(tenant_id: str = ACME) -> list[tuple[object, ...]]:
    with tenant_scope(tenant_id):
        return list(
            UsageQuarter.objects.order_by("bucket_at", "channel_id", "model", "key_id").values_list(
                "channel_id", "model", "key_id", "requests", "errors", "input_tokens", "output_tokens", "first_tokens"
            )
        )


def test_usage_is_summed_by_channel_model_and_key(write, make_record):
    at = {"tenant_id": ACME, "channel_id": "chn_1", "public_model": "m", "key_id": "key_1", "started_us": now_us()}
    write(
        make_record(**at, usage=Usage(input_tokens=10, output_tokens=1)),
        make_record(**at, usage=Usage(input_tokens=20, output_tokens=2)),
        make_record(**at, usage=None, first_token_ms=None, status=502, outcome="failed"),
        make_record(**(at | {"key_id": "key_2"}), usage=Usage(input_tokens=5)),
        make_record(**(at | {"tenant_id": RIVAL}), usage=Usage(input_tokens=7)),
    )
    assert roll_up_usage() == 2
    assert sums() == [("chn_1", "m", "key_1", 3, 1, 30, 3, 2), ("chn_1", "m", "key_2", 1, 0, 5, 0, 1)]
    assert sums(RIVAL) == [("chn_1", "m", "key_1", 1, 0, 7, 0, 1)]


def test_rolling_up_twice_counts_once(write, make_record):
    write(*[make_record(tenant_id=ACME, started_us=now_us()) for _ in range(4)])
    services.usage_roll_up()
    before = sums()
    services.usage_roll_up()
    RollUpMark.objects.all().delete()
    services.usage_roll_up()
    assert sums() == before
    assert before[0][3] == 4


def test_rows_that_come_late_are_added_to_their_own_quarter(write, make_record):
    early_us = now_us() - 3600 * SECOND_US
    write(make_record(tenant_id=ACME, started_us=early_us))
    services.usage_roll_up()
    write(make_record(tenant_id=ACME, started_us=early_us), make_record(tenant_id=ACME, started_us=now_us()))
    services.usage_roll_up()
    assert [row[3] for row in sums()] == [2, 1]


def test_only_quarters_with_new_rows_are_computed_again(write, make_record):
    write(make_record(tenant_id=ACME, started_us=now_us()))
    assert services.usage_roll_up() == 1
    RollUpMark.objects.update(recorded_at=dt.datetime.now(dt.UTC) + 2 * services.OVERLAP)
    assert services.usage_roll_up() == 0


def test_a_quarter_whose_rows_are_gone_keeps_its_sums(write, make_record, clean_partitions):
    """A late row of a day that was dropped must not replace the sum of the whole quarter by itself."""
    day = dt.date(2021, 3, 1)
    noon_us = moment_us(dt.datetime(2021, 3, 1, 12, tzinfo=dt.UTC))
    services.partitions_keep(today=day)
    write(*[make_record(tenant_id=ACME, started_us=noon_us) for _ in range(5)])
    services.usage_roll_up()
    services.partitions_keep()
    write(make_record(tenant_id=ACME, started_us=noon_us))
    services.usage_roll_up()
    assert [row[3] for row in sums()] == [5]


def test_usage_can_be_asked_by_each_dimension(write, make_record):
    start_us = now_us()
    write(
        make_record(tenant_id=ACME, started_us=start_us, public_model="a", channel_id="chn_1"),
        make_record(tenant_id=ACME, started_us=start_us, public_model="a", channel_id="chn_2"),
        make_record(tenant_id=ACME, started_us=start_us, public_model="b", channel_id="chn_2", status=500),
    )
    services.usage_roll_up()
    span = {"since": dt.datetime.now(dt.UTC) - dt.timedelta(hours=1), "until": dt.datetime.now(dt.UTC)}
    with tenant_scope(ACME):
        by_model = usage_by(tenant_id=ACME, dimension="model", **span)
        assert [(row["model"], row["sum_requests"], row["sum_errors"]) for row in by_model] == [
            ("a", 2, 0),
            ("b", 1, 1),
        ]
        by_channel = usage_by(tenant_id=ACME, dimension="channel_id", **span)
        assert [(row["channel_id"], row["sum_requests"]) for row in by_channel] == [("chn_2", 2), ("chn_1", 1)]
        assert usage_by(tenant_id=RIVAL, dimension="model", **span) == []


def test_one_quarter_of_one_key_has_one_row(request_log):
    with pytest.raises(IntegrityError), tenant_scope(ACME):
        UsageQuarter.objects.create(**quarter(ACME))
        UsageQuarter.objects.create(**quarter(ACME))
