"""The rule that leads to the addresses of this machine stands behind ours: tunnelled packets to it are seen first."""

from __future__ import annotations

import errno

from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.objects import Rule
from sojourn.dataplane.reconcile import rules
from sojourn.dataplane.settings import Priorities

LOCAL_TABLE, MAIN_TABLE = 255, 254
_PROTOCOL_KERNEL = 2


def is_first_or_ours(netlink: Netlink, priorities: Priorities) -> bool:
    """Whether it has to move. Raises OSError where it stands in the way otherwise."""
    found = [rule for rule in rules(netlink) if rule.table == LOCAL_TABLE]
    if any(0 < rule.priority <= priorities.decapsulation for rule in found):
        raise OSError(errno.EEXIST, f"the rule for table local must stand after {priorities.decapsulation}")
    return any(rule.priority in (0, priorities.local) for rule in found)


def move(netlink: Netlink) -> None:
    """The one at 0 goes, now that ours stands."""
    for rule in rules(netlink):
        if rule.table == LOCAL_TABLE and rule.priority == 0:
            netlink.request(rule.withdraw())


def restore(netlink: Netlink, priorities: Priorities) -> None:
    """It is at 0 again, if it was we who moved it."""
    found = [rule for rule in rules(netlink) if rule.table == LOCAL_TABLE]
    ours = Rule(priorities.local, LOCAL_TABLE)
    if ours in found and all(rule.priority != 0 for rule in found):
        netlink.request(Rule(0, LOCAL_TABLE, protocol=_PROTOCOL_KERNEL).ensure())
