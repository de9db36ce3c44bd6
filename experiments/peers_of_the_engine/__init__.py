"""The step of ``experiments/step_cost.py`` with other engines for bi-level optimisation, and by hand.

Every peer does the same work, without Pyro: the virtual SGD step with momentum and weight decay on the rectified loss
of a noisy batch, the gradient of the clean loss there and of the KL with respect to guide and prior, a step of Adam
along it, and the real SGD step. The libraries are optional; :func:`missing_library` says which one a peer lacks.
"""

from peers_of_the_engine.peer import ExactPeer, Peer
from peers_of_the_engine.peers import PEERS, missing_library
from peers_of_the_engine.task import Task

__all__ = ["PEERS", "ExactPeer", "Peer", "Task", "missing_library"]
