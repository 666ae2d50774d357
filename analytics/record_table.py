"""The request log's table as SQL: partitioned by day, owned by the writer role, read under row-level security.

`routex_writer` owns the table and so is exempt from its policies, without which COPY would be refused; the role of
the application may only read, and only what its scope names. Partitions are granted to nobody: the way in is the table.
"""

from __future__ import annotations

import datetime as dt

from tenants.row_security import CONDITION

TABLE = "public.analytics_requestrecord"
DEFAULT_PARTITION = f"{TABLE}_default"
WRITER = "routex_writer"

# Columns by falling width, so that nothing is padded; then the texts. Byte order is all the sorting ids need.
# Indexes: one row by id, and each row once · a tenant's newest · what was written lately (live pages, roll-ups), which
# stays small because the rows of a batch share their `recorded_at` and a B-tree stores an equal key once.
CREATE = f"""
GRANT USAGE, CREATE ON SCHEMA public TO {WRITER};
SET ROLE {WRITER};
CREATE TABLE {TABLE} (
    started_at         timestamptz NOT NULL,
    finished_at        timestamptz NOT NULL,
    recorded_at        timestamptz NOT NULL DEFAULT now(),
    request_bytes      bigint      NOT NULL,
    response_bytes     bigint      NOT NULL,
    input_tokens       integer,
    output_tokens      integer,
    cache_read_tokens  integer,
    cache_write_tokens integer,
    reasoning_tokens   integer,
    queue_ms           real        NOT NULL,
    connect_ms         real        NOT NULL,
    total_ms           real        NOT NULL,
    first_token_ms     real,
    status             smallint    NOT NULL,
    is_stream          boolean     NOT NULL,
    id                 text COLLATE "C" NOT NULL,
    tenant_id          text COLLATE "C" NOT NULL,
    key_id             text COLLATE "C" NOT NULL,
    key_slug           text COLLATE "C" NOT NULL,
    session_id         text COLLATE "C" NOT NULL,
    client_request_id  text COLLATE "C" NOT NULL,
    operation          text COLLATE "C" NOT NULL,
    client_format      text COLLATE "C" NOT NULL,
    upstream_format    text COLLATE "C" NOT NULL,
    asked_model        text COLLATE "C" NOT NULL,
    public_model       text COLLATE "C" NOT NULL,
    upstream_model     text COLLATE "C" NOT NULL,
    reported_model     text COLLATE "C" NOT NULL,
    channel_id         text COLLATE "C" NOT NULL,
    channel_slug       text COLLATE "C" NOT NULL,
    provider           text COLLATE "C" NOT NULL,
    outcome            text COLLATE "C" NOT NULL,
    error_code         text COLLATE "C" NOT NULL,
    error_message      text COLLATE "C" NOT NULL,
    client_address     text COLLATE "C" NOT NULL,
    user_agent         text COLLATE "C" NOT NULL,
    attempts           jsonb       NOT NULL
) PARTITION BY RANGE (started_at);
CREATE UNIQUE INDEX analytics_requestrecord_once ON {TABLE} (id, started_at);
CREATE INDEX analytics_requestrecord_newest ON {TABLE} (tenant_id, started_at);
CREATE INDEX analytics_requestrecord_recorded ON {TABLE} (recorded_at, tenant_id);
CREATE TABLE {DEFAULT_PARTITION} PARTITION OF {TABLE} DEFAULT;
ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY;
CREATE POLICY analytics_requestrecord_tenant ON {TABLE} FOR SELECT USING ({CONDITION.format(column="tenant_id")});
GRANT SELECT ON {TABLE} TO SESSION_USER;
RESET ROLE;
"""
ADD_WARNINGS = f"""
SET ROLE {WRITER};
ALTER TABLE {TABLE} ADD COLUMN warnings text COLLATE "C" NOT NULL DEFAULT '';
RESET ROLE;
"""
DROP_WARNINGS = f"SET ROLE {WRITER}; ALTER TABLE {TABLE} DROP COLUMN warnings; RESET ROLE;"
ADD_DECISION = f"""
SET ROLE {WRITER};
ALTER TABLE {TABLE} ADD COLUMN decision jsonb NOT NULL DEFAULT '{{}}';
RESET ROLE;
"""
DROP_DECISION = f"SET ROLE {WRITER}; ALTER TABLE {TABLE} DROP COLUMN decision; RESET ROLE;"
# NULL: the price or the usage is not known. `usage_details` holds the kinds of tokens that few requests have.
ADD_COST = f"""
SET ROLE {WRITER};
ALTER TABLE {TABLE}
    ADD COLUMN cost_nano_usd bigint,
    ADD COLUMN price_version text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN usage_details jsonb NOT NULL DEFAULT '{{}}';
RESET ROLE;
"""
DROP_COST = f"""
SET ROLE {WRITER};
ALTER TABLE {TABLE} DROP COLUMN cost_nano_usd, DROP COLUMN price_version, DROP COLUMN usage_details;
RESET ROLE;
"""
#: What migrations added to the table, in their order.
ADDED = (ADD_WARNINGS, ADD_DECISION, ADD_COST)
DROP = f"SET ROLE {WRITER}; DROP TABLE {TABLE}; RESET ROLE;"

PARTITIONS = f"""
SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid
WHERE inhparent = '{TABLE}'::regclass ORDER BY child.relname
"""  # noqa: S608 no input


def partition_name(day: dt.date) -> str:
    """Return the table that holds the requests started on that day, in UTC."""
    return f"{TABLE}_{day:%Y%m%d}"


def partition_day(name: str) -> dt.date | None:
    """Return the day of a partition, or None for the default one."""
    digits = name.rpartition("_")[2]
    return dt.datetime.strptime(digits, "%Y%m%d").replace(tzinfo=dt.UTC).date() if digits.isdigit() else None


def create_partition(day: dt.date) -> str:
    """Return the statements that make a day's partition, run as the writer in one transaction.

    Rows of that day that came before their partition lie in the default one, which must not keep them.
    """
    name = partition_name(day)
    start, end = f"'{day} 00:00:00+00'", f"'{day + dt.timedelta(days=1)} 00:00:00+00'"
    return f"""
        LOCK TABLE {DEFAULT_PARTITION} IN ACCESS EXCLUSIVE MODE;
        CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL);
        WITH moved AS (
            DELETE FROM {DEFAULT_PARTITION} WHERE started_at >= {start} AND started_at < {end} RETURNING *
        )
        INSERT INTO {name} SELECT * FROM moved;
        ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end});
    """  # noqa: S608 dates and constants only


def drop_partition(day: dt.date) -> str:
    """Return the statement that removes a day's requests, run as the writer."""
    return f"DROP TABLE {partition_name(day)}"
