"""Spill: records that wait in files while PostgreSQL is away, across the death of the process that took them."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from analytics.engine.copy_text import UNWRITABLE, cleaned
from analytics.engine.record import RequestRecord

log = logging.getLogger("routex.records")

#: Bytes of one read, some 1,500 records; far longer than the longest line that a cleaned record makes.
READ_BYTES: Final = 1024 * 1024
#: A file this long is followed by a new one, so that what has been read back frees its disk space.
FILE_BYTES: Final = 16 * 1024 * 1024
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(RequestRecord).decode


@dataclass(slots=True)
class _File:
    """One open spill file. The lock on it says that its records have a living owner."""

    path: Path
    fd: int
    size: int
    offset: int = 0


class Spill:
    """Files of JSON lines in one folder, one per process, read in the order in which they were written.

    A process locks the files it owns. The lock ends with the process, so a file without one was left by a process
    that died, and whoever locks it next takes it over. Nothing is forced to disk: what was written outlives the
    process, which is the promise; a machine that loses its power is not covered.

    Not for two threads at once.
    """

    def __init__(self, folder: Path, *, limit_bytes: int = 256 * 1024 * 1024) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._files: list[_File] = []
        #: The file that this process appends to; the last of `_files`.
        self._own: _File | None = None
        self._next_offset = 0
        #: Lines that were no record: a line half written when its process died, or a foreign file.
        self.unreadable = 0

    @property
    def size_bytes(self) -> int:
        """How much waits."""
        return sum(file.size - file.offset for file in self._files)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._files

    def adopt(self) -> int:
        """Take over the files of processes that died, oldest first, and return how many bytes they hold.

        Raises:
            OSError: the folder can be neither read nor made.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in sorted(self._folder.glob("*.jsonl")):
            try:
                file = _locked(path)
            except OSError as error:
                log.warning("The spill file %s is left alone: %s.", path, error)
                continue
            if file is not None:
                self._files.append(file)
        return self.size_bytes

    def append(self, records: Sequence[RequestRecord]) -> int:
        """Write records at the end and return how many were taken: all, unless room ends or a record cannot be written.

        Raises:
            OSError: the disk refused; nothing of this call is kept.
        """
        room = self._limit_bytes - self.size_bytes
        lines: list[bytes] = []
        for record in records:
            # Cleaned, so that every line can be read back and has a bounded length.
            try:
                line = _encode(cleaned(record)) + b"\n"
            except UNWRITABLE:
                continue
            room -= len(line)
            if room < 0:
                break
            lines.append(line)
        if lines:
            self._append(b"".join(lines))
        return len(lines)

    def _append(self, data: bytes) -> None:
        file = self._own
        if file is None or file.size >= FILE_BYTES:
            file = self._own = self._create()
            self._files.append(file)
        try:
            written = 0
            while written < len(data):
                written += os.write(file.fd, data[written:])
        except OSError:
            os.ftruncate(file.fd, file.size)
            raise
        file.size += len(data)

    def _create(self) -> _File:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            path = self._folder / f"{time.time_ns()}-{os.getpid()}.jsonl"
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
            # A process that starts right now may have taken the new file for an orphan; then it has it.
            file = _locked(path)
            if file is not None:
                return file

    def read(self) -> list[RequestRecord]:
        """Return the next records; they stay until `done` says that they are safe. Empty when nothing is left."""
        while self._files:
            file = self._files[0]
            try:
                data = os.pread(file.fd, READ_BYTES, file.offset)
            except OSError as error:
                log.error("The spill file %s cannot be read and is left for the next start: %s.", file.path, error)
                self._leave_first()
                continue
            end = data.rfind(b"\n") + 1
            if end:
                self._next_offset = file.offset + end
                records = [record for line in data[:end].splitlines() if (record := self._record(line))]
                if records:
                    return records
                self.done()
                continue
            # The rest is at most the half line of a process that died in the middle of it.
            self.unreadable += bool(data)
            self._remove_first()
        return []

    def done(self) -> None:
        """Forget the records of the last `read`: they are in the database."""
        if self._files:
            self._files[0].offset = self._next_offset
            if self._next_offset >= self._files[0].size:
                self._remove_first()

    def close(self) -> None:
        """Let go of the files; what they hold waits for the next start."""
        for file in self._files:
            os.close(file.fd)
        self._files.clear()
        self._own = None

    def _remove_first(self) -> None:
        self._files[0].path.unlink(missing_ok=True)
        self._leave_first()

    def _leave_first(self) -> None:
        file = self._files.pop(0)
        os.close(file.fd)
        if file is self._own:
            self._own = None

    def _record(self, line: bytes) -> RequestRecord | None:
        try:
            return _decode(line)
        except msgspec.DecodeError:
            self.unreadable += 1
            return None


def _locked(path: Path) -> _File | None:
    """Return the file opened and locked, or None when it has a living owner or is gone.

    Raises:
        OSError: it cannot be opened, or the file system has no locks.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_there = os.path.samestat(path.stat(), os.fstat(fd))
    except (BlockingIOError, FileNotFoundError):
        is_there = False
    except OSError:
        os.close(fd)
        raise
    if not is_there:
        os.close(fd)
        return None
    return _File(path, fd, size=os.fstat(fd).st_size)
