"""An LMA reaches a gateway over several paths, and spreads flows over them (RFC 8278).

Each path is a care-of address of the gateway with a binding identifier (BID) of its own. The registration that opens a
session has one; further ones name others in an Alternate Care-of Address option. A handover leaves the paths of the
gateway that was left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sojourn.core.engine import Row
from sojourn.engines.extension import LmaExtension
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.registration import Refused, refusal
from sojourn.engines.way_settings import MultipathOfLma
from sojourn.wire import BindingAcknowledgement, MobilityOption, Status
from sojourn.wire.addresses import Address, text
from sojourn.wire.extensions.rfc8278 import MagIdentifier, MagMultipathBinding
from sojourn.wire.units import Duration, Instant, ticks

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration

_RESERVED = frozenset({0, 255})
"""BIDs that are none (4.1)."""


@dataclass(slots=True)
class Path:
    """One binding of a session."""

    gateway: Address
    """Its care-of address."""
    label: int
    expires: Instant


class Multipath(LmaExtension):
    """RFC 8278 at the LMA."""

    name = "multipath"

    def __init__(self, role: LmaRegistration, settings: MultipathOfLma) -> None:
        super().__init__(role)
        self._settings = settings
        self._paths: dict[int, dict[int, Path]] = {}
        """By the number of the session and BID."""

    # --- requests -----------------------------------------------------------------------------------------------------

    def takes_over(self, request: HomeRequest, entry: BindingCacheEntry | None) -> bool:
        """A request about one path of a session that has others is none about the session."""
        option: MagMultipathBinding | None = request.firsts.get(MagMultipathBinding)
        if option is None:
            return False
        try:
            self._check(request, option, entry)
        except Refused as refused:
            self._refuse(request, refused)
            return True
        if entry is None or entry.waiting or request.source != entry.source or entry.slot not in self._paths:
            return False
        paths = self._paths[entry.slot]
        if request.lifetime == 0:
            return self._end_path(request, entry, option.identifier)
        if option.identifier in paths and paths[option.identifier].gateway == entry.gateway:
            return False  # the path that the session was opened with: `registered` follows
        self._role._take_note(entry, request)
        self._role._answer(entry, request, self._add_path(request, entry, option))
        return True

    def _check(self, request: HomeRequest, option: MagMultipathBinding, entry: BindingCacheEntry | None) -> None:
        """4.1, 4.4: "the MAG Identifier option MUST also be present"; B and O exclude each other."""
        if MagIdentifier not in request.firsts and request.lifetime:
            raise Refused(Status.CANNOT_SUPPORT_MULTIPATH_BINDING, "no MAG Identifier option")
        if option.identifier in _RESERVED or (option.bulk and option.overwrite):
            raise Refused(Status.CANNOT_SUPPORT_MULTIPATH_BINDING, "a binding identifier or flags that make no sense")
        paths = {} if entry is None else self._paths.get(entry.slot, {})
        if option.identifier not in paths and len(paths) >= self._settings.most and not option.overwrite:
            raise Refused(Status.CANNOT_SUPPORT_MULTIPATH_BINDING, "too many paths")

    def _refuse(self, request: HomeRequest, refused: Refused) -> None:
        """ "The LMA MUST echo the MAG Multipath Binding option (without the MAG-NAI option)"."""
        self._report("multipath-refused", gateway=request.source, node=request.node, reason=refused.reason)
        answer = refusal(request.update, refused, ticks(self.time), distributed=False)
        options = (*answer.options, request.firsts[MagMultipathBinding])
        echoed = BindingAcknowledgement(answer.status, answer.flags, answer.sequence, answer.lifetime, options)
        self.send(echoed, request.source)

    def _add_path(self, request: HomeRequest, entry: BindingCacheEntry, option: MagMultipathBinding) -> Duration:
        """B extends all bindings, O leaves no others. The session lives as long as the last of them."""
        paths = self._paths[entry.slot]
        if option.overwrite:
            paths.clear()
        profile = self._role._profile(entry.node)
        limit = profile.lifetime_max if profile is not None else 0
        lifetime = self._role._granted(min(request.lifetime, limit or request.lifetime))
        paths[option.identifier] = Path(request.gateway, option.label, self.now + lifetime)
        if option.bulk:
            for path in paths.values():
                path.expires = self.now + lifetime
        entry.expires = max(path.expires for path in paths.values())
        self._role._timers.start(("expiry", entry.slot), entry.expires)
        if all(path.gateway != entry.gateway for path in paths.values()):
            entry.gateway = request.gateway
        self._changed(entry)
        return lifetime

    def _end_path(self, request: HomeRequest, entry: BindingCacheEntry, identifier: int) -> bool:
        """One path less; the last one ends the session as RFC 5213 has it."""
        paths = self._paths[entry.slot]
        if identifier not in paths or len(paths) == 1:
            return False
        self._role._take_note(entry, request)
        self._remove_path(entry, identifier)
        self._role._answer(entry, request, 0)
        return True

    def _remove_path(self, entry: BindingCacheEntry, identifier: int) -> None:
        paths = self._paths[entry.slot]
        ended = paths.pop(identifier)
        if ended.gateway == entry.gateway:
            entry.gateway = next(iter(paths.values())).gateway
            self._role._keep(entry)
        self._changed(entry)

    def _changed(self, entry: BindingCacheEntry) -> None:
        paths = self._paths[entry.slot]
        self._wake(entry)
        self._role._forward(entry)
        self._report("paths", node=entry.node, paths=len(paths))

    def registered(self, entry: BindingCacheEntry, request: HomeRequest) -> None:
        """A session was opened, extended or handed over: what it has now begins with this path."""
        option: MagMultipathBinding | None = request.firsts.get(MagMultipathBinding)
        if option is None:
            self._paths.pop(entry.slot, None)
            return
        paths = self._paths.setdefault(entry.slot, {})
        known = paths.get(option.identifier)
        if option.overwrite or known is None or known.gateway != request.gateway:
            paths.clear()
        paths[option.identifier] = Path(request.gateway, option.label, entry.expires)
        if option.bulk:
            for path in paths.values():
                path.expires = entry.expires
        self._wake(entry)

    def _wake(self, entry: BindingCacheEntry) -> None:
        self.wake(max(0, min(path.expires for path in self._paths[entry.slot].values()) - self.now), entry.slot)

    def on_timer(self, key: Any) -> None:
        """A path was not extended in time. The session itself ends by its own timer."""
        entry = self._role.cache.get(key)
        if entry is None or key not in self._paths:
            return
        for identifier in [one for one, path in self._paths[key].items() if path.expires <= self.now]:
            if len(self._paths[key]) > 1:
                self._remove_path(entry, identifier)

    def deregistered(self, entry: BindingCacheEntry) -> None:
        """All of its paths are gone."""
        self._paths.pop(entry.slot, None)

    def removed(self, entry: BindingCacheEntry) -> None:
        """The same."""
        self._paths.pop(entry.slot, None)

    # --- what follows from it -----------------------------------------------------------------------------------------

    def paths(self, entry: BindingCacheEntry) -> tuple[Address, ...]:
        """3.2: flows are spread over them, none is split."""
        return tuple(dict.fromkeys(path.gateway for path in self._paths.get(entry.slot, {}).values()))

    def answer(self, entry: BindingCacheEntry, request: HomeRequest) -> tuple[MobilityOption, ...]:
        """ "MUST include the Multipath Binding option ... without the MAG-NAI option"."""
        option: MagMultipathBinding | None = request.firsts.get(MagMultipathBinding)
        return () if option is None else (option,)

    def row(self, entry: BindingCacheEntry) -> Row:
        """Care-of addresses by BID."""
        paths = self._paths.get(entry.slot, {})
        return {"paths": [f"{identifier} {text(path.gateway)}" for identifier, path in sorted(paths.items())]}
