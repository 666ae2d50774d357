"""Ledger: what is drawn from quotas and what became of it, in PostgreSQL; each change is one statement (ADR 13)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from analytics.engine.connection import connected
from analytics.engine.record import RequestRecord

#: How long connecting, a statement and a lock may take.
LIMIT_S: Final = 3
#: For so long a window counts as short after somebody wanted more than was left.
SHORT_S: Final = 1.0

WINDOW, LEASE, CHARGE = "public.quota_window", "public.quota_lease", "public.quota_charge"
_OPEN = f"""
INSERT INTO {WINDOW} (quota_id, window_start, tenant_id) VALUES (%(quota)s, to_timestamp(%(start)s), %(tenant)s)
ON CONFLICT DO NOTHING
"""  # noqa: S608 constants only
# At least `least`, or nothing at all; more of it up to `want`, as long as it leaves most of the rest to the others.
_LEFT = "(%(limit)s - drawn)"
_GRANT = f"""
CASE WHEN {_LEFT} < %(least)s OR {_LEFT} <= 0 THEN 0
     WHEN short_at > now() - make_interval(secs => {SHORT_S}) THEN least({_LEFT}, greatest(%(least)s, %(floor)s))
     ELSE least({_LEFT}, greatest(%(least)s, %(floor)s, least(%(want)s, {_LEFT} / 4))) END
"""
_DRAW = f"""
WITH given AS (
    UPDATE {WINDOW} SET
        step = {_GRANT},
        drawn = drawn + {_GRANT},
        short_at = CASE WHEN {_LEFT} < %(least)s THEN now() ELSE short_at END
    WHERE quota_id = %(quota)s AND window_start = to_timestamp(%(start)s)
    RETURNING step, drawn
), leased AS (
    INSERT INTO {LEASE} AS lease (id, quota_id, window_start, tenant_id, process, amount, expires_at)
    SELECT %(lease)s, %(quota)s, to_timestamp(%(start)s), %(tenant)s, %(process)s, step,
           now() + make_interval(secs => %(lease_s)s)
    FROM given WHERE step > 0
    ON CONFLICT (id) DO UPDATE SET amount = lease.amount + excluded.amount, expires_at = excluded.expires_at
)
SELECT step, %(limit)s - drawn FROM given
"""  # noqa: S608 constants only
# Never what is settled already. A lease that somebody closed meanwhile has nothing to give.
_GIVE_BACK = f"""
WITH freed AS (
    UPDATE {LEASE} SET amount = amount - %(amount)s, used = greatest(used, %(used)s)
    WHERE id = %(lease)s AND NOT is_closed AND amount - settled - abandoned - written_off >= %(amount)s
    RETURNING quota_id, window_start
)
UPDATE {WINDOW} AS whole SET drawn = drawn - %(amount)s FROM freed
WHERE whole.quota_id = freed.quota_id AND whole.window_start = freed.window_start
"""  # noqa: S608 constants only
_RENEW = f"""
UPDATE {LEASE} SET expires_at = now() + make_interval(secs => %(lease_s)s)
WHERE id = ANY(%(leases)s) AND NOT is_closed RETURNING id
"""  # noqa: S608 constants only
_STANDING = f"""
SELECT coalesce(sum(spent), 0)::bigint, coalesce(sum(amount - spent), 0)::bigint
FROM (
    SELECT amount, greatest(settled + abandoned + written_off, used) AS spent
    FROM {LEASE} WHERE quota_id = %(quota)s AND window_start = to_timestamp(%(start)s) AND id <> %(lease)s
) AS elsewhere
"""  # noqa: S608 constants only
_DRAWN = f"""
SELECT coalesce(sum(drawn), 0)::bigint FROM {WINDOW}
WHERE quota_id = %(quota)s AND window_start = to_timestamp(%(start)s)
"""  # noqa: S608 constants only
_SHORT = f"""
SELECT quota_id FROM {WINDOW} JOIN unnest(%(quotas)s::text[], %(starts)s::float8[]) AS asked (id, start_s)
    ON quota_id = asked.id AND window_start = to_timestamp(asked.start_s)
