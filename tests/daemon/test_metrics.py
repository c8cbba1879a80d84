"""The page that Prometheus reads, whoever reads; MIB objects as the RFCs have them; files that name metrics."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sojourn.daemon.endpoint import READERS, Endpoint
from sojourn.daemon.health import LATE, Health, watchdog_interval
from sojourn.daemon.observed import Observed
from sojourn.dataplane.tunnel_traffic import Traffic
from sojourn.host.signalling import Flow
from sojourn.telemetry import mibs
from sojourn.telemetry.exposition import Exposition, message_name
from sojourn.telemetry.figures import Figures, RoleFigures, SeatFigures
from sojourn.telemetry.meter import Meter
from sojourn.wire.addresses import address
from sojourn.wire.units import SECOND
from support.domain import Domain, router

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "packaging" / "grafana" / "sojourn.json"
RULES = ROOT / "packaging" / "prometheus" / "sojourn.rules.yml"
RULE_TESTS = ROOT / "packaging" / "prometheus" / "sojourn.rules.test.yml"
PEER = address("2001:db8::2")
ANCHOR = address("2001:db8:f::1")
RFCS = next(
    (found for found in (ROOT.parent / "shared" / "rfc", ROOT.parents[1] / "shared" / "rfc") if found.exists()), ROOT
)


def figures(**changes: Any) -> Figures:
    meter = Meter()
    flows = {
        Flow(True, 5, True, False, True, -1, PEER): (3, 360),
        Flow(False, 6, True, True, False, 156, PEER): (2, 240),
        Flow(False, 1, False, False, False, -1, PEER): (1, 56),
    }
    counters = {"driver:effects-failed": 4, "driver:reports:registered": 9}
    roles = [
        RoleFigures(
            role, counters, flows, meter.reactivity, meter.delays, meter.durations, 3, 30.0, {1: 1, 12: 2}, 3,
            {(True, 144): 2}, 1, "seg6", {PEER: Traffic((10, 1000), (20, 3000))},
            pools_held={PEER: True} if role == "maar" else {},
        )
        for role in ("maar", "lma", "mn", "ha", "cn")
    ]  # fmt: skip
    seat = SeatFigures(ANCHOR, True, 7, 2, 1, False)
    return Figures("0", 1.0, tuple(roles), names={PEER: "ar2"}, seat=seat, **changes)


def samples(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


@cache
def page() -> str:
    return Exposition(figures).render("")[0].decode()


@cache
def now() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return samples(page())


def value(name: str, /, **labels: str) -> float:
    return now()[name, frozenset(labels.items())]


def test_every_quantity_of_req6g_is_there_with_its_labels() -> None:
    maar = {"role": "maar"}
    sent = {**maar, "direction": "sent", "type": "proxy-binding-update", "peer": "ar2"}
    assert value("sojourn_signalling_messages_total", **sent) == 3
    assert value("sojourn_signalling_octets_total", **sent) == 360
    assert value("sojourn_acknowledgements_total", **maar, direction="received", status="156") == 2
    assert value("sojourn_protocol_reactivity_seconds_count", **maar, kind="handover") == 0
    assert value("sojourn_handover_delay_seconds_sum", **maar, kind="first") == 0
    assert value("sojourn_sessions", **maar) == 3
    assert value("sojourn_session_age_mean_seconds", **maar) == 10
    assert value("sojourn_session_duration_seconds_count", **maar) == 0
    assert value("sojourn_users", **maar, sessions="8+") == 2
    assert value("sojourn_tunnels", **maar, encapsulation="seg6", security="none") == 1
    through = {**maar, "direction": "received", "peer": "ar2"}
    assert value("sojourn_tunnel_packets_total", **through) == 20
    assert value("sojourn_tunnel_octets_total", **through) == 3000
    assert value("sojourn_tunnel_overhead_octets_total", **through) == 800
    assert value("sojourn_events_total", **maar, part="driver", name="effects-failed") == 4


def test_who_is_the_anchor_and_who_holds_a_pool_is_told() -> None:
    here = {"anchor": "2001:db8:f::1"}
    assert value("sojourn_anchor_active", **here) == 1
    assert value("sojourn_anchor_epoch", **here) == 7
    assert value("sojourn_anchor_partner_alive", **here) == 0
    assert value("sojourn_anchor_takeovers_total", **here) == 2
    assert value("sojourn_anchor_retirements_total", **here) == 1
    assert value("sojourn_pool_held", role="maar", anchor="ar2") == 1


def test_a_router_holds_the_pool_of_one_that_died_until_it_is_back() -> None:
    each = Domain(maars=3, partners={"ar1": "ar3"})
    told = [Observed(each.maar(name), lambda _: None) for name in ("ar1", "ar2", "ar3")]

    def held() -> list[dict[bytes, bool]]:
        return [one.pools_held() for one in told]

    each.run(2 * SECOND)
    assert held() == [{}, {}, {router(1): False}]
    each.crash("ar1")
    each.run(3 * SECOND)
    assert held() == [{}, {}, {router(1): True}]
    each.restart("ar1", store=True)
    each.run(20 * SECOND)
    assert held() == [{}, {}, {router(1): False}]


def test_where_no_other_machine_can_be_the_anchor_nothing_is_told_of_it() -> None:
    page = Exposition(lambda: Figures("0", 1.0, (RoleFigures("lma"),))).render("")[0].decode()
    assert not [name for name, _ in samples(page) if name.startswith(("sojourn_anchor", "sojourn_pool"))]


def test_messages_are_called_as_in_the_rfcs() -> None:
    names = [message_name(number, False) for number in (0, 1, 5, 6, 7, 255)]
    assert names[:5] == [
        "binding-refresh-request",
        "home-test-init",
        "binding-update",
        "binding-acknowledgement",
        "binding-error",
    ]
    assert names[5] == "type-255"


# --- MIBs -------------------------------------------------------------------------------------------------------------


def test_mib_counters_are_those_of_their_objects() -> None:
    assert value("mip6MnBUsToHA_total", role="mn") == 3
    assert value("mip6CnHomeTestInitsRecd_total", role="cn") == 1
    assert value("nemoMrDiscoveryRequests_total", role="mn") == 2
    assert value("pmip6InitialBindingRegistrations_total", role="lma") == 9
    help_of = {family.name: family.documentation for family in text_string_to_metric_families(page())}
    assert help_of["mip6HaBUsRecd"].startswith("mip6HaBUsRecd (RFC 4295): ")


def test_every_object_is_counted_or_says_why_not() -> None:
    names = [one.name for one in mibs.OBJECTS]
    assert len(names) == len(set(names)) == 115
    for one in mibs.OBJECTS:
        assert not isinstance(one.source, mibs.Missing) or len(one.source.reason) > 20
        assert set(one.roles) <= {"mn", "ha", "cn", "lma", "cmd"}


@pytest.mark.skipif(not (RFCS / "rfc4295.txt").exists(), reason="the texts of the RFCs are not on this machine")
@pytest.mark.parametrize("rfc", [4295, 5488, 6475])
def test_the_table_has_all_counters_of_the_rfc(rfc: int) -> None:
    text = re.sub(r"\n+[^\n]*\[Page \d+\]\n\f?\n*RFC \d+[^\n]*\n", "\n", (RFCS / f"rfc{rfc}.txt").read_text())
    found = re.findall(r"^ *(\w+) +OBJECT-TYPE(.*?)::=", text, re.DOTALL | re.MULTILINE)
    counters = {name for name, body in found if re.search(r"SYNTAX +Counter(32|64)", body)}
    assert counters == {one.name for one in mibs.OBJECTS if one.rfc == rfc}


def test_the_page_of_the_documentation_is_that_of_the_table() -> None:
    assert (ROOT / "docs" / "mibs.md").read_text() == mibs.markdown()


def test_counters_that_objects_are_made_of_are_reported_by_an_engine() -> None:
    told = "\n".join(path.read_text() for path in (ROOT / "src" / "sojourn" / "engines").glob("*.py"))
    for one in mibs.OBJECTS:
        for name in one.source.names if isinstance(one.source, mibs.Counted) else ():
            assert f'"{name.removeprefix("driver:reports:")}"' in told, one.name


# --- HTTP -------------------------------------------------------------------------------------------------------------


def get(port: int, path: str, host: str = "::1") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://[{host}]:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_readers_are_answered_and_those_who_do_not_read_keep_nobody_waiting() -> None:
    async def main() -> None:
        endpoint = Endpoint(("::1", 0), figures)
        endpoint.start()
        idle = [socket.create_connection(("::1", endpoint.port)) for _ in range(READERS - 4)]
        status, text = await asyncio.to_thread(get, endpoint.port, "/metrics")
        assert status == 200
        assert ("sojourn_sessions", frozenset({("role", "maar")})) in samples(text)
        assert any(name.startswith("process_") for name, _ in samples(text))
        assert await asyncio.to_thread(get, endpoint.port, "/health") == (200, '{"healthy": true, "problems": []}\n')
        assert (await asyncio.to_thread(get, endpoint.port, "/"))[0] == 404
        for one in idle:
            one.close()
        endpoint.close()

    asyncio.run(main())


def test_readers_that_send_an_octet_now_and_then_do_not_stay_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each octet was a sign of life: sixteen connections kept everybody else away for as long as they liked."""
    monkeypatch.setattr("sojourn.daemon.endpoint.LONGEST", 0.3)

    async def main() -> None:
        endpoint = Endpoint(("::1", 0), figures)
        endpoint.start()
        slow = [socket.create_connection(("::1", endpoint.port)) for _ in range(READERS)]
        answered = 0
        for _ in range(400):  # twenty seconds, on a machine that is not busy
            for one in slow:
                with suppress(OSError):
                    one.send(b"G")
            with suppress(OSError, http.client.HTTPException):
                answered, _ = await asyncio.to_thread(get, endpoint.port, "/health")
            if answered == 200:
                break
            await asyncio.sleep(0.05)
        for one in slow:
            one.close()
        endpoint.close()
        assert answered == 200

    asyncio.run(main())


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=abc", ";;=,q=,", "text/plain; version=1..0"])
def test_a_page_is_made_for_whoever_says_nonsense_of_what_it_accepts(accept: str) -> None:
    page, kind = Exposition(figures).render(accept)
    assert b"sojourn_sessions" in page
    assert kind


