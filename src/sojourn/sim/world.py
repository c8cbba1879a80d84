"""prototype"""
from __future__ import annotations
from array import array
from sojourn.sim.kernel import Kernel
from sojourn.sim.roles import Router, Database, Role
from sojourn.sim.topology import Topology
from sojourn.sim.protocol import ProtocolSettings
from sojourn.engines.configuration import *
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.engines.configuration import Mode
from sojourn.sim.itinerary import understand
from sojourn.core.effects import *
from sojourn.wire.units import HOUR, SECOND
from sojourn.wire.addresses import Prefix, prefix
from sojourn.wire import BindingUpdate, HandoffIndicator
EPOCH = 1_790_000_000 * SECOND
FOREVER = 1_000_000 * HOUR

class World:
    def __init__(self, topology: Topology, settings: ProtocolSettings) -> None:
        self.topology = topology
        self.kernel = Kernel(-4 * (1<<30))
        n = len(topology.places)
        cmd_place = settings.database if settings.database is not None else topology.best_place()
        self.addresses = [bytes.fromhex("20010db80000") + p.to_bytes(4, "big") + bytes(5) + b"\1" for p in range(n)]
        self.pools = [Prefix((0x2A00_0000 + p << 96).to_bytes(16, "big"), 32) for p in range(n)]
        self.cmd = bytes.fromhex("20010db8ffff") + bytes(9) + b"\1"
        mode = Mode(settings.mode)
        self.times = array("q"); self.codes = array("q")
        peers = tuple(Peer(a, "", None) for a in self.addresses)
        self.roles: dict[bytes, Role] = {}
        self.routers = []
        for p in range(n):
            conf = MaarConfiguration(self.addresses[p], self.pools[p], self.cmd, tuple(x for x in peers if x.address != self.addresses[p]), mode, lifetime=settings.lifetime, advertisement_interval=FOREVER, nodes=1<<30, new_nodes_per_second=1_000_000_000, prefixes_per_node=32, watch=False)
            r = Router(self, MobilityAnchorAccessRouter(conf, EPOCH), self.addresses[p], p)
            self.routers.append(r); self.roles[self.addresses[p]] = r
        conf = CmdConfiguration(self.cmd, tuple(Maar(a, q) for a, q in zip(self.addresses, self.pools)), mode, pace_rate=1_000_000_000, pace_burst=1_000_000_000, nodes=1<<30, nodes_per_maar=1<<30, warm_up=0, prefixes_per_node=32)
        self.database = Database(self, CentralMobilityDatabase(conf, EPOCH), self.cmd, cmd_place)
        self.roles[self.cmd] = self.database
        self.nodes_of = []
        self.msgs = 0; self.purposes = [0,0,0]; self.reports = {}
        self.adv = 0; self.served = {}; self.restored = []
        for role in [self.database, *self.routers]:
            role.engine.stores = False
            role.engine.reports = frozenset(("handover", "registered", "command-refused", "retirement-refused"))
            role.start(self.kernel.now)
        self.kernel.advance(0)

    def mark(self, place): return place << 40
    def log(self, now, mark, turn):
        self.times.append(now); self.codes.append(mark + (self.nodes_of[turn] if turn >= 0 else 0))
    def way(self, place, destination):
        role = self.roles[destination]
        return int(self.topology.delay[place, role.place]), role.receive
    def observe_message(self, effect, role, turn):
        self.msgs += 1
        m = effect.message
        if m.__class__ is not BindingUpdate:
            return
        if m.lifetime == 0:
            self.purposes[1] += 1; return
        for o in m.options:
            if type(o) is HandoffIndicator:
                self.purposes[0 if o.indicator != 5 else 2] += 1; break
    def observe_served(self, turn, anchor, now):
        self.served[turn, anchor] = now
    def observe_tunnel(self, turn, place, remote, now):
        pass
    def observe_advertisement(self, turn, effect, now):
        self.adv += 1
    def observe_report(self, turn, effect, now, role):
        self.reports[effect.name] = self.reports.get(effect.name, 0) + 1

    def run(self, stream, end, hold):
        it = understand(stream, end, hold)
        self.it = it
        v = it.visits
        self.nodes_of = v.node.tolist()
        import numpy as np
        r = it.retirements
        time = np.concatenate((v.begin, r.time))
        kind = np.concatenate((np.zeros(len(v), np.int8), np.ones(len(r.time), np.int8)))
        node = np.concatenate((v.node, r.node)); place = np.concatenate((v.place, r.anchor))
        turn = np.concatenate((np.arange(len(v)), np.full(len(r.time), -1)))
        order = np.lexsort((kind, time))
        current = self.current = {}
        routers = self.routers
        def records():
            for t, k, n, p, u in zip(time[order].tolist(), kind[order].tolist(), node[order].tolist(), place[order].tolist(), turn[order].tolist()):
                ll = b"\2" + n.to_bytes(5, "big")
                if k == 0:
                    current[n] = u
                    yield t, routers[p].attach, ll, u
                else:
                    yield t, routers[p].retire, b"\5" + ll, current[n]
        self.kernel.run(records(), end)
