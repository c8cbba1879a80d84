"""Captures of mobility signalling: reading files, peeling packets, pairing messages, and words for all of it.

`sojourn decode` is this package with a command line. As a library::

    from sojourn.capture import Reader, Source

    with open("signalling.pcapng", "rb", buffering=0) as file:
        for item in Reader(Source(file)).signals():
            ...                                    # Signal or Fault
"""

from sojourn.capture.conversations import Conversations, Pairing
from sojourn.capture.files import Fault, Packet, read
from sojourn.capture.signals import Reader, Signal, Tally
from sojourn.capture.source import Source

__all__ = ["Conversations", "Fault", "Packet", "Pairing", "Reader", "Signal", "Source", "Tally", "read"]
