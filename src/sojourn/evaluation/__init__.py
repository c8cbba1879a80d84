"""Does distributed mobility pay for this network? Closed forms beside the simulator's figures, in tables and plots."""
