"""How many input tokens the last turn of each conversation had, as its upstream counted them."""

from __future__ import annotations

from collections import OrderedDict


class LastTurns:
    """Of the newest `limit` conversations; in this process only, since a rule that knows less merely waits a turn."""

    def __init__(self, limit: int = 50_000) -> None:
        self._limit = limit
        self._tokens: OrderedDict[tuple[str, str], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tokens)

    def note(self, tenant_id: str, conversation: str, input_tokens: int) -> None:
        """Remember a turn that has ended; requests that belong to no conversation are left out."""
        if not conversation or input_tokens <= 0:
            return
        key = (tenant_id, conversation)
        self._tokens[key] = input_tokens
        self._tokens.move_to_end(key)
        if len(self._tokens) > self._limit:
            self._tokens.popitem(last=False)

    def tokens(self, tenant_id: str, conversation: str) -> int:
        """Return the last turn's input tokens, 0 when none is known."""
        return self._tokens.get((tenant_id, conversation), 0)