def test_a_daemon_that_is_not_healthy_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        endpoint = Endpoint(("::1", 0), lambda: figures(problems=("a timer is overdue",)))
        endpoint.start()
        status, text = await asyncio.to_thread(get, endpoint.port, "/health")
        assert (status, json.loads(text)["problems"]) == (503, ["a timer is overdue"])
        endpoint.close()

    asyncio.run(main())


def test_a_loop_that_hangs_is_found_by_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sojourn.daemon.endpoint.PATIENCE", 0.05)
    answers: list[tuple[int, str]] = []

    async def main() -> None:
        import threading

        endpoint = Endpoint(("::1", 0), figures)
        endpoint.start()
        reader = threading.Thread(target=lambda: answers.append(get(endpoint.port, "/health")))
        reader.start()
        reader.join()  # the loop does nothing else meanwhile
        endpoint.close()

    asyncio.run(main())
    assert answers[0][0] == 503


def test_an_address_in_use_is_refused() -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET6) as taken:
            taken.bind(("::1", 0))
            taken.listen()
            with pytest.raises(OSError, match="in use"):
                Endpoint(("::1", taken.getsockname()[1]), figures)

    asyncio.run(main())


# --- health -----------------------------------------------------------------------------------------------------------


class Driver:
    def __init__(self) -> None:
        self.overdue = 0
        self.awaits_store = False

    def late(self) -> int:
        return self.overdue


