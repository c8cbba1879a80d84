"""The network behind a mobile router: its own address there, and the advertisements that its hosts configure from.

As radvd would do it. The prefix is the first /64 of what the mobile router has, told or delegated.
"""

from __future__ import annotations

from ipaddress import IPv6Network

from sojourn.lab.advertisers import Advertiser, Advertisers, own_address
from sojourn.lab.scene import Scene
from sojourn.wire.addresses import Prefix, text


class Passengers:
    """Those who ride along with `router`, once it has a network for them. Close it."""

    def __init__(self, scene: Scene, router: str) -> None:
        self._scene, self.router = scene, router
        scene.until(f"{router} has a network for its passengers", lambda: bool(self._networks()))
        self.network = IPv6Network(self._networks()[0])
        self.prefix = Prefix(self.network.network_address.packed, 64)
        node = scene.lab.nodes[router]
        lan = node.ends["acc0"]
        scene.ip(router, "address", "replace", f"{text(own_address(self.prefix))}/64", "dev", lan.name, "nodad")
        advertiser = Advertiser(node.namespace, lan.index, lan.link_layer, self.prefix, False)
        self._advertisers = Advertisers({router: advertiser})

    def _networks(self) -> list[str]:
        return [one for row in self._scene.rows(self.router, "bindings") for one in row["networks"]]

    def address(self, host: str) -> str:
        """Of a passenger, as soon as it has one."""
        return self._scene.address(host, text(self.prefix.address).rstrip(":"))

    def close(self) -> None:
        """Advertise no more."""
        self._advertisers.close()
