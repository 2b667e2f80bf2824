"""Every bound of the protocol and of this node, in one place, with its unit and its reason.

What happens at a limit is written in protocol/; a test stands one below, at and one above each of those that
a peer can reach.
"""

from skyops_p2p.limits.auction import *
from skyops_p2p.limits.chain import *
from skyops_p2p.limits.content import *
from skyops_p2p.limits.evidence import *
from skyops_p2p.limits.execution import *
from skyops_p2p.limits.network import *
from skyops_p2p.limits.node import *
from skyops_p2p.limits.probes import *
from skyops_p2p.limits.reputation import *
from skyops_p2p.limits.settlement import *
from skyops_p2p.limits.verification import *
from skyops_p2p.limits.wallet import *
from skyops_p2p.limits.wire import *
