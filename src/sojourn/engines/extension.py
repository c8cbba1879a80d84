"""Extensions: procedures that a role has besides those of its own RFC, each switched on in the configuration.

An extension is an object beside the engine. It names the messages, commands and timers that are its own, and the engine
asks it at the places where the base procedure leaves room: what a registration may carry, what an answer says, what
ends with a session. A role without extensions asks nobody. `LmaExtension` and `MagExtension` say which questions there
are; `Extensions` is all that a role has, in the order in which they are asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from sojourn.core.effects import SendMessage, StoreBinding
from sojourn.core.engine import Row
from sojourn.core.events import NodeSeen
from sojourn.engines.base import OutboxEngine
from sojourn.wire import (
    BindingAcknowledgement,
    BindingError,
    BindingErrorStatus,
    MobilityMessage,
    MobilityOption,
    Status,
)
from sojourn.wire.addresses import UNSPECIFIED, Address, Prefix
from sojourn.wire.units import Duration, Instant, WallClock

if TYPE_CHECKING:
    from sojourn.engines.lma_entry import BindingCacheEntry
    from sojourn.engines.lma_registration import LmaRegistration, Pending
    from sojourn.engines.lma_request import HomeRequest
    from sojourn.engines.mag_registration import MagRegistration
    from sojourn.engines.mag_session import BindingUpdateListEntry
    from sojourn.wire import BindingUpdate

R = TypeVar("R", bound=OutboxEngine)
X = TypeVar("X", bound="Extension[Any]")

_KEPT = b"extension/"
"""Keys of the store that begin so are extensions'. No session's does: an LMA's are shorter, and no identifier of a
node has the subtype 0x65."""
_OF_RFC_6275 = 7
"""The last Mobility Header type that every role knows, if only to pass over it."""


class Extension(Generic[R]):
    """One procedure of one role. Whatever it keeps is bounded by what the role keeps: its peers and its sessions."""

    name: ClassVar[str]
    """Of its timers, and of what it stores."""
    messages: ClassVar[frozenset[type[MobilityMessage]]] = frozenset()
    """Those that it understands; of several extensions the first that `takes` it has it."""
    verbs: ClassVar[frozenset[str]] = frozenset()
    """Its commands (`Commanded`)."""

    def __init__(self, role: R, address: Address) -> None:
        self._role = role
        self._address = address
        self._do = role._do
        self._report = role._report
        self._kept: bytes | None = None

    @property
    def now(self) -> Instant:
        """Of what is being handled."""
        return self._role._now

    @property
    def time(self) -> WallClock:
        """Of day, at `now`."""
        return self._role._epoch + self._role._now

    def wake(self, delay: Duration, key: Any = None) -> None:
        """`on_timer` is called with `key` then, unless it is asked for again."""
        self._role._after(delay, self.name, key)

    def sleep(self, key: Any = None) -> None:
        """`on_timer` is not called with `key`."""
        self._role._timers.stop((self.name, key))

    def send(self, message: MobilityMessage, destination: Address) -> None:
        """From the address of the role."""
        self._do(SendMessage(message, self._address, destination))

    def _keep(self, record: bytes) -> None:
        """What `begin` of the next life is given."""
        self._kept = record
        self.keep_again()

    def keep_again(self) -> None:
        """What is kept, once more: the disk may have refused it."""
        if self._kept is not None:
            self._do(StoreBinding(_KEPT + self.name.encode(), self._kept))

    # --- what an extension may have to say ----------------------------------------------------------------------------

    def begin(self, record: bytes | None, lost: bool) -> None:
        """A life begins; `record` is what an earlier one kept. `lost`: sessions of it could not be taken up."""

    def takes(self, message: MobilityMessage, source: Address) -> bool:
        """Whether it is for this extension, as others may understand messages of the same type."""
        return True

    def on_message(self, message: MobilityMessage, source: Address) -> None:
        """One of `messages` came; the source may be anybody."""

    def on_unrecognized(self, peer: Address) -> None:
        """A peer does not know a message that we sent (Binding Error, status 2); it does not say which."""

    def on_timer(self, key: Any) -> None:
        """The time asked for by `wake` has come."""

    def on_command(self, verb: str, arguments: dict[str, str]) -> bool:
        """One of `verbs`. False: refused, because the arguments make no sense."""
        return False

    def peer_row(self, peer: Address) -> Row:
        """What people see of a peer besides."""
        return {}


class LmaExtension(Extension["LmaRegistration"]):
    """What a Local Mobility Anchor asks its extensions."""

    needs_all: ClassVar[bool] = False
    """`begin` has to do with all sessions of the earlier life; if not, they are taken up little by little after it."""

    def __init__(self, lma: LmaRegistration) -> None:
        super().__init__(lma, lma.configuration.address)

    def _beside(self, kind: type[X]) -> X | None:
        """Another extension of this LMA, if it is switched on."""
        return next((one for one in self._role.extensions if isinstance(one, kind)), None)

    def asked(self, request: HomeRequest) -> None:
        """A complete request came; the cache was not looked at yet. Raises `Refused`."""

    def takes_over(self, request: HomeRequest, entry: BindingCacheEntry | None) -> bool:
        """A request that passed all checks is about `entry`, or about a new session. True: the extension answers it.

        Raises `Refused`.
        """
        return False

    def on_update(self, update: BindingUpdate, source: Address) -> bool:
        """An update of a gateway of ours. True: it is none about one session, and the extension answers it."""
        return False

    def waiting(self, pending: Pending, entry: BindingCacheEntry) -> None:
        """A request waits for the end of `entry`, which it may be about (RFC 5213 5.4.1.2, 4.)."""

    def registered(self, entry: BindingCacheEntry, request: HomeRequest) -> None:
        """A session was opened, extended or handed over; the answer comes after this."""

    def downlink(self, entry: BindingCacheEntry) -> Address | None:
        """The far end of the tunnel to the node, if it is not that of its gateway."""
        return None

    def paths(self, entry: BindingCacheEntry) -> tuple[Address, ...]:
        """Far ends of several tunnels to the node, over which its flows are spread; one or none: there is no choice."""
        return ()

    def status(self, entry: BindingCacheEntry, request: HomeRequest) -> Status:
        """Of the answer to an accepted request: the greatest of all counts."""
        return Status.ACCEPTED

    def answer(self, entry: BindingCacheEntry, request: HomeRequest) -> Iterable[MobilityOption]:
        """Options of the answer to an accepted request."""
        return ()

    def answer_flags(self, entry: BindingCacheEntry, request: HomeRequest) -> int:
        """Flags of the answer to an accepted request."""
        return 0

    def forwarded(self, entry: BindingCacheEntry) -> None:
        """A tunnel leads to the node, and its home network prefixes into it."""

    def deregistered(self, entry: BindingCacheEntry) -> None:
        """Its gateway says that the node left; the session waits for it to turn up elsewhere."""

    def removed(self, entry: BindingCacheEntry) -> None:
        """Nothing is left of a session."""

    def row(self, entry: BindingCacheEntry) -> Row:
        """What people see of a session besides."""
        return {}


class MagExtension(Extension["MagRegistration"]):
    """What a Mobile Access Gateway asks its extensions."""

    def __init__(self, mag: MagRegistration) -> None:
        super().__init__(mag, mag.configuration.address)

    def refused(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> bool:
        """The request was refused. True: the extension sees to it, and asks for something else."""
        return False

    def uplink(self, session: BindingUpdateListEntry) -> Address | None:
        """The far end of the tunnel from the node, if it is not its LMA."""
        return None

    def attaching(self, session: BindingUpdateListEntry) -> None:
        """The node came, and is about to be registered."""

    def seen(self, session: BindingUpdateListEntry, event: NodeSeen) -> None:
        """The node showed itself on our link."""

    def departed(self, session: BindingUpdateListEntry) -> None:
        """The node left our link; if there is a fast handover, its LMA is not told."""

    def deregistered(self, session: BindingUpdateListEntry) -> None:
        """The node left, and its LMA is told so."""

    def node_of(self, prefix: Prefix) -> bytes | None:
        """The session that has this prefix from the extension."""
        return None

    def context(self, session: BindingUpdateListEntry) -> Iterable[MobilityOption]:
        """What the gateway that the node goes to is told (RFC 5949), besides its home network."""
        return ()

    def expected(self, session: BindingUpdateListEntry, context: Sequence[MobilityOption]) -> None:
        """The gateway that the node comes from told us this; the LMA will confirm it, or not."""

    def served(self, session: BindingUpdateListEntry) -> None:
        """Packets of the node take its access link: it came, or the kernel may have forgotten."""

    def lost(self, session: BindingUpdateListEntry, prefix: Prefix) -> None:
        """The node no longer has a home network prefix."""

    def options(self, session: BindingUpdateListEntry) -> Iterable[MobilityOption]:
        """Options of every request for this session."""
        return ()

    def refresh_requested(self) -> None:
        """Every session is about to be registered again: somebody lost its memory, or asks for it."""

    def flags(self, session: BindingUpdateListEntry) -> int:
        """Flags of every request for this session."""
        return 0

    def refreshes(self, session: BindingUpdateListEntry) -> bool:
        """It is here, and its binding is to be extended. True: the extension sees to that."""
        return False

    def on_acknowledgement(self, answer: BindingAcknowledgement, source: Address) -> bool:
        """An answer of one of our LMAs. True: it is to a request of the extension's own."""
        return False

    def acceptable(
        self, session: BindingUpdateListEntry, request: BindingUpdate, answer: BindingAcknowledgement
    ) -> bool:
        """An answer says that `request` is accepted. False: it is passed over, as if it had never come."""
        return True

    def accepting(
        self, session: BindingUpdateListEntry, request: BindingUpdate, answer: BindingAcknowledgement
    ) -> None:
        """The answer is about to be taken in."""

    def accepted(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> None:
        """The answer was taken in: prefixes and lifetime are those of the session."""

    def expired(self, session: BindingUpdateListEntry) -> None:
        """The LMA did not extend the binding in time; the node is here, without its prefixes."""

    def removed(self, session: BindingUpdateListEntry) -> None:
        """Nothing is left of a session."""

    def row(self, session: BindingUpdateListEntry) -> Row:
        """What people see of a session besides."""
        return {}


class Extensions(tuple[X, ...]):
    """Those of one role; where there are none, asking them costs nothing."""

    def __init__(self, members: Iterable[X] = ()) -> None:
        self._by_verb = {verb: one for one in self for verb in one.verbs}
        self._by_name = {one.name: one for one in self}

    def begin(self, kept: dict[str, bytes], lost: bool) -> None:
        """See `Extension.begin`; `kept` is by name, see `apart`."""
        for one in self:
            one.begin(kept.get(one.name), lost)

    def on_message(self, message: MobilityMessage, source: Address) -> bool:
        """Whether an extension understands it."""
        for one in self:
            if type(message) in one.messages and one.takes(message, source):
                one.on_message(message, source)
                return True
        return False

    def on_binding_error(self, error: BindingError, source: Address) -> None:
        """See `Extension.on_unrecognized`."""
        if error.status == BindingErrorStatus.UNKNOWN_MESSAGE_TYPE:
            for one in self:
                one.on_unrecognized(source)

    def on_timer(self, name: str, key: Any) -> bool:
        """Whether it is the timer of an extension."""
        one = self._by_name.get(name)
        if one is None:
            return False
        one.on_timer(key)
        return True

    def store_again(self, key: bytes) -> bool:
        """Whether `key` is that of an extension's record, which is kept once more."""
        if not key.startswith(_KEPT):
            return False
        for one in self:
            if _KEPT + one.name.encode() == key:
                one.keep_again()
        return True

    def on_command(self, verb: str, arguments: dict[str, str]) -> bool:
        """Whether an extension carried it out."""
        one = self._by_verb.get(verb)
        return one is not None and one.on_command(verb, arguments)


def apart(records: Iterable[tuple[bytes, bytes]]) -> tuple[list[tuple[bytes, bytes]], dict[str, bytes]]:
    """What a store held: sessions, and what extensions kept, by their names."""
    sessions, kept = [], {}
    for key, record in records:
        if key.startswith(_KEPT):
            kept[key[len(_KEPT) :].decode(errors="replace")] = record
        else:
            sessions.append((key, record))
    return sessions, kept


def unrecognized(message: MobilityMessage, own: Address, source: Address) -> SendMessage | None:
    """The answer to a message that this role does not know (RFC 6275 9.2); None to one that every role knows."""
    if message.number <= _OF_RFC_6275:
        return None
    return SendMessage(BindingError(int(BindingErrorStatus.UNKNOWN_MESSAGE_TYPE), UNSPECIFIED), own, source)


def merged(rows: Iterable[Row]) -> dict[str, object]:
    """All columns together."""
    return dict(chain.from_iterable(row.items() for row in rows))
