"""Daemons that are killed, stopped for a successor, fail or are told another file, with real packets all along."""

from __future__ import annotations

import signal
import sys
import time

import pytest
from domain_of_daemons import HOST, Daemon, Domain, until, with_a_database
from pinging import ping_all_along

from sojourn.control.client import ControlClient, ControlError

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]


def _refusing(daemon: Daemon, which: int) -> list[str]:
    """A daemon of which the role that is started as number `which` is refused by the kernel."""
    program = (
        "import sys, sojourn.host.loop as loop\n"
        "start, started = loop.Host.start, []\n"
        "def refuse(self):\n"
        "    started.append(self)\n"
        f"    if len(started) == {which}: raise OSError(12, 'Cannot allocate memory')\n"
        "    return start(self)\n"
        "loop.Host.start = refuse\n"
        "from sojourn.cli.main import main\n"
        f"sys.exit(main(['run', {str(daemon.file)!r}]))\n"
    )
    return [sys.executable, "-c", program]


def test_kill_9_forwarding_goes_on_and_the_next_life_takes_over(world: Domain) -> None:
    """Not a packet is lost by the death, nor by the restart; nothing is removed; the session goes on moving."""
    world.start()
    first = world.host_away()
    kernels = [router.kernel() for router in world.routers]
    for name in world.daemons:
        assert world.daemons[name].stop(signal.SIGKILL) == -signal.SIGKILL
    assert world.answers(first, 5) == 5
    assert [router.kernel()["routes"] for router in world.routers] == [kernel["routes"] for kernel in kernels]

    with ping_all_along(world, first) as lost:
        world.start()
    assert lost() == 0
    for name in ("ar1", "ar2"):
        removed = [line for line in world.daemons[name].log.read_text().splitlines() if " removed " in line]
        assert removed == []
    assert [router.kernel()["nexthops"] for router in world.routers] == [kernel["nexthops"] for kernel in kernels]
    assert world.answers(first) == 3
    until("the database knows again", lambda: world.daemons["cmd"].show("bindings"))
    world.roam(1)
    until("home again", lambda: world.daemons["ar1"].show("sessions")[0]["presence"] == "served")
    assert world.answers(first) == 3


def test_keep_forwarding(world: Domain) -> None:
    """The file may ask for an orderly stop that leaves forwarding as it is."""
    for daemon in world.daemons.values():
        if daemon.machine is not world.cmd:
            daemon.edit("[maar]\n", "[maar]\nkeep_forwarding = true\n")
    world.start()
    world.roam(1)
    first = world.address("2001:db8:a100:")
    assert [daemon.stop(signal.SIGINT) for daemon in world.daemons.values()] == [0, 0, 0]
    assert world.answers(first) == 3


def test_a_bug_ends_the_process_and_not_the_forwarding(world: Domain) -> None:
    """The event that could not be handled is in the log, the exit code is 1, and the supervisor's restart heals."""
    world.start()
    world.roam(1)
    first = world.address("2001:db8:a100:")
    daemon = world.daemons["ar1"]
    assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    broken = (
        "import sys, sojourn.engines.maar as maar\n"
        "def fail(self, *asked): raise ZeroDivisionError('a bug')\n"
        "maar.MobilityAnchorAccessRouter._on_command = fail\n"
        "from sojourn.cli.main import main\n"
        f"sys.exit(main(['run', {str(daemon.file)!r}]))\n"
    )
    process = daemon.launch([sys.executable, "-c", broken])
    until("ready", daemon._ready)
    with ControlClient(daemon.socket) as client, pytest.raises(ControlError):
        client.command("refresh")
    assert process.wait(10) == 1
    log = daemon.log.read_text()
    assert "ZeroDivisionError: a bug" in log
    assert "Commanded(verb='refresh'" in log
    assert world.answers(first) == 3
    daemon.start()
    assert daemon.show("sessions")[0]["node"] == HOST


