"""Principal: who is calling the gateway and what this key may do."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from tenants.engine.limits import LimitSpec, QuotaSpec
from tenants.engine.networks import Network, address_of, listed


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway key as the data plane knows it; the digest is the look-up key and is not repeated here.

    `expires_at_s` is seconds since the epoch; `state` is `active`, `disabled` or `revoked`.
    """

    tenant_id: str
    key_id: str
    key_slug: str
    state: str = "active"
    expires_at_s: float | None = None
    models: tuple[str, ...] = ("*",)
    channels: tuple[str, ...] = ("*",)
    #: Where requests may come from; None is everywhere, which costs a request nothing.
    networks: tuple[Network, ...] | None = None
    tags: dict[str, str] = {}
    #: The key's own; those of its tenant lie in the snapshot.
    limits: tuple[LimitSpec, ...] = ()
    quotas: tuple[QuotaSpec, ...] = ()

    def may_use_model(self, name: str) -> bool:
        """Whether the key's allow-list of globs admits this model name."""
        return _admits(self.models, name)

    def may_use_channel(self, slug: str) -> bool:
        """Whether the key's allow-list of globs admits this channel."""
        return _admits(self.channels, slug)

    def why_not_from(self, client_address: str) -> str:
        """Return why a request from this peer is refused, "" where it is not; what is no address lies nowhere."""
        if self.networks is None:
            return ""
        address = address_of(client_address)
        if address is not None and any(address in network for network in self.networks):
            return ""
        return (
            f"Key `{self.key_slug}` is limited to {listed(self.networks)}; "
            f"request came from {address or 'an unknown address'}. "
            "Send it from there, or ask an admin of your tenant to add the address."
        )


def _admits(globs: tuple[str, ...], name: str) -> bool:
    # "*" is what nearly every key has; it must not cost a pattern match per request.
    return globs == ("*",) or any(fnmatchcase(name, glob) for glob in globs)
