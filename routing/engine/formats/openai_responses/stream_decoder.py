"""An upstream's stream: the named events of Responses as events of an answer, whatever a server leaves out of them."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.answers import events_of
from routing.engine.codec import Exchange, SSEDecoder
from routing.engine.failures import ErrorInside
from routing.engine.formats.openai_responses.known_items import Event, Items
from routing.engine.formats.openai_responses.response import decode_answer, finish_of, rows_of, seconds_of
from routing.engine.formats.openai_responses.telling import Events, Telling
from routing.engine.formats.openai_responses.vocabulary import LIFECYCLE, TERMINAL, with_searches
from routing.engine.messages import Began, Ended, Failed, Finished, StreamEvent, UsageReport
from routing.engine.openai_shape import code_of, failure_of, read_usage, text_of
from routing.engine.wirejson import decode, decode_halves, is_json


class _Response(msgspec.Struct):
    id: Any = None
    model: Any = None
    created_at: Any = None
    status: Any = None
    error: Any = None
    incomplete_details: Any = None
    output: Any = None
    usage: msgspec.Raw = msgspec.Raw()


_EVENT = msgspec.json.Decoder(Event)
_MALFORMED = {"message": "the upstream sent an event that is no JSON", "code": "malformed_event"}
_RESPONSE = msgspec.json.Decoder(_Response | None)


class ResponsesDecoder(SSEDecoder):
    """Follows a stream from its first event, whichever that is, to its terminal one."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._items = Items()
        self._telling = Telling(exchange, self._items)
        self._is_over = False
        self._has_begun = False
        self._is_tail = False

    def finish(self) -> list[StreamEvent]:
        """Return what an event without its last line end says; see the contract."""
        self._is_tail = True
        return super().finish()

    def read(self, name: bytes, data: bytes, events: list[StreamEvent]) -> None:
        """Append the events of one server-sent event; see the contract."""
        if self._is_over or data == b"[DONE]":
            return
        event = self._decoded(data, events)
        if event is None:
            return
        kind = event.type if isinstance(event.type, str) else name.decode(errors="replace")
        reader = self._telling.readers.get(kind)
        if event.error or kind == "error":
            self._fail(event.error or {"message": event.message, "code": event.code}, events)
        elif reader is not None:
            if not self._has_begun:
                self._begin(_Response(), events)
            reader(event, events)
        elif kind in LIFECYCLE or kind in TERMINAL:
            self._lifecycle(kind, event, events)
        elif not kind and not self._has_begun:
            self._whole(data, events)

    def close(self, events: list[StreamEvent]) -> None:
        """Nothing is owed at the end of the bytes: `Ended` came with the terminal event, or the stream was cut."""

    def _decoded(self, data: bytes, events: Events) -> Event | None:
        try:
            if not data.isascii():
                data.decode()  # members that are passed over must be text as well
            return _EVENT.decode(data)
        except msgspec.ValidationError:
            if not is_json(data):  # refused for its first character, and broken further on
                self._torn(events)
            return None
        except (ValueError, RecursionError):
            return self._mended(data, events)

    def _mended(self, data: bytes, events: Events) -> Event | None:
        """Read an event that ends or begins in the middle of a surrogate pair; it is no event if that is not it."""
        try:
            data.decode()
            event = decode(_EVENT, data)
            delta = decode_halves(data).get("delta")
        except (ValueError, RecursionError):
            self._torn(events)
            return None
        if isinstance(delta, str):
            event.delta = delta
        return event

    def _torn(self, events: Events) -> None:
        if not self._is_tail:  # else the stream was cut in the middle of it
            self._fail(_MALFORMED, events)

    @staticmethod
    def _response(event: Event) -> _Response | None:
        """Return an event's response, an empty one where it has none, None where it cannot be read."""
        try:
            return (decode(_RESPONSE, event.response) if event.response else None) or _Response()
        except msgspec.ValidationError:
            return _Response()
        except (ValueError, RecursionError):
            return None

    # --- begin and end ---------------------------------------------------------------------------------------------

    def _lifecycle(self, kind: str, event: Event, events: Events) -> None:
        response = self._response(event)
        if response is None:
            self._fail(_MALFORMED, events)
        elif kind in TERMINAL:
            self._end(kind, event, response, events)
        else:
            self._begin(response, events)

    def _begin(self, response: _Response, events: Events) -> None:
        if not self._has_begun:
            self._has_begun = True
            events.append(Began(text_of(response.id), text_of(response.model), seconds_of(response.created_at)))

    def _fail(self, error: Any, events: Events) -> None:
        self._is_over = True
        message, status = failure_of(error)
        events.append(Failed(message, status, code_of(error)))

    def _whole(self, data: bytes, events: Events) -> None:
        """Tell an answer that came whole where a stream was promised."""
        self._is_over = True
        try:
            events.extend(events_of(decode_answer(data, self.exchange)))
        except ErrorInside as inside:
            events.append(Failed(str(inside), inside.status, inside.error.code))
        except (ValueError, RecursionError) as error:
            events.append(Failed(str(error), 0))

    def _end(self, kind: str, event: Event, response: _Response, events: Events) -> None:
        if kind == "response.failed" or response.status in ("failed", "cancelled"):
            self._fail(response.error, events)
            return
        self._begin(response, events)
        for item, known in self._items.matched(rows_of(response.output)):
            self._telling.whole_item(item, known, events)
        for known in self._items.all:
            self._telling.close_call(known, events)
        usage = response.usage or event.usage
        report = with_searches(
            read_usage(usage, self.exchange.target.capabilities.input_includes_cache), rows_of(response.output)
        )
        if report is not None:
            events.append(UsageReport(report))
        is_incomplete = kind == "response.incomplete" or response.status == "incomplete"
        details = (response.incomplete_details or {}) if is_incomplete else None
        events.append(Finished(finish_of(details, has_calls=self._telling.calls > 0)))
        events.append(Ended())
        self._is_over = True