def test_a_reload_changes_what_can_change_under_traffic_and_refuses_the_rest_whole(world: Domain) -> None:
    """Not a packet is lost by it; a refusal names the key and changes nothing."""
    world.start()
    first = world.host_away()
    daemon = world.daemons["ar1"]
    assert daemon.process is not None
    recording = daemon.log.with_suffix(".jsonl")
    recording.rename(recording.with_suffix(".rotated"))
    daemon.process.send_signal(signal.SIGHUP)
    until("looked at", lambda: "configuration-unchanged" in daemon.log.read_text())
    assert recording.read_text().startswith('{"sojourn":'), "a recording that logrotate moved goes on at its path"
    with ping_all_along(world, first) as lost, ControlClient(daemon.socket) as client:
        peers = len(client.show("peers"))
        daemon.edit("[maar]\n", '[maar]\nidle_hold = "9s"\n')
        with daemon.file.open("a") as file:
            file.write('[[maar.peers]]\nname = "ar3"\naddress = "2001:db8:a3::1"\n')
        [row] = client.command("reload")
        assert (row["event"], row["changed"]) == ("reloaded", "maar.peers, maar.idle_hold")
        assert len(client.show("peers")) == peers + 1
        assert daemon.show("sessions")[0]["node"] == HOST
        daemon.edit("idle_hold", "idle_hood")
        with pytest.raises(ControlError, match=r"nothing was changed(.|\n)*did you mean idle_hold\?"):
            client.command("reload")
        daemon.edit("idle_hood", "idle_hold")
        daemon.edit('pool = "2001:db8:a100::/48"', 'pool = "2001:db8:a100::/48"\nbackend = "memory"')
        daemon.edit('"9s"', '"8s"')
        with pytest.raises(ControlError, match=r"nothing was changed: maar\.backend cannot change while"):
            client.command("reload")
        daemon.process.send_signal(signal.SIGHUP)
        until("said in the log too", lambda: "not-reloaded" in daemon.log.read_text())
        assert client.ping().pid == daemon.process.pid
        time.sleep(0.5)  # it is over in a moment; the pinger may not have had its turn
    assert lost() == 0
    world.roam(1)
    until("home again", lambda: daemon.show("sessions")[0]["presence"] == "served")
    assert world.answers(first) == 3


def test_a_stop_for_a_successor_leaves_forwarding(world: Domain) -> None:
    """SIGUSR1, as the unit sends before SIGTERM when systemd restarts; without a lost packet."""
    world.start()
    world.roam(1)
    first = world.address("2001:db8:a100:")
    router = world.routers[0].kernel()
    with ping_all_along(world, first) as lost:
        for name in ("ar1", "cmd"):
            daemon = world.daemons[name]
            assert daemon.process is not None
            daemon.process.send_signal(signal.SIGUSR1)
            assert daemon.stop(signal.SIGTERM) == 0
            daemon.start()
    assert lost() == 0
    assert [world.routers[0].kernel()[what] for what in ("routes", "nexthops")] == [
        router["routes"],
        router["nexthops"],
    ]
    with ControlClient(world.daemons["ar1"].socket) as client:
        assert client.command("leave")[0]["event"] == "leaving"
    assert world.daemons["ar1"].process is not None
    assert world.daemons["ar1"].process.wait(45) == 0
    assert world.answers(first) == 3


def test_a_second_role_that_does_not_start_leaves_the_kernel_as_it_was(world: Domain) -> None:
    """As before the very first start; or as an earlier life left it, which forwards all along."""
    router, both = world.routers[0], with_a_database(world)
    before = router.kernel()
    assert both.launch(_refusing(both, 2)).wait(45) == 1
    assert "cmd: start: Cannot allocate memory" in both.log.read_text()
    assert router.kernel() == before

    both.start()
    world.roam(1)
    first = world.address("2001:db8:a100:")
    assert both.stop(signal.SIGKILL) == -signal.SIGKILL
    left = router.kernel()
    with ping_all_along(world, first) as lost:
        assert both.launch(_refusing(both, 2)).wait(45) == 1
    assert lost() == 0
    assert [router.kernel()[what] for what in ("rules", "routes", "nexthops")] == [
        left[what] for what in ("rules", "routes", "nexthops")
    ]
    both.start()
    assert both.stop() == 0
    assert router.kernel() == before


def test_a_reload_whose_second_role_does_not_start_leaves_the_old_ones_at_work(world: Domain) -> None:
    both = with_a_database(world)
    both.launch(_refusing(both, 4))
    until("ready", both._ready)
    world.roam(1)
    first = world.address("2001:db8:a100:")
    both.edit("[maar]\n", '[maar]\nidle_hold = "9s"\n')
    with ping_all_along(world, first) as lost, ControlClient(both.socket) as client:
        with pytest.raises(ControlError, match="nothing was changed: cmd: start: Cannot allocate memory"):
            client.command("reload")
        assert both.show("sessions")[0]["node"] == HOST
        assert client.command("reload")[0]["event"] == "reloaded"
    assert lost() == 0
    world.roam(1)
    assert world.answers(first) == 3
    assert both.stop() == 0
