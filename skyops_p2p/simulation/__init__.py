"""Whole worlds of nodes in one process: virtual time, one seed, seeded faults. Shipped, so that users can test with it.

Three simulations, on purpose. `core_world` moves events between several NodeCores on a heap, without trio: thousands
of seeds. `world` runs the real Node and dispatcher over in-memory ports under trio's mock clock: it finds lost
timers, missed cancellation and full channels. `market_world` runs the real Market of as many of 10,000 nodes as
tenders reach. None opens a socket, a file or a thread.

Rooms: determinism (scheduler), entropy and clock (chance and time), due_queue (what happens when), latency and
faults (what the links do), transport (what being connected costs), fabric (who is connected), gossip, dht, requests
and streams (what travels), network (the port), store (the disk), chaos (who breaks what), trace and report (replay).
"""