class Role:
    """As much of one as health asks for."""

    def __init__(self) -> None:
        self.name = "maar"
        self.host = self
        self.driver = Driver()


def notices(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(path))
    listener.settimeout(20)
    return listener


def test_the_watchdog_is_fed_only_while_engines_get_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setattr("sojourn.daemon.health.TICK", 0.01)
    role = Role()

    async def main() -> tuple[bytes, tuple[str, ...]]:
        health = Health([role], lambda: "running maar", feeding=0.01)  # type: ignore[list-item]
        role.driver.overdue = int((LATE + 1) * 1e9)
        health.start()
        await asyncio.sleep(0.3)
        problems = health.problems()
        hungry = b""
        listener.setblocking(False)
        while True:
            try:
                hungry += listener.recv(4096)
            except BlockingIOError:
                break
        role.driver.overdue, role.driver.awaits_store = 0, True
        assert (health.problems(), health.waits()) == ((), ("maar: the store",))
        deadline = asyncio.get_running_loop().time() + 20
        fed = b""
        while b"WATCHDOG=1" not in fed and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
            with suppress(BlockingIOError):
                fed += listener.recv(4096)
        health.stop()
        assert b"WATCHDOG=1" in fed
        return hungry, problems

    with notices(tmp_path / "notify") as listener:
        hungry, problems = asyncio.run(main())
    assert b"WATCHDOG" not in hungry
    assert b"STATUS=running maar" in hungry
    assert problems == ("maar: a timer is 6.0 s overdue",)


