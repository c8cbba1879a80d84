"""prototype"""
from __future__ import annotations
from array import array
import numpy as np
from sojourn.sim.kernel import Kernel
from sojourn.sim.roles import Role
from sojourn.sim.ledger import Ledger, PURPOSE_BITS, Purpose
from sojourn.sim.topology import Topology
from sojourn.sim.protocol import ProtocolSettings
from sojourn.sim.wires import Wire
from sojourn.engines.configuration import CmdConfiguration, Maar, MaarConfiguration, Mode, Peer
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.sim.itinerary import understand
from sojourn.wire.units import HOUR, SECOND
from sojourn.wire.addresses import Prefix
EPOCH = 1_790_000_000 * SECOND

class Seen:
    def __init__(self, turns, places):
        self.contacted = array("q", bytes(8*turns)); self.advertised = array("q", [-1])*turns; self.registered = array("q", [-1])*turns
        self._half = {}
        self.places = places
        self.restored = []
    def served(self, turn, place, now):
        key = turn * self.places + place
        other = self._half.pop(key, None)
        if other is None: self._half[key] = now
        else: self.restored.append((turn, place, max(now, other)))
    def tunnelled(self, turn, place, now):
        self.contacted[turn] += 1
        self.served(turn, place, now)

class World:
    def __init__(self, topology: Topology, settings: ProtocolSettings, stream, end, warm=0) -> None:
        self.it = it = understand(stream, end, settings.idle_hold)
        v = it.visits
        self.end = end
        self.topology = topology
        self.settings = settings
        self.kernel = Kernel(-4 * (1<<30))
        n = len(topology.places)
        self.ledger = Ledger(n, v.node, warm, end, False)
        self.wire = Wire()
        self.seen = Seen(len(v), n)
        cmd_place = settings.database if settings.database is not None else topology.best_place()
        self.addresses = [bytes.fromhex("20010db80000") + p.to_bytes(4, "big") + bytes(5) + b"\1" for p in range(n)]
        self.pools = [Prefix((0x2A00_0000 + p << 96).to_bytes(16, "big"), 32) for p in range(n)]
        self.cmd = bytes.fromhex("20010db8ffff") + bytes(9) + b"\1"
        mode = Mode(settings.mode)
        peers = tuple(Peer(a, "", None) for a in self.addresses)
        self.roles: dict[bytes, Role] = {}
        self.routers = []
        for p in range(n):
            conf = MaarConfiguration(self.addresses[p], self.pools[p], self.cmd, tuple(x for x in peers if x.address != self.addresses[p]), mode, lifetime=settings.lifetime, advertisement_interval=0, nodes=1<<30, new_nodes_per_second=1_000_000_000, prefixes_per_node=32, watch=False)
            r = Role(self, MobilityAnchorAccessRouter(conf, EPOCH), self.addresses[p], p)
            self.routers.append(r); self.roles[self.addresses[p]] = r
        conf = CmdConfiguration(self.cmd, tuple(Maar(a, q) for a, q in zip(self.addresses, self.pools)), mode, pace_rate=1_000_000_000, pace_burst=1_000_000_000, nodes=1<<30, nodes_per_maar=1<<30, warm_up=0, prefixes_per_node=32)
        self.database = Role(self, CentralMobilityDatabase(conf, EPOCH), self.cmd, cmd_place)
        self.roles[self.cmd] = self.database
        self.current = {}
        for role in [self.database, *self.routers]:
            role.engine.stores = False
            role.engine.reports = frozenset(("registered", "command-refused", "retirement-refused")) if role is not self.database else frozenset()
            role.start(self.kernel.start)
        self.kernel.run(0)

    def way(self, place, destination):
        role = self.roles[destination]
        return int(self.topology.delay[place, role.place]), role.tell, Ledger.way(place, role.place)
    def place_of(self, address): return self.roles[address].place
    def delay(self, place, address): return int(self.topology.delay[place, self.roles[address].place])
    def turn_of(self, node): return self.current[node]
    def is_at(self, link_layer, place):
        return self.it.visits.place[self.current[int.from_bytes(link_layer[1:], "big")]] == place
    def retire_later(self, now, cause, role): pass
    @property
    def msgs(self): return self.ledger.messages
    def run(self):
        it = self.it; v = it.visits; r = it.retirements
        time = np.concatenate((v.begin, r.time))
        kind = np.concatenate((np.zeros(len(v), np.int8), np.ones(len(r.time), np.int8)))
        node = np.concatenate((v.node, r.node)); place = np.concatenate((v.place, r.anchor))
        turn = np.concatenate((np.arange(len(v)), np.full(len(r.time), -1)))
        order = np.lexsort((kind, time))
        current = self.current
        routers = self.routers
        def records():
            for i, t, k, n, p, u in zip(range(-len(order), 0), time[order].tolist(), kind[order].tolist(), node[order].tolist(), place[order].tolist(), turn[order].tolist()):
                ll = b"\2" + n.to_bytes(5, "big")
                if k == 0:
                    current[n] = u
                    yield t, i, routers[p].attach, ll, u << PURPOSE_BITS
                else:
                    yield t, i, routers[p].retire, "05" + ll.hex(), current[n] << PURPOSE_BITS | 1
                if not u & 1023: self.ledger.turn_page()
        self.kernel.run(self.end, records())
        self.ledger.close()
