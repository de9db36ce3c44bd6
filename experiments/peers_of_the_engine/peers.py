"""The list of peers."""

from __future__ import annotations

from importlib.util import find_spec

from peers_of_the_engine.by_hand import DoubleBackward, SplitByHand
from peers_of_the_engine.peer import Peer
from peers_of_the_engine.with_betty import Betty, BettyRollBack
from peers_of_the_engine.with_boat import Boat
from peers_of_the_engine.with_higher import Higher
from peers_of_the_engine.with_torchopt import TorchOpt

PEERS: dict[str, type[Peer]] = {
    "split by hand, no Pyro": SplitByHand,
    "double backward by hand": DoubleBackward,
    "higher": Higher,
    "TorchOpt": TorchOpt,
    "BOAT": Boat,
    "betty, darts": Betty,
    "betty, darts, roll back": BettyRollBack,
}


def missing_library(name: str) -> str | None:
    """Name of the package that the peer called ``name`` needs and that is not installed; None if there is none."""
    library = PEERS[name].library
    return library if library is not None and find_spec(library) is None else None
