"""Whether a home agent answers a Binding Update, and to whom: tests, in order (RFC 6275 9.5.1, 10.3.1; RFC 4285 6)."""

from __future__ import annotations

from sojourn.engines.authentication import mn_ha_option, verified
from sojourn.engines.ha_entry import BindingCacheEntry, BindingState
from sojourn.engines.ha_state import HaState
from sojourn.engines.mip6_configuration import HomeNode
from sojourn.engines.mip6_request import HOME_REGISTRATION, PROXIED, ROUTER, BindingRequest, Discarded
from sojourn.engines.registration import Refused
from sojourn.wire import MobileNodeIdentifier, NonceIndices, Status
from sojourn.wire.extensions.rfc4285 import MobilityMessageReplayProtection


class HaChecks(HaState):
    """Each raises `Refused`, or `Discarded` where no answer is due."""

    def _check_kind(self, request: BindingRequest) -> None:
        """RFC 6275 9.5.1: it is a home registration, and looks like one."""
        update = request.update
        if update.flags & PROXIED:
            raise Refused(Status.PROXY_REG_NOT_ENABLED, "a proxy registration (flag P)")
        if not update.flags & HOME_REGISTRATION:
            if update.flags & ROUTER:
                raise Refused(Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED, "flag R without H")
            if self._active(request.home) is not None:
                raise Refused(Status.REGISTRATION_TYPE_CHANGE_DISALLOWED, "not a home registration (flag H)")
            raise Discarded("not a home registration (flag H)")
        if request.first(NonceIndices) is not None:
            raise Discarded("nonce indices in a home registration")
        if request.lifetime and not request.named:
            raise Discarded("no Home Address option")

    def _node(self, request: BindingRequest) -> HomeNode:
        """RFC 6275 10.3.1: the home address is of our link, and says whose key is to be used."""
        prefix = self._home_prefix(request.home)
        if prefix is None:
            raise Refused(Status.NOT_HOME_SUBNET, "home address is not of the home link")
        if request.home in (self._address, prefix.prefix.address):
            raise Refused(Status.ADMINISTRATIVELY_PROHIBITED, "home address is that of a router")
        node = self._by_address.get(request.home)
        if node is None and request.home in self.cache:
            node = self.cache[request.home].node
        option = mn_ha_option(request.update)
        if node is None and option is not None:
            node = self._by_spi.get(option.spi)
        if node is None:
            raise Discarded("no security association")
        return node

    def _authenticate(self, request: BindingRequest, node: HomeNode) -> None:
        """RFC 4285 5.1.1 and 6: who has the key sent this, and now."""
        association, update = node.association, request.update
        if (association is None) != (mn_ha_option(update) is None):
            raise Discarded("authentication option without association, or none with one")
        if association is None:
            return  # protected by others
        identifier = request.first(MobileNodeIdentifier)
        if association.identifier and (identifier is None or identifier.key() != association.identifier):
            raise Refused(Status.MIPV6_AUTH_FAIL, "not the identifier of the association")
        if not verified(update, request.octets, association, request.care_of, request.home):
            raise Refused(Status.MIPV6_AUTH_FAIL, "authenticator is wrong")
        if association.replay_protection:
            self._check_time(request, node)

    def _check_time(self, request: BindingRequest, node: HomeNode) -> None:
        association = node.association
        assert association is not None
        option = request.first(MobilityMessageReplayProtection)
        if option is None:
            raise Refused(Status.MIPV6_MESG_ID_REQD, "no replay protection option")
        last = self._accepted.get((association.spi, node.home_address or b""), self._born)
        if abs(option.wall_clock - self._epoch - self._now) > association.close_enough or option.timestamp <= last:
            raise Refused(Status.MIPV6_ID_MISMATCH, "timestamp is not new, or not near ours")
        self._accepted[association.spi, node.home_address or b""] = option.timestamp

    def _check_order(self, request: BindingRequest, node: HomeNode, entry: BindingCacheEntry | None) -> None:
        """RFC 6275 9.5.1; "the sequence number field is not used" where timestamps are (RFC 4285 7)."""
        if entry is None or entry.state is BindingState.TENTATIVE:
            return
        if node.association is None or not node.association.replay_protection:
            request.check_sequence(entry.sequence)
