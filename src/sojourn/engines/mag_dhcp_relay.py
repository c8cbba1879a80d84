"""A MAG as DHCP relay agent (RFC 5844 3.4.2): where the LMA says that another DHCP server answers the nodes.

The server is told the IPv4 home address that the LMA assigned, as the Agent Remote ID of a Relay Agent Information
option (RFC 3046), and what it offers is passed on if it is that address. What a node sends to the server itself, when
it renews, goes there like all of its packets; a release is understood in passing.
"""

from __future__ import annotations

from dataclasses import replace

from sojourn.engines.dhcpv4 import Home, reply_destination
from sojourn.wire import DecodeError
from sojourn.wire.addresses import Address, to_ipv4
from sojourn.wire.dhcpv4 import BOOTREPLY, BOOTREQUEST, Code, DhcpType, Dhcpv4Message, decode_dhcpv4

_REMOTE_ID = 2
_ANY = bytes(4)


class NotRelayed(Exception):
    """The message goes no further; the text says why."""


def to_server(message: Dhcpv4Message, own: Address, home: Home) -> bytes:
    """What a node broadcast, as the server gets it. Raises `NotRelayed`."""
    if message.op != BOOTREQUEST or message.relay != _ANY or Code.AGENT_INFORMATION in message.options:
        raise NotRelayed("not a client's message")
    wanted = message.address(Code.REQUESTED_ADDRESS)
    asks_for = message.client if message.client != _ANY else wanted
    if message.kind == DhcpType.REQUEST and asks_for not in (None, to_ipv4(home.address)):
        raise NotRelayed("a request for another address than the LMA assigned")
    hint = bytes((_REMOTE_ID, 4)) + to_ipv4(home.address)
    options = message.options | {Code.AGENT_INFORMATION: hint}
    return replace(message, relay=to_ipv4(own), options=options).encode()


def read_reply(payload: bytes, own: Address) -> Dhcpv4Message:
    """What the server sent for a node. Raises `NotRelayed`."""
    try:
        message = decode_dhcpv4(payload)
    except DecodeError as error:
        raise NotRelayed(str(error)) from error
    if message.op != BOOTREPLY or message.relay != to_ipv4(own):
        raise NotRelayed("not an answer through this relay")
    return message


def to_node(message: Dhcpv4Message, home: Home) -> tuple[Address, bytes]:
    """Where it goes, and what the node gets. Raises `NotRelayed` for another address than the LMA assigned."""
    if message.yours not in (_ANY, to_ipv4(home.address)):
        raise NotRelayed("the server gives another address than the LMA assigned")
    options = {code: value for code, value in message.options.items() if code != Code.AGENT_INFORMATION}
    return reply_destination(message, home.address), replace(message, relay=_ANY, options=options).encode()
