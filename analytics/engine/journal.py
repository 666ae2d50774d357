"""Journal: what a process has reserved from quotas, in a file of fixed slots that outlives the process (ADR 13)."""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

log = logging.getLogger("routex.quotas")

SLOTS: Final = 32_768
SUFFIX: Final = ".journal"
#: After the state: amount, window, start of the request, whether it is money; then ids, of up to 31 characters.
_SLOT: Final = struct.Struct("<qqq? 31s 31s 31s 31s 31s")
_SLOT_BYTES: Final = 192
_FREE, _OPEN, _SETTLED = 0, 1, 2


class Entry(NamedTuple):
    """One slot that is in use. `amount` is the reservation of a request under way, or what a settled one took."""

    request_id: str
    tenant_id: str
    key_id: str
    quota_id: str
    lease_id: str
    amount: int
    window_s: int
    started_us: int
    is_money: bool
    is_settled: bool = False

    @property
    def cost_nano_usd(self) -> int:
        """Return the amount where it is money, else -1."""
        return self.amount if self.is_money else -1


class JournalFull(Exception):
    """More requests are under way, or wait to be written down, than the journal has slots for."""


class Journal:
    """The file of one living process, written through memory: no system call per request, and a kill loses nothing.

    The lock on the file says that its process lives. Nothing is forced to disk: a machine that loses its power loses
    the file too, and its leases are written off then.
    """

    def __init__(self, folder: Path, process: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Locked before it has the name by which others look for journals without a lock.
        unnamed = folder / f"{process}.new"
        self._fd = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self.path = unnamed.rename(folder / f"{process}{SUFFIX}")
        os.ftruncate(self._fd, SLOTS * _SLOT_BYTES)
        self._map = mmap.mmap(self._fd, SLOTS * _SLOT_BYTES)
        # The lowest slots first and again and again: the file is as large as what was ever under way at once.
        self._free = list(range(SLOTS - 1, -1, -1))

    @property
    def used(self) -> int:
        """How many slots are in use."""
        return SLOTS - len(self._free)

    def open(self, entry: Entry) -> int:
        """Write a reservation down and return its slot.

        Raises:
            JournalFull: there is no slot left.
        """
        if not self._free:
            raise JournalFull
        slot = self._free.pop()
        request_id, tenant_id, key_id, quota_id, lease_id, amount, window_s, started_us, is_money, _ = entry
        at = slot * _SLOT_BYTES
        _SLOT.pack_into(
            self._map, at + 8, amount, window_s, started_us, is_money, request_id.encode(), tenant_id.encode(),
            key_id.encode(), quota_id.encode(), lease_id.encode(),
        )  # fmt: skip
        # Last, so that a slot whose process died in the middle of writing it is none.
        self._map[at] = _OPEN
        return slot

    def settle(self, slot: int, amount: int) -> None:
        """Write down what the request took in the end; the slot is kept until that is in the ledger."""
        at = slot * _SLOT_BYTES
        self._map[at + 8 : at + 16] = amount.to_bytes(8, "little", signed=True)
        self._map[at] = _SETTLED

    def free(self, slot: int) -> None:
        """Forget a reservation."""
        self._map[slot * _SLOT_BYTES] = _FREE
        self._free.append(slot)

    def close(self) -> None:
        """Let go of the file; it is removed when nothing in it is left to be done."""
        self._map.close()
        if not self.used:
            self.path.unlink(missing_ok=True)
        os.close(self._fd)


class DeadJournal:
    """The file of a process that died, locked by who takes it over."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd

    @property
    def process(self) -> str:
        """Return the name of the process that left it."""
        return self._path.name.removesuffix(SUFFIX)

    def entries(self) -> list[Entry]:
        """Return what was under way, and what was settled and perhaps never written down."""
        return list(self._read())

    def _read(self) -> Iterator[Entry]:
        data = os.pread(self._fd, SLOTS * _SLOT_BYTES, 0)
        for at in range(0, len(data) - _SLOT_BYTES + 1, _SLOT_BYTES):
            if data[at] in (_OPEN, _SETTLED):
                amount, window_s, started_us, is_money, *ids = _SLOT.unpack_from(data, at + 8)
                texts = [each.rstrip(b"\0").decode("ascii", "replace") for each in ids]
                request_id, tenant_id, key_id, quota_id, lease_id = texts
                yield Entry(
                    request_id, tenant_id, key_id, quota_id, lease_id, amount, window_s, started_us, is_money,
                    data[at] == _SETTLED,
                )  # fmt: skip

    def remove(self) -> None:
        """Remove it: everything in it is in the ledger."""
        self._path.unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Let go of it; it waits for who looks next."""
        os.close(self._fd)


def dead_journals(folder: Path) -> list[DeadJournal]:
    """Return the journals whose processes died and that nobody else takes over right now."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            fd = os.open(path, os.O_RDWR)
        except OSError:
            continue  # taken over and removed since
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.path.samestat(path.stat(), os.fstat(fd))
        except OSError:
            is_there = False
        if is_there:
            found.append(DeadJournal(path, fd))
        else:
            os.close(fd)
    return found
