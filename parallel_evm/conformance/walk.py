"""Walks a whole state in its database: a right root is not enough, every node must be there."""

from __future__ import annotations

from typing import Any

from eth.constants import EMPTY_SHA3
from eth.rlp.accounts import Account
from eth_typing import Hash32
from rlp.codec import decode
from trie.exceptions import MissingTraversalNode, MissingTrieNode
from trie.hexary import HexaryTrie
from trie.iter import NodeIterator


def what_is_missing(database: Any, state_root: Hash32) -> str:
    """The first node or code that the state refers to and the database lacks; "" if none."""
    try:
        for key, encoded in _items(database, state_root):
            account: Any = decode(encoded, sedes=Account)  # type: ignore[no-untyped-call]
            for _ in _items(database, account.storage_root):
                pass
            if account.code_hash != EMPTY_SHA3 and account.code_hash not in database:
                return f"the code of the account hashed to 0x{key.hex()}"
    except (MissingTraversalNode, MissingTrieNode) as missing:
        return f"the trie node 0x{missing.missing_node_hash.hex()}"
    return ""


def _items(database: Any, root: Hash32) -> Any:
    return NodeIterator(HexaryTrie(database, root)).items()