WHERE short_at > now() - make_interval(secs => {SHORT_S})
"""  # noqa: S608 constants only
_ENDED = f"""
SELECT count(*) = 0 FROM {LEASE} WHERE process = %(process)s AND expires_at > now() AND NOT is_closed
"""  # noqa: S608 constants only
# The truth about a lease is known now, whatever was written off for want of it.
_CLOSE = f"""
WITH closed AS (
    UPDATE {LEASE} SET
        step = amount - settled - abandoned, amount = settled + abandoned, written_off = 0, is_closed = true
    WHERE process = %(process)s AND (NOT is_closed OR written_off > 0)
    RETURNING quota_id, window_start, step
), rest AS (
    SELECT quota_id, window_start, sum(step) AS amount FROM closed GROUP BY quota_id, window_start
)
UPDATE {WINDOW} AS whole SET drawn = drawn - rest.amount FROM rest
WHERE whole.quota_id = rest.quota_id AND whole.window_start = rest.window_start
"""  # noqa: S608 constants only
_WRITE_OFF = f"""
UPDATE {LEASE} SET written_off = greatest(0, amount - settled - abandoned), is_closed = true
WHERE NOT is_closed AND expires_at < now() - make_interval(secs => %(grace_s)s)
RETURNING id, tenant_id, written_off
"""  # noqa: S608 constants only
# Every charge once, whoever brings it and how often.
_SETTLE = f"""
WITH charged AS (
    INSERT INTO {CHARGE} (request_id, tenant_id, quota_id, window_start, lease_id, amount, kind)
    SELECT request_id, tenant_id, quota_id, to_timestamp(start_s), lease_id, amount, kind
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::float8[], %s::text[], %s::bigint[], %s::text[])
        AS given (request_id, tenant_id, quota_id, start_s, lease_id, amount, kind)
    ON CONFLICT (request_id, quota_id) DO NOTHING
    RETURNING lease_id, amount, kind
), sums AS (
    SELECT lease_id, sum(amount)::bigint AS amount,
           coalesce(sum(amount) FILTER (WHERE kind = 'abandoned'), 0)::bigint AS abandoned
    FROM charged GROUP BY lease_id
)
UPDATE {LEASE} AS lease SET
    settled = settled + sums.amount - sums.abandoned,
    abandoned = lease.abandoned + sums.abandoned,
    written_off = greatest(0, written_off - sums.amount)
FROM sums WHERE lease.id = sums.lease_id
RETURNING lease.id, lease.settled + lease.abandoned + lease.written_off > lease.amount
"""  # noqa: S608 constants only
# An answer that cost more than the worst that was reckoned with: it is spent, so it is drawn.
_LIFT = f"""
WITH lifted AS (
    UPDATE {LEASE} SET
        step = settled + abandoned + written_off - amount, amount = settled + abandoned + written_off
    WHERE id = ANY(%s) AND settled + abandoned + written_off > amount
    RETURNING quota_id, window_start, step
), more AS (
    SELECT quota_id, window_start, sum(step) AS amount FROM lifted GROUP BY quota_id, window_start
)
UPDATE {WINDOW} AS whole SET drawn = drawn + more.amount FROM more
WHERE whole.quota_id = more.quota_id AND whole.window_start = more.window_start
"""  # noqa: S608 constants only


async def settle(cursor: psycopg.AsyncCursor[Any], records: Iterable[RequestRecord]) -> None:
    """Charge the records' charges that are not charged yet, in the transaction that the cursor is in."""
    rows = [
        (record.id, record.tenant_id, charge.quota_id, charge.window_s, charge.lease_id, charge.amount, charge.kind)
        for record in records
        for charge in record.charges
    ]
    if not rows:
        return
    await cursor.execute(_SETTLE, [list(column) for column in zip(*rows, strict=True)])
    over = [lease for lease, is_over in await cursor.fetchall() if is_over]
    if over:
        await cursor.execute(_LIFT, [over])


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a draw gave, and what it left for others."""

    amount: int
    left: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What other leases spent of a window, and what they hold without having spent it, as far as is written down."""

    spent_elsewhere: int
    held_elsewhere: int


