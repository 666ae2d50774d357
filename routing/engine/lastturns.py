"""How many input tokens the last turn of each conversation had, as its upstream counted them."""

from __future__ import annotations

from collections import OrderedDict


class LastTurns:
    """Of the newest `limit` conversations; in this process only, since a rule that knows less merely waits a turn."""

    def __init__(self, limit: int = 50_000) -> None:
        self._limit = limit
        self._tokens: OrderedDict[tuple[str, str], int] = OrderedDict()

    def note(self, tenant_id: str, session_id: str, input_tokens: int) -> None:
        """Remember a turn that has ended; requests that name no conversation are left out."""
        if not session_id or input_tokens <= 0:
            return
        key = (tenant_id, session_id)
        self._tokens[key] = input_tokens
        self._tokens.move_to_end(key)
        if len(self._tokens) > self._limit:
            self._tokens.popitem(last=False)

    def tokens(self, tenant_id: str, session_id: str) -> int:
        """Return the last turn's input tokens, 0 when none is known."""
        return self._tokens.get((tenant_id, session_id), 0)
