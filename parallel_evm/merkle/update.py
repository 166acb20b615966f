"""Changing many keys of a trie at once, from the leaves up.

Responsible for: `update`.
Talks to: a `NodeSource`, for the nodes on the way to a changed key and no others.
Never: encodes or hashes a node that the new trie does not keep.

The changes are sorted, so those below any node are a slice of one list. Each touched node is
taken apart once, its children's slices are applied recursively, and it is put together once. What
a call returns is a node that nobody has hashed yet: the caller may still swallow it (a branch left
with one child merges with it, an extension merges with what follows), and hashes it only when it
stays.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from eth.constants import BLANK_ROOT_HASH

from parallel_evm.hashing import keccak
from parallel_evm.merkle.nodes import (
    BLANK,
    BRANCH_ITEMS,
    DIGITS,
    HASH_PREFIX,
    NIBBLE,
    VALUE,
    NodeSource,
    end_of_item,
    extension_path,
    items_of,
    leaf_path,
    leaf_path_of_key,
    match_branch,
    missing_node,
    node_of,
    path_of,
    payload_start,
    string_item,
)


@dataclass(frozen=True, slots=True)
class TrieUpdate:
    """A new root and the nodes that the new trie has and the old one had not.

    `nodes` maps hash to RLP. It has every new node that is not inlined in its parent, the root
    included, and nothing that the new trie cannot reach.
    """

    root: bytes
    nodes: dict[bytes, bytes]


def update(source: NodeSource, root: bytes, changes: Mapping[bytes, bytes]) -> TrieUpdate:
    """Set every key of `changes` to its value in the trie at `root`; b"" deletes the key.

    Keys are taken as they are (hash them first where the trie has hashed keys) and may have any
    lengths. The result equals that of `trie.HexaryTrie` for the same changes in any order.

    Raises trie.exceptions.MissingTrieNode when a needed node is missing, with the root given and
    a key that needs the node. For a single change it is exactly HexaryTrie's; several changes
    together may need fewer nodes than one by one, never more.
    """
    if not changes:
        return TrieUpdate(root, {})
    keys = sorted(changes)
    batch = _Batch(source, root, keys, [string_item(changes[key]) for key in keys])
    old = BLANK if root == BLANK_ROOT_HASH else batch.fetch(root, 0)
    new = batch.apply_one(old, 0, 0) if len(keys) == 1 else batch.apply(old, 0, len(keys), 0)
    return TrieUpdate(root, {}) if new == old else batch.finish(new)


class _Batch:
    """The changes of one update, sorted, and the nodes made so far.

    `values` are items; `BLANK` deletes. A slice of changes is [low, high), and all its keys agree
    on their first `depth` digits, which lead to the node in question.
    """

    __slots__ = ("_keys", "_nodes", "_paths", "_root", "_source", "_values")

    def __init__(
        self, source: NodeSource, root: bytes, keys: list[bytes], values: list[bytes]
    ) -> None:
        self._source = source
        self._root = root
        self._keys = keys
        self._paths = [key.hex() for key in keys]
        """Those of the keys."""
        self._values = values
        self._nodes: dict[bytes, bytes] = {}

    def finish(self, node: bytes) -> TrieUpdate:
        """Make this node the root, which is hashed however short it is."""
        if node == BLANK:
            return TrieUpdate(BLANK_ROOT_HASH, {})
        digest = keccak(node)
        self._nodes[digest] = node
        return TrieUpdate(digest, self._nodes)

    def fetch(self, digest: bytes, index: int) -> bytes:
        """Return an old node, needed for the key at this index."""
        try:
            return self._source(digest)
        except KeyError as missing:
            raise missing_node(digest, self._root, self._paths[index], None) from missing

    def apply(self, node: bytes, low: int, high: int, depth: int) -> bytes:
        """Return the node that takes this one's place after a slice of changes."""
        if node == BLANK:
            return self._grow({}, low, high, depth)
        items = items_of(node)
        if len(items) == BRANCH_ITEMS:
            return self._branch(items, low, high, depth, set())
        path, is_leaf = path_of(items[0])
        if is_leaf:
            if low + 1 == high:
                met = self._meet(path, items[1], low, depth)
                if met is not None:
                    return met
            return self._grow({self._paths[low][:depth] + path: items[1]}, low, high, depth)
        return self._extension(node, path, items[1], low, high, depth)

    def apply_one(self, node: bytes, index: int, depth: int) -> bytes:
        """`apply` for one change.

        Nearly always it is a new value for an existing key: then the path is followed with nothing
        taken apart, and on the way back the child's hash is replaced in place.
        """
        whole = self._paths[index]
        value = self._values[index]
        branch = match_branch(node)
        if not branch:
            path = leaf_path_of_key(self._keys[index], depth)
            start = payload_start(node)
            # In a branch the first item can be a hash, and look like a path by chance. Then more
            # than one item follows.
            if node.startswith(path, start) and (
                path[0] != HASH_PREFIX or end_of_item(node, start + len(path)) == len(node)
            ):
                return BLANK if value == BLANK else node_of(path + value)
        elif len(whole) > depth:
            slot = NIBBLE[whole[depth]]
            start, end = branch.span(slot + 1)
            child = node[start:end]
            if child != BLANK:
                old = self.fetch(child[1:], index)
                new = self.apply_one(old, index, depth + 1)
                if new == old:
                    return node
                if len(new) >= 32:
                    return node[:start] + reference_to(new, self._nodes) + node[end:]
                items = [*branch.groups()]
                items[slot] = new
                return self._settle(items, {slot}, new == BLANK, index)
            if value == BLANK:
                return node
            path = leaf_path_of_key(self._keys[index], depth + 1)
            new = reference_to(node_of(path + value), self._nodes)
            return node_of(node[branch.start(1) : start] + new + node[end:])
        return self.apply(node, index, index + 1, depth)

    def _meet(self, path: str, item: bytes, index: int, depth: int) -> bytes | None:
        """Return the node over an old leaf and one key that parts from it, as `_grow` would.

        None where nothing is added, or one of them ends where the other goes on.
        """
        rest = self._paths[index][depth:]
        value = self._values[index]
        fork = _fork(rest, path, 0)
        if value == BLANK or fork == len(rest) or fork == len(path):
            return None
        items = [BLANK] * BRANCH_ITEMS
        old = node_of(leaf_path(path[fork + 1 :]) + item)
        items[NIBBLE[path[fork]]] = reference_to(old, self._nodes)
        new = node_of(leaf_path_of_key(self._keys[index], depth + fork + 1) + value)
        items[NIBBLE[rest[fork]]] = reference_to(new, self._nodes)
        branch = node_of(b"".join(items))
        if not fork:
            return branch
        return node_of(extension_path(rest[:fork]) + reference_to(branch, self._nodes))

    def _grow(self, entries: dict[str, bytes], low: int, high: int, depth: int) -> bytes:
        """Return the node over these entries (none, or those of an old leaf) and a slice."""
        paths, values = self._paths, self._values
        if not entries and BLANK not in values[low:high]:
            return self._build(paths, values, low, high, depth)
        entries.update(zip(paths[low:high], values[low:high], strict=True))
        live = sorted(path for path, value in entries.items() if value != BLANK)
        if not live:
            return BLANK
        return self._build(live, [entries[path] for path in live], 0, len(live), depth)

    def _build(
        self, paths: list[str], values: list[bytes], low: int, high: int, depth: int
    ) -> bytes:
        """Return the node over a slice of keys and values with nothing below it yet."""
        first, last = paths[low], paths[high - 1]
        if low + 1 == high:
            return node_of(leaf_path(first[depth:]) + values[low])
        fork = _fork(first, last, depth)
        items = [BLANK] * BRANCH_ITEMS
        if len(first) == fork:
            items[VALUE] = values[low]
            low += 1
        for slot, start, end in _slices(paths, low, high, fork):
            items[slot] = reference_to(
                self._build(paths, values, start, end, fork + 1), self._nodes
            )
        branch = node_of(b"".join(items))
        if fork == depth:
            return branch
        return node_of(extension_path(first[depth:fork]) + reference_to(branch, self._nodes))

    def _branch(self, items: list[bytes], low: int, high: int, depth: int, bare: set[int]) -> bytes:
        """Return what a branch with these items becomes after a slice of changes.

        In the slots `bare` the items are nodes that still need a reference.
        """
        paths = self._paths
        first = low
        shrunk = False
        if len(paths[low]) == depth:
            items[VALUE] = self._values[low]
            shrunk = items[VALUE] == BLANK
            low += 1
        for slot, start, end in _slices(paths, low, high, depth):
            child = items[slot]
            if child[0] == HASH_PREFIX:
                old = self.fetch(child[1:], start)
                if start + 1 == end:
                    new = self.apply_one(old, start, depth + 1)
                else:
                    new = self.apply(old, start, end, depth + 1)
                if new == old:
                    continue
            else:
                new = self.apply(child, start, end, depth + 1)
            items[slot] = new
            bare.add(slot)
            if new == BLANK:
                shrunk = True
        return self._settle(items, bare, shrunk, first)

    def _settle(self, items: list[bytes], bare: set[int], shrunk: bool, index: int) -> bytes:
        """Return what a branch is now: itself, or if it shrunk too much, what it collapses to.

        Children are hashed no sooner than it is certain that they stay. A child that has to be
        fetched is needed for the key at `index`.
        """
        if not shrunk or items.count(BLANK) < BRANCH_ITEMS - 1:
            for slot in bare:
                items[slot] = reference_to(items[slot], self._nodes)
            return node_of(b"".join(items))
        if items[VALUE] != BLANK:
            return node_of(leaf_path("") + items[VALUE])
        for digit, child in zip(DIGITS, items, strict=False):
            if child[0] == HASH_PREFIX:
                return self._lengthen(digit, self.fetch(child[1:], index), child)
            if child != BLANK:
                return self._lengthen(digit, child, None)
        return BLANK

    def _lengthen(self, path: str, node: bytes, reference: bytes | None) -> bytes:
        """Return the node that leads along `path` to what `node` leads to."""
        if node == BLANK:
            return BLANK
        items = items_of(node)
        if len(items) == BRANCH_ITEMS:
            return node_of(extension_path(path) + (reference or reference_to(node, self._nodes)))
        rest, is_leaf = path_of(items[0])
        return node_of((leaf_path if is_leaf else extension_path)(path + rest) + items[1])

    def _extension(
        self, node: bytes, path: str, child: bytes, low: int, high: int, depth: int
    ) -> bytes:
        """Return what an extension becomes after a slice of changes."""
        paths, values = self._paths, self._values
        stretch = paths[low][:depth] + path
        start = bisect_left(paths, stretch, low, high)
        # "g" sorts behind all digits.
        end = bisect_left(paths, stretch + "g", start, high)
        if all(value == BLANK for value in values[low:start] + values[end:high]):
            # Nothing is added off the path, and there is nothing to delete there.
            if start == end:
                return node
            old = self.fetch(child[1:], start) if child[0] == HASH_PREFIX else child
            new = self.apply(old, start, end, depth + len(path))
            return node if new == old else self._lengthen(path, new, None)
        # The path forks: a branch takes the place of one of its digits.
        shared = min(_fork(path, paths[index][depth:], 0) for index in (low, high - 1))
        slot, rest = NIBBLE[path[shared]], path[shared + 1 :]
        items = [BLANK] * BRANCH_ITEMS
        items[slot] = node_of(extension_path(rest) + child) if rest else child
        branch = self._branch(items, low, high, depth + shared, {slot} if rest else set())
        return self._lengthen(path[:shared], branch, None) if shared else branch


def reference_to(node: bytes, nodes: dict[bytes, bytes]) -> bytes:
    """Return the item by which a parent holds this node, which is kept in ``nodes`` if hashed."""
    if len(node) < 32:
        return node
    digest = keccak(node)
    nodes[digest] = node
    return b"\xa0" + digest


def _slices(paths: list[str], low: int, high: int, depth: int) -> Iterator[tuple[int, int, int]]:
    """Part a slice of paths by the digit at `depth`: yield digit, low and high of each part."""
    while low < high:
        digit = paths[low][depth]
        end = low + 1
        while end < high and paths[end][depth] == digit:
            end += 1
        yield NIBBLE[digit], low, end
        low = end


def _fork(left: str, right: str, depth: int) -> int:
    """Return how many digits two paths have in common, of which `depth` are known to be."""
    while left[depth : depth + 1] == right[depth : depth + 1] != "":
        depth += 1
    return depth
