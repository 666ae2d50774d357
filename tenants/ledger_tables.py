"""The ledger of quotas as SQL: windows, leases and charges, owned by the writer role, read under row-level security."""

from __future__ import annotations

from tenants.row_security import CONDITION

WRITER = "routex_writer"
WINDOW, LEASE, CHARGE = "public.quota_window", "public.quota_lease", "public.quota_charge"

# `drawn` of a window is the sum of its leases' amounts, kept apart because it is what draws compete for. What is spent
# is the sum over its leases of settled + abandoned + written_off. `step` is by how much the last statement changed a
# row's main amount, which RETURNING cannot tell by itself before PostgreSQL 18.
_WINDOW = f"""
CREATE TABLE {WINDOW} (
    window_start timestamptz NOT NULL,
    short_at     timestamptz NOT NULL DEFAULT '-infinity',
    drawn        bigint NOT NULL DEFAULT 0 CHECK (drawn >= 0),
    step         bigint NOT NULL DEFAULT 0,
    quota_id     text COLLATE "C" NOT NULL,
    tenant_id    text COLLATE "C" NOT NULL,
    PRIMARY KEY (quota_id, window_start)
) WITH (fillfactor = 50);
COMMENT ON COLUMN {WINDOW}.short_at IS 'When more was wanted than was left: what lies idle elsewhere is given back.';
"""
_LEASE = f"""
CREATE TABLE {LEASE} (
    window_start timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    amount       bigint NOT NULL CHECK (amount >= 0),
    settled      bigint NOT NULL DEFAULT 0,
    abandoned    bigint NOT NULL DEFAULT 0,
    written_off  bigint NOT NULL DEFAULT 0,
    used         bigint NOT NULL DEFAULT 0,
    step         bigint NOT NULL DEFAULT 0,
    is_closed    boolean NOT NULL DEFAULT false,
    id           text COLLATE "C" PRIMARY KEY,
    quota_id     text COLLATE "C" NOT NULL,
    tenant_id    text COLLATE "C" NOT NULL,
    process      text COLLATE "C" NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX quota_lease_window ON {LEASE} (quota_id, window_start);
CREATE INDEX quota_lease_open ON {LEASE} (process) WHERE NOT is_closed;
COMMENT ON COLUMN {LEASE}.used IS 'What its process said is spent: when a window is short, sooner than it is settled.';
COMMENT ON COLUMN {LEASE}.written_off IS 'What a process took with it of which nobody knows: counted as spent.';
"""
_CHARGE = f"""
CREATE TABLE {CHARGE} (
    window_start timestamptz NOT NULL,
    charged_at   timestamptz NOT NULL DEFAULT now(),
    amount       bigint NOT NULL,
    kind         text COLLATE "C" NOT NULL CHECK (kind IN ('settled', 'abandoned')),
    request_id   text COLLATE "C" NOT NULL,
    quota_id     text COLLATE "C" NOT NULL,
    lease_id     text COLLATE "C" NOT NULL,
    tenant_id    text COLLATE "C" NOT NULL,
    PRIMARY KEY (request_id, quota_id)
);
CREATE INDEX quota_charge_age ON {CHARGE} USING brin (charged_at);
"""


def _readable(table: str) -> str:
    name = table.partition(".")[2]
    return (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
        f"CREATE POLICY {name}_tenant ON {table} FOR SELECT USING ({CONDITION.format(column='tenant_id')});"
        f"GRANT SELECT ON {table} TO SESSION_USER;"
    )


CREATE = "\n".join(
    (
        f"GRANT USAGE, CREATE ON SCHEMA public TO {WRITER}; SET ROLE {WRITER};",
        _WINDOW,
        _LEASE,
        _CHARGE,
        *map(_readable, (WINDOW, LEASE, CHARGE)),
        "RESET ROLE;",
    )
)
DROP = f"SET ROLE {WRITER}; DROP TABLE {CHARGE}, {LEASE}, {WINDOW}; RESET ROLE;"


def forget(days: int) -> str:
    """Return the statement that removes charges older than so many days, run as the writer.

    Windows and leases stay: a quota without an end is the sum of all of its leases.
    """
    return f"DELETE FROM {CHARGE} WHERE charged_at < now() - interval '{days} days'"  # noqa: S608 a number
