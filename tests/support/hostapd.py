"""An access point as a test plays it: hostapd's control interface, and frames as a monitor interface shows them."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from sojourn.wire.addresses import LinkLayer, link_layer, link_layer_text

STATION = link_layer("02:00:00:00:00:01")
POINT = link_layer("02:aa:00:00:00:01")
OTHER = link_layer("02:aa:00:00:00:02")
RADIOTAP = bytes.fromhex("00000d000480020002 00000000".replace(" ", ""))
"""Of 13 octets: rate and transmission flags are told."""


def request(station: LinkLayer = STATION, to: LinkLayer = POINT, current: LinkLayer = OTHER, kind: int = 0x20) -> bytes:
    """Header, capabilities, listen interval, current access point, and an SSID of no octets."""
    header = struct.pack("<BBH6s6s6sH", kind, 0, 0, to, station, to, 0x10)
    return RADIOTAP + header + struct.pack("<HH6s", 0x0431, 5, current) + b"\0\0"


class Hostapd:
    """Answers as hostapd 2.10 does; `stations` are those it has, with their identities."""

    def __init__(self, path: Path) -> None:
        self.stations: dict[LinkLayer, str] = {}
        self.asked: list[str] = []
        self.listeners: set[str | bytes] = set()
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(path))

    def close(self) -> None:
        self.socket.close()
        self.path.unlink(missing_ok=True)

    def say(self, words: str) -> None:
        for listener in self.listeners:
            self.socket.sendto(words.encode(), listener)

    def connect(self, station: LinkLayer, identity: str = "") -> None:
        self.stations[station] = identity
        self.say(f"<3>AP-STA-CONNECTED {link_layer_text(station)}")

    def disconnect(self, station: LinkLayer) -> None:
        self.stations.pop(station, None)
        self.say(f"<3>AP-STA-DISCONNECTED {link_layer_text(station)}")

    def serve(self) -> bool:
        """Answer one question; False when there is none."""
        try:
            question, sender = self.socket.recvfrom(4096)
        except BlockingIOError:
            return False
        self.asked.append(question.decode())
        answer = self.answer(question.decode(), sender)
        if answer is not None:
            self.socket.sendto(answer.encode(), sender)
        return True

    def answer(self, question: str, sender: str | bytes) -> str | None:
        kind, _, about = question.partition(" ")
        names = sorted(map(link_layer_text, self.stations))
        match kind:
            case "ATTACH":
                self.listeners.add(sender)
                return "OK\n"
            case "DETACH":
                self.listeners.discard(sender)
                return "OK\n"
            case "PING":
                return "PONG\n"
            case "STA":
                return self.about(about) if about in names else "FAIL\n"
            case "STA-FIRST":
                return self.about(names[0]) if names else ""
            case "STA-NEXT":
                if about not in names:
                    return "FAIL\n"
                following = [name for name in names if name > about]
                return self.about(following[0]) if following else ""
        raise AssertionError(question)

    def about(self, name: str) -> str:
        identity = self.stations[link_layer(name)]
        user = f"dot1xAuthSessionUserName={identity}\n" if identity else ""
        return f"{name}\nflags=[AUTH][ASSOC][AUTHORIZED]\naid=1\ndot1xAuthSessionTime=4\n{user}last_eap_type_as=0\n"
