"""Reading one key of a trie.

Responsible for: `lookup`.
Talks to: a `NodeSource`.
Never: caches; a source may.
"""

from eth.constants import BLANK_ROOT_HASH

from parallel_evm.merkle.nodes import (
    BLANK,
    BRANCH_ITEMS,
    HASH_PREFIX,
    NIBBLE,
    VALUE,
    NodeSource,
    child_of_branch,
    items_of,
    missing_node,
    path_of,
    string_of,
)


def lookup(source: NodeSource, root: bytes, key: bytes) -> bytes:
    """Return the value at `key` (as it is in the trie: hashed, if it is hashed) or b"".

    Raises trie.exceptions.MissingTrieNode, equal to that of `HexaryTrie.get`, when a node on the
    way is missing.
    """
    if root == BLANK_ROOT_HASH:
        return b""
    path = key.hex()
    depth = 0
    child = b"\xa0" + root
    while child != BLANK:
        if child[0] == HASH_PREFIX:
            digest = child[1:]
            try:
                node = source(digest)
            except KeyError as missing:
                raise missing_node(digest, root, path, path[:depth]) from missing
        else:
            node = child
        if depth < len(path):
            below = child_of_branch(node, NIBBLE[path[depth]])
            if below is not None:
                child = below
                depth += 1
                continue
        items = items_of(node)
        if len(items) == BRANCH_ITEMS:
            if depth == len(path):
                return string_of(items[VALUE])
            child = items[NIBBLE[path[depth]]]
            depth += 1
            continue
        stretch, is_leaf = path_of(items[0])
        if is_leaf:
            return string_of(items[1]) if path[depth:] == stretch else b""
        if not path.startswith(stretch, depth):
            return b""
        child = items[1]
        depth += len(stretch)
    return b""
