"""What nodes of a domain may have beside prefixes that they make addresses of, and what this router promised of it.

IPv4 home addresses (RFC 5844) and delegated prefixes (RFC 8415). A router that neither gives such things nor meets
nodes of others that have them does without all of this.
"""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.engines.configuration import STATEFUL, MaarConfiguration
from sojourn.engines.prefix_pool import PrefixPool
from sojourn.wire.addresses import Address, Prefix


class Leases:
    """The pools of a MAAR, the IPv4 subnets of the domain, and what was offered and not taken yet."""

    def __init__(self, configuration: MaarConfiguration, others: Iterable[Prefix]) -> None:
        """`others` are the IPv4 addresses of all other routers."""
        rest = configuration.quarantine
        self.ipv4_pool: PrefixPool | None = None
        """IPv4 home addresses, without those that are no host's."""
        self.delegated_pool: PrefixPool | None = None
        pool = configuration.ipv4_pool
        if pool is not None:
            last = pool.subnet((1 << 128 - pool.length) - 1, 128)
            self.ipv4_pool = PrefixPool(pool, 128, rest, (pool.subnet(0, 127), last))
        if configuration.delegated_pool is not None:
            self.delegated_pool = PrefixPool(configuration.delegated_pool, configuration.delegated_length, rest)
        self.subnets = [*others] if pool is None else [pool, *others]
        """Of IPv4, ours first: each pool is the home subnet of its nodes."""
        self._delegated_length = configuration.delegated_length if configuration.dhcpv6 is STATEFUL else None
        self.offers: dict[Prefix, bytes] = {}
        """What was leased to a node that did not take it yet, oldest first."""
        self.shown: dict[tuple[str, Address], set[Prefix]] = {}
        """The IPv4 addresses whose default router is shown on an interface."""

    def may_be(self, prefix: Prefix) -> bool:
        """Whether a node can have got such a prefix."""
        return prefix.length == 128 if prefix.is_ipv4 else prefix.length == self._delegated_length

    def is_ours(self, prefix: Prefix) -> bool:
        """Whether it is, or has, an IPv4 address of ours."""
        return self.ipv4_pool is not None and self.ipv4_pool.pool.overlaps(prefix)

    def pool_of(self, prefix: Prefix) -> PrefixPool | None:
        """Our pool that gives out such prefixes."""
        pools = (self.delegated_pool, self.ipv4_pool)
        return next((pool for pool in pools if pool is not None and pool.owns(prefix)), None)

    # --- IPv4 default routers (RFC 5844 3.4) --------------------------------------------------------------------------

    def subnet(self, prefix: Prefix) -> Prefix | None:
        """The pool that an IPv4 address is of: the home subnet of its node."""
        return next((pool for pool in self.subnets if pool.contains(prefix)), None)

    def show(self, interface: str, prefix: Prefix) -> Address | None:
        """The default router that the node with this address has to find on `interface` from now on."""
        subnet = self.subnet(prefix)
        if subnet is None:
            return None
        router = router_of(subnet)
        self.shown.setdefault((interface, router), set()).add(prefix)
        return router

    def hide(self, interface: str, prefix: Prefix) -> Address | None:
        """The default router that no node needs on `interface` any more, once this one does not."""
        subnet = self.subnet(prefix) if prefix.is_ipv4 else None
        if subnet is None:
            return None
        key = (interface, router_of(subnet))
        users = self.shown.get(key, set())
        users.discard(prefix)
        return None if users or self.shown.pop(key, None) is None else key[1]


def router_of(subnet: Prefix) -> Address:
    """Its first address, which every router of the domain shows to the nodes that are of it."""
    return subnet.subnet(1, 128).address
