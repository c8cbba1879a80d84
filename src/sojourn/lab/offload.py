"""Frames that a relay in user space cannot pass on, and how the kernel is kept from making them.

TCP hands whole bundles of segments down to a link, and AF_PACKET passes a bundle with a header that says how to cut
it up (PACKET_VNET_HDR). That header has no words for TCP inside IPv6 inside IPv6, so the kernel refuses a bundle that
went into a tunnel: only the segments that travel alone get through, and a download crawls. Without the feature below on
the sending interface the kernel cuts up tunnelled bundles itself, and leaves all others whole.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from collections.abc import Sequence

_SIOCETHTOOL = 0x8946
_GET_STRINGS, _GET_STRING_COUNT, _SET_FEATURES = 0x1B, 0x37, 0x3B
_FEATURE_NAMES = 4
_NAME_LENGTH = 32
_TUNNEL_SEGMENTATION = ("tx-ipxip6-segmentation", "tx-ipxip4-segmentation")


def cut_tunnelled_bundles(interface: str) -> None:
    """From now on the kernel segments tunnelled TCP before `interface`; to be called inside. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        names = _feature_names(control, interface)
        blocks = [0] * -(-len(names) // 32)
        for name in _TUNNEL_SEGMENTATION:
            if name in names:
                position = names.index(name)
                blocks[position // 32] |= 1 << position % 32
        wanted = b"".join(struct.pack("=II", block, 0) for block in blocks)
        _ethtool(control, interface, struct.pack("=II", _SET_FEATURES, len(blocks)) + wanted)


def _feature_names(control: socket.socket, interface: str) -> Sequence[str]:
    request = struct.pack("=IIQI4x", _GET_STRING_COUNT, 0, 1 << _FEATURE_NAMES, 0)
    count = struct.unpack_from("=I", _ethtool(control, interface, request), 16)[0]
    request = struct.pack("=III", _GET_STRINGS, _FEATURE_NAMES, count) + bytes(_NAME_LENGTH * count)
    octets = _ethtool(control, interface, request)[12:]
    names = [octets[start : start + _NAME_LENGTH] for start in range(0, _NAME_LENGTH * count, _NAME_LENGTH)]
    return [name.split(b"\0")[0].decode() for name in names]


def _ethtool(control: socket.socket, interface: str, request: bytes) -> bytes:
    memory = array.array("B", request)
    fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP16x", interface.encode(), memory.buffer_info()[0]))
    return memory.tobytes()
