"""Limits: every limit that this process counts, each with its account."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field

from routing.engine.account import Account
from routing.engine.leases import LeasedAccount
from routing.engine.store import Store
from tenants.engine.limits import LimitSpec

#: Beyond so many accounts, those that nobody used lately are forgotten.
MANY_ACCOUNTS = 10_000


@dataclass(slots=True)
class Limits:
    """Every account of this process, by limit."""

    store: Store
    #: What this process is called in the shared state.
    holder: str = field(default_factory=lambda: secrets.token_hex(4))
    _accounts: dict[tuple[str, str], Account] = field(default_factory=dict)
    #: How many there may be before those that nobody used lately are looked for again.
    _crowd: int = 0

    def account(self, tenant_id: str, spec: LimitSpec) -> Account:
        """Return the account of a limit."""
        key = (tenant_id, spec.id)
        account = self._accounts.get(key)
        if account is None:
            self._forget_idle()
            account = self._accounts[key] = self._made(tenant_id, spec)
        elif account.spec is not spec:
            if account.spec.algorithm != spec.algorithm or account.spec.kind != spec.kind:
                account = self._accounts[key] = self._made(tenant_id, spec)
            elif account.spec != spec:
                account.bind(spec)
            else:
                account.spec = spec
        return account

    def known(self, tenant_id: str, spec: LimitSpec) -> Account:
        """Return the account of a limit as it is here, whatever it goes by; or else a new one that nobody keeps."""
        account = self._accounts.get((tenant_id, spec.id))
        if account is not None and (account.spec.algorithm, account.spec.kind) == (spec.algorithm, spec.kind):
            return account
        return self._made(tenant_id, spec)

    def _made(self, tenant_id: str, spec: LimitSpec) -> Account:
        made = LeasedAccount if self.store.is_shared else Account
        return made(self.store, tenant_id, spec, self.holder)

    async def close(self) -> None:
        """Give back everything."""
        await asyncio.gather(*(account.close() for account in self._accounts.values()))

    def _forget_idle(self) -> None:
        if len(self._accounts) >= max(MANY_ACCOUNTS, self._crowd):
            for key in [key for key, account in self._accounts.items() if account.is_idle]:
                del self._accounts[key]
            self._crowd = 2 * len(self._accounts)