class Ledger:
    """One process's connection to the ledger, off the request path. Opened when first used, and again after an error.

    Every method raises psycopg.Error or OSError when PostgreSQL is away; whether a change took place is then unknown.
    """

    def __init__(self, conninfo: str, process: str, *, lease_s: float) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._turn = asyncio.Lock()
        self._opened: set[tuple[str, int]] = set()
        self.process = process
        self.lease_s = lease_s

    async def draw(
        self, *, tenant_id: str, quota_id: str, start_s: int, lease_id: str, limit: int,
        least: int, floor: int, want: int,
    ) -> Drawn:  # fmt: skip
        """Add to a lease `floor`, or what is left when that is `least` or more; up to `want` where much is left."""
        given = {"tenant": tenant_id, "quota": quota_id, "start": start_s, "lease": lease_id, "limit": limit}
        given |= {"least": least, "floor": floor, "want": want, "process": self.process, "lease_s": self.lease_s}
        if (quota_id, start_s) not in self._opened:
            await self._run(_OPEN, given)
            self._opened.add((quota_id, start_s))
        [(amount, left)] = await self._run(_DRAW, given)
        return Drawn(int(amount), int(left))

    async def give_back(self, lease_id: str, amount: int, used: int) -> None:
        """Take from a lease what nobody reserved, for others to draw, and tell how much of it is spent by now."""
        await self._run(_GIVE_BACK, {"lease": lease_id, "amount": amount, "used": used})

    async def renew(self, leases: Sequence[str]) -> set[str]:
        """Put the leases' end off; return those that are still ours."""
        rows = await self._run(_RENEW, {"leases": list(leases), "lease_s": self.lease_s})
        return {row[0] for row in rows}

    async def standing(self, quota_id: str, start_s: int, lease_id: str) -> Standing:
        """Return how a window stands, seen from one of its leases."""
        [(spent, held)] = await self._run(_STANDING, {"quota": quota_id, "start": start_s, "lease": lease_id})
        return Standing(int(spent), int(held))

    async def drawn(self, quota_id: str, start_s: int) -> int:
        """Return how much of a window is drawn by all processes together."""
        [(amount,)] = await self._run(_DRAWN, {"quota": quota_id, "start": start_s})
        return int(amount)

    async def short(self, windows: Sequence[tuple[str, int]]) -> set[str]:
        """Return the quotas of which somebody lately wanted more than was left."""
        quotas, starts = [quota for quota, _ in windows], [start for _, start in windows]
        return {row[0] for row in await self._run(_SHORT, {"quotas": quotas, "starts": starts})}

    async def has_ended(self, process: str) -> bool:
        """Whether every lease of a process is past its end."""
        [(has_ended,)] = await self._run(_ENDED, {"process": process})
        return bool(has_ended)

    async def close_leases(self, process: str) -> None:
        """Release all of a process's leases but for what is settled: everything else was not used."""
        await self._run(_CLOSE, {"process": process})

    async def write_off(self, grace_s: float) -> list[tuple[str, str, int]]:
        """Count as spent what leases hold whose process has not been heard of; return (lease, tenant, amount)."""
        return await self._run(_WRITE_OFF, {"grace_s": grace_s})

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _run(self, statement: str, given: dict[str, Any]) -> list[Any]:
        async with self._turn:
            connection = self._connection
            if connection is None or connection.closed or connection.broken:
                connection = self._connection = await connected(
                    self._conninfo, name="routex quotas", connect_timeout_s=LIMIT_S, limit_s=LIMIT_S
                )
            try:
                cursor = await connection.execute(statement.encode(), given)
                return await cursor.fetchall() if cursor.description else []
            except (psycopg.OperationalError, OSError, asyncio.CancelledError):
                await self.close()
                raise
