"""Bad input to an LMA and its MAGs: each answered with the status of the RFC, counted, logged, and nothing disturbed.

One test for each kind that an operator will meet; hostile octets in bulk are in `test_hostile_pmip`, and what a NAT
does in the tests of RFC 5844 4.
"""

from __future__ import annotations

import io

import pytest

from sojourn.core.events import Sighting
from sojourn.engines.configuration import GatewayProfile
from sojourn.engines.extension_settings import RevocationSettings
from sojourn.telemetry.log import Log
from sojourn.wire import (
    BindingAcknowledgement,
    BindingRevocationAcknowledgement,
    RevocationStatus,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import address, prefix
from sojourn.wire.extensions.rfc5844 import Ipv4HomeAddressReply
from sojourn.wire.units import HOUR, SECOND
from support.messages import stamp
from support.pmip import ProxyDomain, gateway, home, request, status_of
from support.pmip_extensions import command, messages
from support.table import HOSTS, node


def served(**settings: object) -> ProxyDomain:
    """mn1 is at mag1; what it has must not change, whatever anybody sends."""
    domain = ProxyDomain(**settings)  # type: ignore[arg-type]
    domain.on_probe = lambda name, probe: domain.attach("mn1", name, Sighting.NEIGHBOUR) if name == "mag1" else None
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    return domain


def logged(domain: ProxyDomain, name: str, report: str) -> list[str]:
    """The lines that the daemon writes at its usual level, without time, daemon and the hashes of nodes."""
    stream = io.StringIO()
    log = Log(name, stream=stream)
    for _, one in domain.members[name].reports:
        log.take(one)
    lines = [line.split(" ", 2)[2] for line in stream.getvalue().splitlines()]
    return [line for line in lines if line.split()[1] == report]


def undisturbed(domain: ProxyDomain) -> None:
    """mn1 has its prefix, at mag1, before and after its next registration."""
    for _ in range(2):
        assert domain.entry().source == gateway(1)
        assert domain.entry().prefixes[:1] == (home(0),)
        assert domain.mag("mag1").sessions[node("mn1")].confirmed
        assert home(0) in domain.plane("mag1").state.prefixes
        domain.run(200 * SECOND)
    assert domain.plane("lma").way(home(0)) is not None


def refused(domain: ProxyDomain, status: Status, times: int = 1) -> None:
    """Counted and logged with status and reason, at the LMA."""
    assert domain.reported("lma", "update-refused") == times
    lines = logged(domain, "lma", "update-refused")
    assert len(lines) == times
    for line in lines:
        assert line.startswith("warning update-refused ")
        assert f" status={int(status)} " in line
        assert " reason=" in line


def test_a_peer_that_is_not_configured() -> None:
    """RFC 5213 5.3.1, 5.: status 154, as often as strangers are answered; a forged source is one too."""
    domain = served(gateways=2)
    stranger = address("2001:db8:bad::1")
    domain.inject(stranger, "lma", request(domain, host="mn2"))
    (answer,) = [effect.message for _, name, effect in domain.effects if _is_to(effect, name, stranger)]
    assert status_of(answer) == Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG
    refused(domain, Status.MAG_NOT_AUTHORIZED_FOR_PROXY_REG)
    undisturbed(domain)


def _is_to(effect: object, name: str, peer: bytes) -> bool:
    return name == "lma" and getattr(effect, "destination", None) == peer


def test_a_registration_with_the_prefix_of_another_node() -> None:
    """RFC 5213 5.3.2: status 155."""
    domain = served()
    answer = domain.ask(request(domain, home(0), host="mn2"), "mag2")
    assert status_of(answer) == Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
    refused(domain, Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX)
    undisturbed(domain)


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_a_timestamp_from_the_past_or_the_future(ahead: int) -> None:
    """RFC 5213 5.5, 9.: status 156 and the LMA's own time."""
    domain = served()
    answer = domain.ask(request(domain, host="mn2", ahead=ahead), "mag2")
    assert status_of(answer) == Status.TIMESTAMP_MISMATCH
    assert answer is not None
    assert answer.all(Timestamp) == (Timestamp(stamp(domain, 0)),)
    refused(domain, Status.TIMESTAMP_MISMATCH)
    undisturbed(domain)


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_a_gateway_whose_clock_is_off_goes_by_that_of_the_lma(ahead: int) -> None:
    """RFC 5213 6.9.1.2, 9.: registered with the second message, and with the first one from then on."""
    domain = served()
    domain.skew("mag2", ahead)
    domain.attach("mn2", "mag2")
    domain.run(SECOND)
    assert domain.mag("mag2").sessions[node("mn2")].confirmed
    refused(domain, Status.TIMESTAMP_MISMATCH)
    (line,) = logged(domain, "mag2", "registration-refused")
    assert line.startswith("warning registration-refused ")
    assert line.endswith(" status=156")
    domain.attach("mn3", "mag2")
    domain.run(SECOND)
    refused(domain, Status.TIMESTAMP_MISMATCH)
    undisturbed(domain)


def test_an_earlier_registration_of_a_node_that_went_on() -> None:
    """RFC 5213 5.5, 8.: status 157."""
    domain = served()
    answer = domain.ask(request(domain, ahead=-2 * SECOND), "mag2")
    assert status_of(answer) == Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED
    refused(domain, Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED)
    undisturbed(domain)


def test_a_gateway_that_claims_every_node() -> None:
    """As many as one gateway may have; the rest is refused with 130, and other gateways get theirs."""
    domain = served(lma={"nodes_per_gateway": 3})
    statuses = [status_of(domain.ask(request(domain, host=f"mn{number}"), "mag2")) for number in range(10, 20)]
    assert statuses == [0] * 3 + [int(Status.INSUFFICIENT_RESOURCES)] * 7
    refused(domain, Status.INSUFFICIENT_RESOURCES, times=7)
    assert status_of(domain.ask(request(domain, host="mn30"), "mag1")) == 0
    undisturbed(domain)


def test_a_revocation_of_everything_by_a_gateway_without_the_right() -> None:
    """RFC 5846 9.1: rejected with 130, and the gateway does not ask again."""
    domain = served(lma={"revocation": RevocationSettings()}, revocation=RevocationSettings(identity=b"\x01mag"))
    domain.attach("mn2", "mag2")
    domain.run(SECOND)
    for _ in range(2):
        command(domain, "mag2", "revoke")
        domain.run(SECOND)
    answers = messages(domain, BindingRevocationAcknowledgement)
    assert [message.status for message in answers] == [RevocationStatus.GLOBAL_REVOCATION_NOT_AUTHORIZED]
    assert domain.reported("lma", "revocation-refused") == 1
    (line,) = logged(domain, "lma", "revocation-refused")
    assert line.startswith("warning revocation-refused ")
    assert line.endswith(f" status={int(RevocationStatus.GLOBAL_REVOCATION_NOT_AUTHORIZED)}")
    assert len(domain.lma.cache) == 2
    undisturbed(domain)


def test_a_pool_of_ipv4_addresses_that_is_exhausted() -> None:
    """RFC 5844 3.1.2.2: refused with 130 and the option's 128; the node is registered without one, and DHCP says no."""
    domain = served(lma={"ipv4_pool": prefix("::ffff:10.9.0.0/126")}, ipv4=True)
    domain.attach("mn2", "mag2")
    domain.run(SECOND)
    assert domain.mag("mag2").sessions[node("mn2")].confirmed
    assert domain.mag("mag2").sessions[node("mn2")].home is None
    (answer,) = [m for m in messages(domain, BindingAcknowledgement) if m.status]
    assert [one.status for one in answer.all(Ipv4HomeAddressReply)] == [128]
    refused(domain, Status.INSUFFICIENT_RESOURCES)
    undisturbed(domain)


def test_two_hosts_with_one_identifier() -> None:
    """RFC 5213 5.4.1: two interfaces of one node as far as anybody can tell; each has a session and a prefix."""
    same = tuple(GatewayProfile(HOSTS[host], b"\x01ann@example.net") for host in ("mn2", "mn3"))
    domain = served(profiles=same)
    domain.attach("mn2", "mag2")
    domain.run(3 * SECOND)
    domain.attach("mn3", "mag2")
    domain.run(15 * SECOND)
    entries = domain.lma.cache.of(b"\x01ann@example.net")
    assert len(entries) == 2
    assert len({prefix for entry in entries for prefix in entry.prefixes}) == 2
    assert domain.reported("lma", "registered") == 3
    lines = logged(domain, "lma", "registered")
    assert lines[1] == lines[2], "one node as far as the log tells"
    assert lines[1].startswith("info registered node=")
    undisturbed(domain)


def test_an_identifier_of_255_octets() -> None:
    """RFC 4282 2.2: no other protocol could carry it; status 153. With one of 253 octets a node is served."""
    domain = served()
    fits = domain.ask(request(domain, host="mn2", identity=b"\x01" + b"x" * 253), "mag2")
    assert status_of(fits) == 0
    update = request(domain, host="mn3", identity=b"\x01" + b"x" * 254)  # with its subtype 255, all that an option has
    assert status_of(domain.ask(update, "mag2")) == Status.NOT_LMA_FOR_THIS_MOBILE_NODE
    refused(domain, Status.NOT_LMA_FOR_THIS_MOBILE_NODE)
    undisturbed(domain)
