"""Which nodes does a state need?

Responsible for: `reachable`, which finds, among nodes that were made on the way to a state, those
that this state has.
Talks to: nobody.
Never: needs a node that is not among those given; what such a one leads to is old.
"""

from __future__ import annotations

from collections.abc import Mapping

from parallel_evm.merkle.codec import decode_account
from parallel_evm.merkle.nodes import BRANCH_ITEMS, HASH_PREFIX, items_of, path_of, string_of


def reachable(nodes: Mapping[bytes, bytes], state_root: bytes) -> dict[bytes, bytes]:
    """Those of ``nodes`` (by hash, RLP) that are in the state trie with this root, or in the
    storage trie of one of its accounts."""
    found: dict[bytes, bytes] = {}
    ahead = [(state_root, True)]
    while ahead:
        digest, is_state = ahead.pop()
        node = nodes.get(digest)
        if node is None or digest in found:
            continue
        found[digest] = node
        items = items_of(node)
        if len(items) == BRANCH_ITEMS:
            children = items
        else:
            _, is_leaf = path_of(items[0])
            children = [] if is_leaf else items[1:]
            if is_leaf and is_state:
                _, _, storage_root, _ = decode_account(string_of(items[1]))
                ahead.append((storage_root, False))
        # A node that stands in its parent's place is too short to hold a hash.
        ahead += [(child[1:], is_state) for child in children if child[0] == HASH_PREFIX]
    return found
