"""A form that is being uploaded: kept in a temporary file as it arrives, and read from its beginning for each try."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import IO

from channels_app.engine.multipart import FormScanner, MalformedForm, Part, boundary_of
from routing.engine.errors import BadRequest

#: As much of an upload stays in memory; a larger one lies in a file that has no name. TMPDIR says where.
MEMORY_BYTES = 256 * 1024
#: How much is read back, or looked at, at once.
PIECE_BYTES = 64 * 1024
MAX_MODEL_BYTES = 1024


class Spool:
    """Bytes that are written once, at the end, and read anywhere. Files are never touched on the event loop."""

    def __init__(self) -> None:
        self.size = 0
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        # A thread goes on when the task that waits for it is cancelled: it must not meet a file that is closed.
        self._lock = threading.Lock()
        self._is_closed = False

    async def append(self, data: bytes) -> None:
        """Add data; raises OSError when the disk takes no more."""
        if self._file is None and self.size + len(data) <= MEMORY_BYTES:
            self._memory += data
        else:
            await asyncio.to_thread(self._write, data)
        self.size += len(data)

    async def read(self, start: int, count: int) -> bytes:
        """Return at most so many bytes from there on; none where there are none, or after the end."""
        if self._file is None:
            return bytes(self._memory[start : start + count])
        return await asyncio.to_thread(self._read, start, count)

    def close(self) -> None:
        """Forget everything."""
        self._memory = bytearray()
        if self._file is None:
            self._is_closed = True
        else:
            asyncio.get_running_loop().run_in_executor(None, self._close)

    def _write(self, data: bytes) -> None:
        with self._lock:
            if self._is_closed:
                return
            if self._file is None:
                file = tempfile.TemporaryFile(prefix="routex-upload-", buffering=0)  # noqa: SIM115 - `close` ends it
                _write_at(file.fileno(), self._memory, 0)
                self._file, self._memory = file, bytearray()
            _write_at(self._file.fileno(), data, self.size)

    def _read(self, start: int, count: int) -> bytes:
        with self._lock:
            return b"" if self._is_closed or self._file is None else os.pread(self._file.fileno(), count, start)

    def _close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._file is not None:
                self._file.close()


def _write_at(descriptor: int, data: bytes | bytearray, start: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(descriptor, left, start)
        left, start = left[written:], start + written


class Upload:
    """One form, known as far as it has arrived. Whoever reads it waits for the rest."""

    def __init__(self, content_type: bytes, declared: int | None) -> None:
        """Begin; `declared` is the body's length where the client says it.

        Raises:
            BadRequest: the content type is that of another body.
        """
        try:
            self._scanner = FormScanner(boundary_of(content_type))
        except MalformedForm as error:
            raise _bad_form(error) from error
        self._declared = declared
        self._spool = Spool()
        self._model: Part | None = None
        self._is_whole = False
        self._is_closed = False
        self._news = asyncio.Event()

    @property
    def size(self) -> int:
        """How many bytes have arrived."""
        return self._spool.size

    @property
    def declared_size(self) -> int | None:
        """How many bytes the client says there are."""
        return self._declared

    # --- what arrives --------------------------------------------------------------------------------------------

    async def take(self, data: bytes) -> None:
        """Keep the next bytes.

        Raises:
            BadRequest: they are no form, or name a model a second time.
        """
        view = memoryview(data)
        for start in range(0, len(data), PIECE_BYTES):
            piece = bytes(view[start : start + PIECE_BYTES])
            try:
                parts = self._scanner.feed(piece)
            except MalformedForm as error:
                raise _bad_form(error) from error
            await self._spool.append(piece)
            for part in parts:
                self._note(part)
            self._tell()

    def end(self) -> None:
        """Everything has arrived.

        Raises:
            BadRequest: the form ended in the middle, or named no model.
        """
        try:
            self._scanner.finish()
        except MalformedForm as error:
            raise _bad_form(error) from error
        if self._model is None:
            raise BadRequest("The form has no `model` field. Name a model; GET /v1/models lists them.", param="model")
        self._is_whole = True
        self._tell()

    def close(self) -> None:
        """Nobody needs it any more."""
        self._is_closed = True
        self._spool.close()
        self._tell()

    def _note(self, part: Part) -> None:
        if part.name != "model":
            return
        if self._model is not None:
            # Receivers do not agree on which one counts, and the key was checked for one of them only.
            raise BadRequest("The form names a `model` twice. Send one.", param="model")
        if part.is_file or not part.value.strip() or len(part.value) > MAX_MODEL_BYTES:
            raise BadRequest("The form's `model` must be the name of a model, as a plain field.", param="model")
        self._model = part

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    # --- what is known --------------------------------------------------------------------------------------------

    async def model(self) -> str:
        """Return the model that the form names, as soon as that is known.

        Raises:
            BadRequest: its name is not UTF-8.
        """
        while self._model is None:
            await self._news.wait()
        try:
            return self._model.value.decode()
        except UnicodeDecodeError as error:
            raise BadRequest("The form's `model` is not UTF-8.", param="model") from error

    async def source(self, model: str) -> UploadSource:
        """Return the form for an upstream that calls the model so; without a declared length, once all is here."""
        while self._declared is None and not self._is_whole:
            await self._news.wait()
        assert self._model is not None
        return UploadSource(self, self._model, model.encode(), self.size if self._declared is None else self._declared)

    async def pieces(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield these bytes, waiting for those that have not arrived.

        Raises:
            ConnectionAbortedError: the request is over.
        """
        while start < end:
            news = self._news
            piece = await self._spool.read(start, min(end - start, PIECE_BYTES))
            if piece:
                start += len(piece)
                yield piece
            elif self._is_closed:
                raise ConnectionAbortedError("the request is over")
            else:
                await news.wait()


@dataclass(frozen=True, slots=True)
class UploadSource:
    """The form's own bytes but for the model's name."""

    upload: Upload
    part: Part
    model: bytes
    whole: int

    @property
    def length(self) -> int:
        """How many bytes an iteration gives."""
        return self.whole + sum(len(new) - (end - start) for start, end, new in self._changes())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the bytes from the first on."""
        at = 0
        for start, end, new in self._changes():
            async for piece in self.upload.pieces(at, start):
                yield piece
            yield new
            at = end
        async for piece in self.upload.pieces(at, self.whole):
            yield piece

    def _changes(self) -> list[tuple[int, int, bytes]]:
        """Return what takes the place of which bytes: the name, and before it the length that its head may tell."""
        part = self.part
        changes = [(part.start, part.end, self.model)]
        if part.length:
            changes.insert(0, (part.length_at, part.length_at + len(part.length), b"%d" % len(self.model)))
        return changes


def _bad_form(error: MalformedForm) -> BadRequest:
    return BadRequest(f"{error}.", code="invalid_form")
