"""A MAG asks the LMA for prefixes for the networks behind its nodes, and leads packets to and from them (RFC 7148 5.1).

Which nodes are routers says the configuration (3.2.3), or they ask over DHCPv6, whose server is this engine's (3.2.1,
5.1.3.1): `ask`, `delegated` and `give_back` are what `mag_dhcp` needs. The command ``delegate`` asks in a node's place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sojourn.core.effects import EnsurePrefix, EnsureUplink, WithdrawPrefix, WithdrawUplink
from sojourn.core.engine import Row
from sojourn.engines.access_presence import identifier
from sojourn.engines.access_session import SERVED
from sojourn.engines.extension import MagExtension
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.way_settings import DelegationOfMag
from sojourn.wire import BindingAcknowledgement, Handoff, MobilityOption, Status
from sojourn.wire.addresses import ANY, Prefix, link_layer
from sojourn.wire.extensions.rfc7148 import DelegatedMobileNetworkPrefix
from sojourn.wire.units import MINUTE, Duration

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration

_LENGTHS = range(48, 65)
"""Of prefixes that are taken for networks behind a node."""
_LEASE = "lease"
_AGAIN = 1 * MINUTE
"""A node that was refused may ask again then."""


class DelegationAtMag(MagExtension):
    """RFC 7148 5.1."""

    name = "delegation"
    verbs = frozenset({"delegate"})

    def __init__(self, role: MagRegistration, settings: DelegationOfMag) -> None:
        super().__init__(role)
        self._settings = settings
        self._routers = dict(settings.nodes)
        self._asking: set[bytes] = set()
        """Sessions whose nodes asked for a prefix, besides those that are known to be routers."""
        self._unnamed: set[bytes] = set()
        """Sessions that do not get what the configuration has for them; any other will do."""
        self._denied: set[bytes] = set()
        """Sessions that get none."""
        self._awaited: set[bytes] = set()
        """Sessions whose nodes asked, and the LMA has not answered yet."""
        self._held: dict[bytes, tuple[Prefix, ...]] = {}
        """The DMNP list of each session (5.1.1)."""
        self._owner: dict[Prefix, bytes] = {}

    # --- asking (5.1.2) ---------------------------------------------------------------------------------------------

    def on_command(self, verb: str, arguments: dict[str, str]) -> bool:
        """``delegate`` with ``node``, a link-layer address."""
        try:
            session = self._role.sessions.get(identifier(link_layer(arguments["node"])))
        except (KeyError, ValueError):
            return False
        return session is not None and self.request(session)

    def request(self, session: BindingUpdateListEntry) -> bool:
        """The node asks for a prefix. False: it may not. The answer comes with the next registration, at once."""
        if session.presence is not SERVED or not self._may_ask(session):
            return False
        if not self._asks(session):
            self._denied.discard(session.node)
            self._asking.add(session.node)
            self._awaited.add(session.node)
            self._role._register(session, Handoff.UNKNOWN)
        return True

    def ask(self, session: BindingUpdateListEntry) -> None:
        """The node asks over DHCPv6: "This message provides the needed trigger" (5.1.3); not again if it gets none."""
        if session.node not in self._denied:
            self.request(session)

    def awaits(self, session: BindingUpdateListEntry) -> bool:
        """Whether the LMA may still grant what the node asked for."""
        return session.node in self._awaited

    def leased(self, session: BindingUpdateListEntry, lease: Duration) -> None:
        """The node was told that what it has is its own for so long."""
        self.wake(lease, (_LEASE, session.node))

    def give_back(self, session: BindingUpdateListEntry) -> None:
        """ "Any time the requesting router releases the delegated prefixes ... an Updated Proxy Binding Update"."""
        if session.link_layer in self._routers:
            return  # the policy profile says that it has them
        self._asking.discard(session.node)
        self._hold(session, ())
        self.sleep((_LEASE, session.node))
        self._report("delegation-over", node=session.node)
        if session.presence is SERVED:
            self._role._register(session, Handoff.UNKNOWN)

    def on_timer(self, key: tuple[str, bytes]) -> None:
        """A lease is over, or it may be asked again for what was refused."""
        kind, node = key
        session = self._role.sessions.get(node)
        if session is not None and kind == _LEASE:
            self.give_back(session)
        elif session is not None and session.link_layer not in self._routers:
            self._asking.discard(node)
            self._denied.discard(node)

    def _may_ask(self, session: BindingUpdateListEntry) -> bool:
        return self._settings.everybody or session.link_layer in self._routers

    def _asks(self, session: BindingUpdateListEntry) -> bool:
        """The policy profile says that it is a router, or it asked itself."""
        known = session.link_layer in self._routers or session.node in self._asking
        return known and session.node not in self._denied

    def delegated(self, session: BindingUpdateListEntry) -> tuple[Prefix, ...]:
        """What the node has for its networks."""
        return self._held.get(session.node, ())

    def attaching(self, session: BindingUpdateListEntry) -> None:
        """What was not to be had may be now."""
        self._denied.discard(session.node)
        self._unnamed.discard(session.node)

    def options(self, session: BindingUpdateListEntry) -> Iterable[MobilityOption]:
        """ "exactly one instance ... for each", or "exactly one instance ... with an ALL_ZERO value"."""
        if not self._asks(session):
            return ()
        wanted = self._held.get(session.node) or self._named(session) or (ANY,)
        return [DelegatedMobileNetworkPrefix.of(prefix) for prefix in wanted]

    def refused(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> bool:
        """The node is registered without what it may not have."""
        if not self._asks(session):
            return False
        named = self._held.get(session.node) or self._named(session)
        if answer.status == Status.REQUESTED_DMNP_IN_USE and named:
            self._unnamed.add(session.node)  # "MAY ... requesting the local mobility anchor to perform the assignment"
        elif answer.status in (Status.REQUESTED_DMNP_IN_USE, Status.NOT_AUTHORIZED_FOR_DELEGATED_MNP):
            self._denied.add(session.node)  # "prefix delegation support has to be disabled"
            self._awaited.discard(session.node)
            self.wake(_AGAIN, ("again", session.node))
        else:
            return False
        self._hold(session, ())
        self._report("delegation-refused", node=session.node, status=answer.status)
        self._role._register(session, Handoff.UNKNOWN)
        return True

    def _named(self, session: BindingUpdateListEntry) -> tuple[Prefix, ...]:
        return () if session.node in self._unnamed else self._routers.get(session.link_layer, ())

    def accepted(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> None:
        """ "The DMNP list in the mobile router's Binding Update List entry has to be updated"."""
        self._awaited.discard(session.node)
        if not self._asks(session):
            return
        offered = [option.prefix for option in answer.all(DelegatedMobileNetworkPrefix)]
        taken = tuple(prefix for prefix in dict.fromkeys(offered) if prefix and self._is_sound(session, prefix))
        if taken != self._held.get(session.node, ()):
            self._hold(session, taken)
            self._report("delegated", node=session.node, prefixes=len(taken))

    def _is_sound(self, session: BindingUpdateListEntry, prefix: Prefix) -> bool:
        """An LMA gives no networks of others, and nothing that is no network."""
        others = self._owner.get(prefix, session.node) != session.node or prefix in self._role._foreign
        sound = prefix.length in _LENGTHS and prefix.address[0] not in (0, 0xFE, 0xFF) and not others
        if not sound:
            self._report("delegation-unsound", node=session.node, prefix=prefix)
        return sound

    def context(self, session: BindingUpdateListEntry) -> Iterable[MobilityOption]:
        """ "If the MAG already knows the DMNPs, it conveys them" (5.1.3.1): so that the next one does."""
        return [DelegatedMobileNetworkPrefix.of(prefix) for prefix in self.delegated(session)]

    def expected(self, session: BindingUpdateListEntry, context: Sequence[MobilityOption]) -> None:
        """It is a router, and has these, until the LMA says otherwise."""
        told = [option.prefix for option in context if isinstance(option, DelegatedMobileNetworkPrefix)]
        networks = tuple(prefix for prefix in dict.fromkeys(told) if prefix and self._is_sound(session, prefix))
        if networks and self._may_ask(session):
            self._asking.add(session.node)
            self._hold(session, networks)
            if session.presence is SERVED:  # it was registered without them
                self._role._register(session, Handoff.UNKNOWN)

    # --- forwarding (5.1.4) -----------------------------------------------------------------------------------------

    def _hold(self, session: BindingUpdateListEntry, prefixes: tuple[Prefix, ...]) -> None:
        for prefix in self._held.pop(session.node, ()):
            if prefix not in prefixes:
                self._owner.pop(prefix, None)
                self._do(WithdrawUplink(prefix))
                self._do(WithdrawPrefix(prefix))
        for prefix in prefixes[: self._settings.most]:
            self._owner[prefix] = session.node
        if prefixes:
            self._held[session.node] = prefixes[: self._settings.most]
            self.served(session)

    def served(self, session: BindingUpdateListEntry) -> None:
        """To the node itself, which is the router of its networks; from there to the LMA."""
        for prefix in self._held.get(session.node, ()):
            self._do(EnsurePrefix(prefix, session.slot))
            self._do(EnsureUplink(prefix, self._role._tunnel_end(session)))

    def node_of(self, prefix: Prefix) -> bytes | None:
        """The router of that network."""
        return self._owner.get(prefix)

    def removed(self, session: BindingUpdateListEntry) -> None:
        """ "the created forwarding state has to be removed"."""
        self._hold(session, ())
        for sessions in (self._asking, self._unnamed, self._denied, self._awaited):
            sessions.discard(session.node)
        for kind in (_LEASE, "again"):
            self.sleep((kind, session.node))

    def row(self, session: BindingUpdateListEntry) -> Row:
        """The DMNP list."""
        return {"delegated": [str(prefix) for prefix in self.delegated(session)]}
