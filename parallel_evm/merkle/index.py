"""The trie of a block's transactions, receipts or withdrawals, whose keys are known beforehand.

Responsible for: `index_trie`, `add_to_index_trie` and `listed`.
Talks to: `update`, for one more item, which alone needs nodes that are there already.
Never: takes apart what it builds.

The keys are the RLP of 0, 1, 2 and so on, so how many items there are says where each of them goes:
the *shape* of the trie is worked out once for a number of items and filled in with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from eth.constants import BLANK_ROOT_HASH

from parallel_evm.hashing import keccak
from parallel_evm.merkle.nodes import (
    BLANK,
    DIGITS,
    NodeSource,
    extension_path,
    leaf_path,
    node_of,
    number_item,
    string_item,
)
from parallel_evm.merkle.update import TrieUpdate, reference_to, update


@dataclass(frozen=True, slots=True)
class _Leaf:
    path: bytes
    """As the first item of the node."""
    index: int
    """Of what it holds."""


@dataclass(frozen=True, slots=True)
class _Branch:
    path: bytes | None
    """The first item of the extension that leads to it, where there is one."""
    children: tuple[_Leaf | _Branch | None, ...]
    """By digit."""


def index_trie(items: Sequence[bytes]) -> TrieUpdate:
    """Return the trie of a block's transactions, receipts or withdrawals, given as encoded.

    The key of an item is the RLP of its index. Equal to `eth.db.trie.make_trie_root_and_nodes`.
    """
    if not items:
        return TrieUpdate(BLANK_ROOT_HASH, {})
    nodes: dict[bytes, bytes] = {}
    root = _node(_shape(len(items)), items, nodes)
    digest = keccak(root)
    nodes[digest] = root
    return TrieUpdate(digest, nodes)


@dataclass(frozen=True, slots=True)
class Listed:
    """A block's transactions, and what follows from them alone."""

    encoded: list[bytes]
    hashes: list[bytes]
    trie: TrieUpdate


def listed(encoded: list[bytes]) -> Listed:
    """``encoded``: the transactions, as EIP-2718 has them."""
    return Listed(encoded, list(map(keccak, encoded)), index_trie(encoded))


def add_to_index_trie(source: NodeSource, root: bytes, index: int, item: bytes) -> TrieUpdate:
    """The same for one more item. `TrieUpdate.nodes` are the new nodes only."""
    return update(source, root, {number_item(index): item})


def _node(shape: _Leaf | _Branch, items: Sequence[bytes], nodes: dict[bytes, bytes]) -> bytes:
    """The node of this shape, not hashed yet; those below it are in ``nodes``."""
    if isinstance(shape, _Leaf):
        return node_of(shape.path + string_item(items[shape.index]))
    references = []
    for child in shape.children:
        if child is None:
            references.append(BLANK)
        elif isinstance(child, _Leaf):  # nearly all are: no call for them
            node = node_of(child.path + string_item(items[child.index]))
            references.append(reference_to(node, nodes))
        else:
            references.append(reference_to(_node(child, items, nodes), nodes))
    branch = node_of(b"".join(references) + BLANK)
    return branch if shape.path is None else node_of(shape.path + reference_to(branch, nodes))


@lru_cache(maxsize=16)
def _shape(count: int) -> _Leaf | _Branch:
    """Of the trie of so many items."""
    return _shape_of(sorted((number_item(index).hex(), index) for index in range(count)), 0)


def _shape_of(keys: list[tuple[str, int]], depth: int) -> _Leaf | _Branch:
    """Of the trie over these paths, sorted, which agree on their first ``depth`` digits. RLP of
    one number never begins with that of another, so no branch has a value of its own."""
    (first, index), last = keys[0], keys[-1][0]
    if len(keys) == 1:
        return _Leaf(leaf_path(first[depth:]), index)
    fork = depth
    while first[fork] == last[fork]:
        fork += 1
    below = {
        digit: _shape_of(list(part), fork + 1)
        for digit, part in groupby(keys, lambda key: key[0][fork])
    }
    path = extension_path(first[depth:fork]) if fork > depth else None
    return _Branch(path, tuple(map(below.get, DIGITS)))
