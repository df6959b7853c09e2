"""Other projects' models and optimisers, imported from their own checkouts at run time.

paths      --peer NAME=PATH: is the checkout there, is it what it is said to be
shape      the shape all contenders are asked for, and operations by one formula
model      PeerModel: a whole optimiser step, a learning-rate schedule, nats of a batch
nanogpt nanochat minimind hf   one adapter each: build(checkout, ask) -> PeerModel

Adapters are imported in child processes only (see `homespun.recipes.bench.child`), so that one
contender's imports, settings and memory never reach another.
"""

from homespun.recipes.bench.peers.paths import PEERS, Peer, parse_peers
from homespun.recipes.bench.peers.shape import Shape, train_flops_per_token

__all__ = ["PEERS", "Peer", "Shape", "parse_peers", "train_flops_per_token"]
