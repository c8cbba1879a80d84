"""Fast handovers with real packets: stock hosts, daemons, kernels; 2,000 packets a second and 60 ms without a cell.

What is lost, overtaken or repeated is told by sequence numbers; an ordinary handover there is the control.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from importlib import resources
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from sojourn.lab.handover import (
    GAP,
    ORDINARY,
    PREDICTIVE,
    RATE,
    REACTIVE,
    UNNOTICED,
    Change,
    Stream,
    make_report,
    own_address,
    passenger,
    run_domain,
)
from sojourn.lab.kernel_state import host_addresses
from sojourn.lab.lab import Lab
from sojourn.lab.topology import Topology, load, parse
from sojourn.lab.traffic import Traffic
from sojourn.wire.addresses import link_layer_text
from sojourn.wire.units import SECOND
from support.capture import complaints, dissect

pytestmark = [pytest.mark.lab, pytest.mark.nf_tables, pytest.mark.timeout(180)]

ROUTER = "fe80::200:5eff:fe00:5213"
NAMES = {"mag": ("MAG", "pmipv6"), "maar": ("MAAR", "walk")}
NOT_TEXT = "Expert Info (Warning/Undecoded): Trailing stray characters"
"""tshark shows identifiers as text; a node that has no name is known by its link-layer address."""
NOT_KNOWN = "Expert Info (Note/Undecoded): IE data not dissected yet"
"""tshark knows the number of the Previous MAAR option (RFC 8885 4.5), and not what is in it."""


def optimistic(name: str) -> Topology:
    """The host does not wait for duplicate address detection."""
    topology = load(name)
    nodes = {**topology.nodes, "mn": topology.nodes["mn"].model_copy(update={"dad": "optimistic"})}
    return topology.model_copy(update={"nodes": nodes})


def becomes(question: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 15
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer


@pytest.fixture(scope="module", params=["mag", "maar"])
def fast(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Change], Path]:
    name, topology = NAMES[request.param]
    output = tmp_path_factory.mktemp(request.param)
    kinds = (PREDICTIVE, REACTIVE, UNNOTICED)
    return run_domain(name, optimistic(topology), request.param, kinds, output), output


def of(changes: list[Change], kind: str) -> list[Change]:
    return [change for change in changes if change.kind == kind]


def test_a_predictive_handover_loses_overtakes_and_repeats_nothing(fast: tuple[list[Change], Path]) -> None:
    for change in of(fast[0], PREDICTIVE):
        assert change.sent > RATE
        assert (change.lost, change.overtaken, change.repeated) == (0, 0, 0), change


def test_a_reactive_handover_loses_at_most_what_came_during_the_gap_and_keeps_the_order(
    fast: tuple[list[Change], Path],
) -> None:
    for change in of(fast[0], REACTIVE):
        assert change.lost <= change.bound
        assert (change.overtaken, change.repeated) == (0, 0), change


def test_one_that_the_old_router_did_not_notice_keeps_the_order_too(fast: tuple[list[Change], Path]) -> None:
    for change in of(fast[0], UNNOTICED):
        assert change.lost > 0, "there was a gap"
        assert (change.overtaken, change.repeated) == (0, 0), change


def moved_flow(lab: Lab) -> Stream:
    """The flow of the host's first link is moved to its second one (RFC 7864), which roams."""
    stream = own_address(lab)
    network = str(IPv6Network((stream.address, 64), strict=False))
    host, radio = lab.nodes["mn"].namespace, "mn/2"
    lab.air.roam(radio, "mag1")
    assert becomes(lambda: len({IPv6Network((one.address, 64), strict=False) for one in host_addresses(host)}) == 2)
    with lab.client("lma") as client, host.entered():
        for words in (f"rule add from {network} table 101", f"route add default via {ROUTER} dev wlan1 table 101"):
            subprocess.run(("ip", "-6", *words.split()), check=True)
        other = link_layer_text(lab.air.link_layer(radio))
        client.command("move-flow", {"prefix": network, "link_layer": other})
        assert becomes(lambda: network in [flow for row in client.show("bindings") for flow in row["flows"]])
    return Stream(stream.address, radio)


