"""Bounds of witnessed probes: how often nodes are asked, and what is held of what witnesses say."""

# --- witnessed probes ---------------------------------------------------------------------------------------------
PROBE_SLOT_MS = 600_000
"""Length of a slot; test networks may shorten it. protocol/08b."""
PROBE_WATCH_SLOTS = 36
"""Slots for which witnesses are drawn together, six hours; test networks may shorten it. protocol/08b."""
PROBE_WATCH_SLOTS_MAX = 64
"""The same at most: four slots are one byte of a statement."""
PROBED_MAX = 64
"""Accounts that one witness probes in a watch, and that one statement names: it fits a gossip message. protocol/08b."""
PROBE_TRIES_MAX = 2
"""Questions to one account in a slot, before it counts as silent. protocol/08b."""
PROBE_TIMEOUT_S = 10.0
"""How long one question may take, the dial included; a tenth of a slot if that is less."""
PROBES_AT_ONCE_MAX = 8
"""Questions of a witness that are under way at a time."""
PROBE_BURST = 16.0
"""Questions that one peer may ask at once; more are refused as `flood`. protocol/08b."""
PROBE_PER_S = 0.5
"""The same in the long run. protocol/08b."""
PROBE_SLOTS_OFF_MAX = 1
"""A question's slot may differ by so many from the receiver's: clocks do. protocol/08b."""
PROBE_STATEMENTS_HELD_MAX = 65_536
"""Statements of all witnesses that a node holds, half a KiB each; those of the latest watches stay. protocol/08b."""
PROBE_GOSSIP_BURST = 8.0
"""Statements that one author may gossip at once. protocol/08b."""
PROBE_GOSSIP_PER_S = 0.1
"""The same in the long run. protocol/08b."""
PROBE_STATEMENTS_ASKED_MAX = 16
"""Statements in one question and in its answer: with all of them it fits a message. protocol/08b."""
PROBE_SYNC_NAMES_MAX = 512
"""Names in one answer of a synchronisation. protocol/08b."""
PROBE_SYNC_ROUNDS_MAX = 256
"""Answers of one synchronisation: with all of them it names more than anybody holds."""
PROBE_SYNC_S = 300.0
"""Between two synchronisations, each with another neighbour; a slot if that is less."""
PROBE_SYNC_SOON_S = 2.0
"""The same after one that brought news: others may know more."""
PROBE_REQUEST_BURST = 64.0
"""Questions about statements that one peer may ask at once; more are refused as `flood`. protocol/08b."""
PROBE_REQUESTS_PER_S = 8.0
"""The same in the long run. protocol/08b."""
PROBE_ASK_PAUSE_S = 0.15
"""From one such question to the next: fewer than PROBE_REQUESTS_PER_S."""
PROBE_REST_S = 600.0
"""A peer that sent what was not asked for is not asked so long; nor is a refused statement."""
PROBE_REFUSED_MAX = 16_384
"""Names of refused statements that are remembered; the oldest is forgotten."""
PROBE_PENDING_MAX = 256
"""Statements that wait for a look at their witness's stake; what finds no room is found again later."""
PROBE_WITNESSES_JUDGED_MAX = 8192
"""Witnesses of which it is remembered whether they have a stake; the oldest is forgotten."""
PROBE_WITNESS_JUDGED_S = 600.0
"""How long that is believed."""
PROBE_EVENTS_MAX = 512
"""Events of the exchange that wait; what finds no room is found again by a synchronisation."""
PROBE_LOOKS_MAX = 4
"""Looks at the chain for a witness's stake, under way at a time."""
BEACONS_LOOKED_UP_MAX = 8
"""Blocks of watches that are looked up in one round, the latest watches first."""
BEACON_STEPS_MAX = 96
"""Blocks that are asked for until one is found by its time: more than a bisection of any chain needs."""
