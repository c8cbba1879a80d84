"""How far a simulated message goes towards the wire: not at all, counted, or really encoded and decoded."""
from __future__ import annotations

class Wire:
    weigh = None