def three_gateways() -> Topology:
    """The first link of the host stays at the third."""
    words = (resources.files("sojourn.lab") / "scenarios" / "flowmobility.toml").read_text()
    words = words.replace('mag2 = "mag"', 'mag2 = "mag"\nmag3 = "mag"').replace('at = "mag1"', 'at = "mag3"')
    return parse(words.replace('core.mag2 = "15ms"', 'core.mag2 = "5ms"\ncore.mag3 = "5ms"'))


@pytest.mark.parametrize("what", ["delegated prefix", "moved flow"])
def test_packets_to_what_extensions_lead_to_the_node_are_not_lost_either(what: str, tmp_path: Path) -> None:
    """RFC 7148 and RFC 7864 beside RFC 5949: the new gateway has ways for them before its registration."""
    topology, arrive = {
        "delegated prefix": (load("delegation"), passenger),
        "moved flow": (three_gateways(), moved_flow),
    }[what]
    for change in run_domain(what, topology, "mag", (PREDICTIVE, REACTIVE), tmp_path, arrive):
        assert change.sent > RATE
        assert change.lost <= change.bound, change
        assert (change.overtaken, change.repeated) == (0, 0), change


def test_tshark_reads_every_handover_message(fast: tuple[list[Change], Path]) -> None:
    changes, output = fast
    routers = sorted({change.source for change in changes})
    packets = [packet for name in routers for packet in dissect(output / "capture" / f"{name}.pcapng")]
    types: dict[str, int] = {}
    for packet in packets:
        for field in packet.iter("field"):
            if field.get("name") == "mip6.mhtype":
                types[field.get("show", "")] = types.get(field.get("show", ""), 0) + 1
    assert types.get("14", 0) >= 6
    assert types.get("15", 0) >= 6
    handovers = [
        packet
        for packet in packets
        if any(f.get("name") == "mip6.mhtype" and f.get("show") in ("14", "15") for f in packet.iter("field"))
    ]
    told = {complaint for packet in handovers for complaint in complaints(packet)}
    assert {words for words in told if "(Comment" not in words} <= {NOT_TEXT, NOT_KNOWN}


def test_an_ordinary_handover_in_the_same_network_loses_packets(tmp_path: Path) -> None:
    """The control: the tests above can fail."""
    changes = run_domain("MAG", optimistic("pmipv6"), "mag", (ORDINARY,), tmp_path)
    assert all(change.lost > RATE * GAP // SECOND for change in changes)
    report = make_report(changes)
    report.write(tmp_path)
    assert report.failures == []


def test_a_gateway_that_dies_while_packets_wait_for_a_node_serves_it_after_a_restart(tmp_path: Path) -> None:
    """What waited is lost; nothing goes on waiting, and the previous gateway's tunnel leads to the node."""
    topology = optimistic("pmipv6").model_copy(update={"mag": {"handovers": 8}})
    with Lab(topology, tmp_path) as lab:
        host, server = lab.nodes["mn"].namespace, topology.address("server")
        assert becomes(lambda: bool(host_addresses(host)))
        source = host_addresses(host)[0].address
        with Traffic({"mn": host.descriptor, "server": lab.nodes["server"].namespace.descriptor}) as traffic:
            traffic.serve("server", server)
            traffic.stream("voice", "mn", source, server, up=50, down=50)
            assert becomes(lambda: traffic.count("voice")["arrived"] > 5)
            with lab.client("mag1") as client:
                node = link_layer_text(lab.air.link_layer("mn"))
                client.command("handover", {"node": node, "to": topology.address("mag2")})
                assert becomes(lambda: client.show("handovers")[0]["phase"] == "forwarding")
            lab.air.detach("mn")
            time.sleep(0.2)
            lab.stop_daemon("mag2", kill=True)
            lab.start_daemon("mag2")
            lab.air.roam("mn", "mag2")
            before = traffic.count("voice")["arrived"]
            assert becomes(lambda: traffic.count("voice")["arrived"] > before + 20)
            with lab.client("mag2") as client:
                assert becomes(lambda: client.show("handovers") == [])