def test_a_watchdog_of_another_process_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert watchdog_interval() == 10
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_interval() is None
    monkeypatch.setenv("WATCHDOG_USEC", "many")
    assert watchdog_interval() is None


# --- files for operators ----------------------------------------------------------------------------------------------

_WORDS = re.compile(r"\b(?:sojourn|pmip6|mip6|nemo|process)[A-Za-z0-9_]*")


@cache
def metric_names() -> set[str]:
    names = {name for name, _ in now()}
    return names | {name.removesuffix("_bucket") for name in names} | {"process_resident_memory_bytes"}


def test_the_dashboard_is_one_of_grafana_and_names_only_what_there_is() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert board["schemaVersion"] >= 36
    assert (board["uid"], board["title"]) == ("sojourn", "sojourn")
    identifiers = [panel["id"] for panel in board["panels"]]
    assert len(identifiers) == len(set(identifiers))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["type"] in {"timeseries", "stat", "bargauge", "heatmap", "table"}
        assert panel["description"]
        assert panel["targets"]
        for target in panel["targets"]:
            used = set(_WORDS.findall(re.sub(r"\{[^}]*\}", "", target["expr"])))
            assert used, target["expr"]
            assert used <= metric_names(), target["expr"]
            assert "job=~" not in target["expr"] or "$job" in target["expr"]
    known = {variable["name"] for variable in board["templating"]["list"]}
    assert set(re.findall(r"\$(\w+)", json.dumps(board["panels"]))) - {"__rate_interval"} <= known


def test_alerts_name_only_what_there_is_and_each_is_explained() -> None:
    import yaml

    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    explained = (ROOT / "docs" / "operations.md").read_text()
    assert len(rules) >= 10
    for rule in rules:
        used = set(_WORDS.findall(re.sub(r"\{[^}]*\}", "", rule["expr"]))) - {"sojourn"}
        assert used <= metric_names(), rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert {"summary", "description"} <= rule["annotations"].keys()
        assert f"`{rule['alert']}`" in explained, rule["alert"]


def test_what_alerts_and_dashboard_ask_for_by_label_is_counted_by_somebody() -> None:
    """An alarm about a counter that nobody has would never be heard."""
    source = "\n".join(path.read_text() for path in (ROOT / "src" / "sojourn").rglob("*.py"))
    asked: set[str] = set()
    for text in (RULES.read_text(), DASHBOARD.read_text().replace('\\"', '"')):
        for several in re.findall(r'\bname=~?"([^"]+)"', text):
            plain = several.removesuffix(".*").replace("(dhcp-)?pool", "dhcp-pool-exhausted|reports:pool")
            asked |= set(plain.replace(".*", "").split("|"))
    assert len(asked) >= 9
    for one in asked:
        assert re.search(rf"""["'f]{re.escape(one.removeprefix("reports:"))}["']""", source), one


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not here")
def test_promtool_takes_the_alerts_and_they_fire_when_they_should() -> None:
    for words in (["check", "rules", RULES.name], ["test", "rules", RULE_TESTS.name]):
        done = subprocess.run(["promtool", *words], cwd=RULES.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not here")
def test_promtool_finds_nothing_wrong_with_the_page() -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=page(), capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if line and not line.startswith(("mip6", "nemo", "pmip6"))]
    assert complaints == []  # the RFCs' own names are in camel case
