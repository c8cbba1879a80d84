"""A mobile node asks correspondent nodes for tokens: return routability (RFC 6275 11.6).

Home tokens are used again after a move while they are fresh (5.2.7).
"""

from __future__ import annotations

from sojourn.core.effects import SendMessage
from sojourn.core.events import MessageReceived
from sojourn.engines.mip6_configuration import (
    MAX_BINDACK_TIMEOUT,
    MAX_RO_FAILURE,
    MAX_TOKEN_LIFETIME,
)
from sojourn.engines.mn_direct import DirectWay, Progress, Token
from sojourn.engines.mn_direct_ways import MnDirectWays
from sojourn.engines.mn_state import HomeEntry, Place
from sojourn.engines.return_routability import TOKEN
from sojourn.wire import (
    CareOfTest,
    CareOfTestInit,
    HomeTest,
    HomeTestInit,
)
from sojourn.wire.addresses import Address
from sojourn.wire.units import SECOND


class MnReturnRoutability(MnDirectWays):
    """The mobile node as the one that is tested."""

    def _test(self, way: DirectWay) -> None:
        """Tests for the current care-of address, as far as there are no fresh tokens."""
        entry = self.homes.get(way.peer.home)
        care_of = self._wanted(way.peer).get(way.identifier)
        if way.care_of is None and entry is not None and entry.place is Place.AWAY and care_of is None:
            self._begin_tests(way)
            return
        if entry is None or care_of is None or not self._is_acknowledged(entry, way.identifier, care_of):
            way.progress = Progress.WAITING
            return
        way.care_of, way.failures, way.stale = care_of, 0, 0
        self._begin_tests(way)

    @staticmethod
    def _is_acknowledged(entry: HomeEntry, identifier: int, care_of: Address) -> bool:
        """Whether the home agent has that care-of address."""
        if identifier:
            return entry.registered is not None and entry.acknowledged.get(identifier) == care_of
        return entry.registered == care_of

    def _begin_tests(self, way: DirectWay) -> None:
        peer = way.peer
        way.progress = Progress.TESTING
        way.timeout = self.configuration.retransmission.initial_bindack_timeout
        if peer.home_token is not None and peer.home_token.until <= self._now:
            peer.home_token = None
        fresh = way.care_of_token is not None and way.care_of_token.until > self._now
        if not fresh or way.tested != way.care_of:
            way.care_of_token = None
        self._send_tests(way, first=True)

    def _send_tests(self, way: DirectWay, *, first: bool = False) -> None:
        """Both at the same time, with new cookies every time, and not too often (11.8). The `first` time a home test
        that another care-of address waits for will do."""
        peer = way.peer
        earlier = self._tests_sent.get(peer.correspondent, ())
        most = self.configuration.retransmission.max_update_rate
        if len(earlier) >= most and earlier[0] + SECOND > self._now:
            self._timers.start(("test-later", way.name), earlier[0] + SECOND)
            return
        self._tests_sent[peer.correspondent] = (*earlier[1 - most :], self._now)
        if peer.home_token is None and not (first and peer.home_cookie):
            peer.home_cookie = self._entropy.take(TOKEN)
            self._do(SendMessage(HomeTestInit(peer.home_cookie), peer.home, peer.correspondent))
        if way.care_of is not None and way.care_of_token is None:
            way.care_of_cookie = self._entropy.take(TOKEN)
            self._do(SendMessage(CareOfTestInit(way.care_of_cookie), way.care_of, peer.correspondent))
        self._timers.start(("test", way.name), self._now + way.timeout)
        self._proceed(way)

    def _on_test_silent(self, way: DirectWay) -> None:
        """11.8: repeated with doubling pauses; one that never answers is left alone for a while. Who may have a binding
        is not, before that ends: it sends to where this node was."""
        way.failures += 1
        if way.failures > MAX_RO_FAILURE and way.peer.bound_until <= self._now:
            self._refuse(way, "silent")
            return
        way.timeout = min(2 * way.timeout, MAX_BINDACK_TIMEOUT)
        self._send_tests(way)

    def _on_test(self, event: MessageReceived, message: HomeTest | CareOfTest) -> None:
        """11.6.2: from whom it was asked, to the address that was tested, with the cookie of the question, once."""
        cared = isinstance(message, CareOfTest)
        token = Token(message.nonce_index, message.keygen_token, self._now + MAX_TOKEN_LIFETIME)
        taken = False
        for peer in list(self.correspondents.values()):
            if peer.correspondent != event.source or event.routed_to:
                continue
            testing = [way for way in peer.ways.values() if way.progress is Progress.TESTING]
            if cared:
                testing = [
                    way
                    for way in testing
                    if way.care_of == event.destination and _same(way.care_of_cookie, message.cookie)
                ]
                for way in testing:
                    way.care_of_token, way.care_of_cookie, way.tested = token, b"", way.care_of
            elif testing and peer.home == event.destination and _same(peer.home_cookie, message.cookie):
                peer.home_token, peer.home_cookie = token, b""
            else:
                continue
            taken = taken or bool(testing)
            for way in testing:
                self._proceed(way)
        if not taken:
            self._report("test-discarded", source=event.source)

    def _proceed(self, way: DirectWay) -> None:
        """Tell the correspondent node, if all tests were passed; see `mn_direct_registration`."""
        raise NotImplementedError


def _same(cookie: bytes, received: bytes) -> bool:
    return bool(cookie) and cookie == received
