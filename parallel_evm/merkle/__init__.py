"""Merkle Patricia tries in bulk (yellow paper, appendix D), and the values that they hold.

Responsible for: state, storage, transaction, receipt and withdrawal roots, each touched node
encoded and hashed once per batch.
Talks to: nobody but a function that gives a node for its hash.
Never: writes, except for `account_db`, whose `persist` is the one place where a block is stored.
"""

from parallel_evm.merkle.codec import decode_account, decode_slot, encode_account, encode_slot
from parallel_evm.merkle.index import add_to_index_trie, index_trie
from parallel_evm.merkle.nodes import NodeSource
from parallel_evm.merkle.read import lookup
from parallel_evm.merkle.update import TrieUpdate, update

__all__ = [
    "NodeSource",
    "TrieUpdate",
    "add_to_index_trie",
    "decode_account",
    "decode_slot",
    "encode_account",
    "encode_slot",
    "index_trie",
    "lookup",
    "update",
]
