"""The same engines in simulated time: a city's worth of nodes on a real topology, in minutes.

`topology` (places and the delays between them) and `workload` (what the nodes do, and when) are columns of numbers;
`scenario` makes both from a file. The kernel places engines of `sojourn.engines` on the topology, merges the stream of
the workload with the messages in flight and counts. Nodes that do not meet in a queue are simulated in shards.
"""
