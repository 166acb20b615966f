"""Bulk updates and lookups hold against `trie.HexaryTrie`, node for node and error for error."""

import random
from collections.abc import Callable

import pytest
from eth.constants import BLANK_ROOT_HASH
from eth.db.account import AccountDB
from eth.db.atomic import AtomicDB
from eth.db.trie import make_trie_root_and_nodes
from hypothesis import given, settings
from hypothesis import strategies as st
from rlp.codec import decode
from trie import HexaryTrie
from trie.exceptions import MissingTrieNode, ValidationError

from parallel_evm.hashing import keccak
from parallel_evm.merkle.codec import encode_account, encode_slot
from parallel_evm.merkle.index import index_trie
from parallel_evm.merkle.nodes import FULL_BRANCH_SIZE
from parallel_evm.merkle.read import lookup
from parallel_evm.merkle.update import update

Changes = dict[bytes, bytes]

# Examples differ in size, and machines in load: no deadline for a single one.
unhurried = settings(deadline=None)


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """Values of one byte (whose nodes are inlined) to some that need the long headers of RLP."""
    size = draw(st.sampled_from([1, 1, 2, 4, 20, 31, 32, 33, 55, 56, 110, 255, 256, 300]))
    return size * draw(st.sampled_from([b"\x00", b"\x01", b"\x7f", b"\x80", b"\xc0", b"\xff"]))


@st.composite
def long_keys(draw: st.DrawFn) -> bytes:
    """Keys of 32 bytes that share nothing, a little, or everything but the last digit."""
    head = draw(st.sampled_from([b"", b"\x00", b"\x01", b"\x10", b"\xab" * 8, b"\xab" * 31]))
    tail = draw(st.binary(min_size=1, max_size=2))
    return (head + tail).ljust(32, b"\x5a")[:32]


def short_keys() -> st.SearchStrategy[bytes]:
    """Keys of different lengths, zero included, often one the beginning of another."""
    return st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xF1]), max_size=4).map(bytes)


def changes(keys: st.SearchStrategy[bytes]) -> st.SearchStrategy[Changes]:
    """New values, and deletions of keys that may or may not be there."""
    return st.dictionaries(keys, values() | values() | st.just(b""), max_size=16)


def histories(minimum: int = 1) -> st.SearchStrategy[list[Changes]]:
    """Batches over one kind of key, to be applied one after the other."""
    return st.one_of(
        st.lists(changes(keys), min_size=minimum, max_size=5)
        for keys in (long_keys(), short_keys())
    )


def one_by_one(db: Changes, root: bytes, batch: Changes) -> bytes:
    """Apply a batch as HexaryTrie does."""
    trie = HexaryTrie(db, root)
    for key, value in batch.items():
        trie[key] = value
    return trie.root_hash


def grown(history: list[Changes]) -> tuple[Changes, bytes]:
    """The database and root that HexaryTrie makes of a history."""
    db: Changes = {}
    root = BLANK_ROOT_HASH
    for batch in history:
        root = one_by_one(db, root, batch)
    return db, root


def reachable(db: Changes, root: bytes) -> set[bytes]:
    """The hashes of all nodes of a trie. Raises KeyError where one is missing."""
    found: set[bytes] = set()

    def visit(node: list) -> None:
        is_leaf = len(node) == 2 and node[0][0] >= 0x20
        if is_leaf:
            return
        for child in node[:16] if len(node) == 17 else node[1:]:
            if isinstance(child, list):
                visit(child)
            elif child:
                visit_hash(child)

    def visit_hash(digest: bytes) -> None:
        found.add(digest)
        visit(decode(db[digest]))

    if root != BLANK_ROOT_HASH:
        visit_hash(root)
    return found


@unhurried
@given(histories())
def test_update_equals_hexary_trie(history: list[Changes]) -> None:
    theirs: Changes = {}
    ours: Changes = {}
    root = BLANK_ROOT_HASH
    content: Changes = {}
    for batch in history:
        old = reachable(ours, root)
        expected = one_by_one(theirs, root, batch)
        made = update(ours.__getitem__, root, batch)

        assert made.root == expected
        assert all(keccak(node) == digest for digest, node in made.nodes.items())
        ours.update(made.nodes)
        new = reachable(ours, expected)
        assert new - old <= made.nodes.keys() <= new

        root = expected
        content.update(batch)
        stock = HexaryTrie(ours, root)
        assert all(stock[key] == value for key, value in content.items() if value)
        assert all(lookup(ours.__getitem__, root, key) == content[key] for key in content)


@unhurried
@given(histories(), st.lists(long_keys() | short_keys(), max_size=20))
def test_lookup_equals_hexary_trie(history: list[Changes], keys: list[bytes]) -> None:
    db, root = grown(history)
    trie = HexaryTrie(db, root)
    for key in keys:
        try:
            expected = trie[key]
        except ValidationError:
            # HexaryTrie fails on a key that ends inside an extension; nothing is there.
            expected = b""
        assert lookup(db.__getitem__, root, key) == expected


def test_lookup_through_branches_with_all_children() -> None:
    chance = random.Random("full branches")
    content = {keccak(chance.randbytes(8)): chance.randbytes(40) for _ in range(1200)}
    db, root = grown([content])
    full = [node for node in db.values() if len(node) == FULL_BRANCH_SIZE]
    assert any(len(decode(node)) == 17 for node in full)
    absent = [keccak(chance.randbytes(9)) for _ in range(200)]
    trie = HexaryTrie(db, root)
    assert all(lookup(db.__getitem__, root, key) == trie[key] for key in [*content, *absent])
    assert all(lookup(db.__getitem__, root, key) == value for key, value in content.items())


def test_lookup_in_other_nodes_of_that_size() -> None:
    """A leaf, whatever is in it: fourteen references are in its value, at their usual places."""
    key = b"\x5a" * 32
    head = 3 + 1 + 33 + 3  # of the node, of the path, the path, of the value
    references = b"".join(b"\xa0" + b"\x11" * 32 for _ in range(16)) + b"\x80"
    value = (b"\x00" * 3 + references)[head:]
    db, root = grown([{key: value}])
    assert len(db[root]) == FULL_BRANCH_SIZE
    assert lookup(db.__getitem__, root, key) == value
    assert lookup(db.__getitem__, root, b"\x5b" * 32) == b""


@unhurried
@given(histories())
def test_changes_that_change_nothing_make_no_nodes(history: list[Changes]) -> None:
    db, root = grown(history)
    content: Changes = {}
    for batch in history:
        content.update(batch)
    again = update(db.__getitem__, root, content)
    assert (again.root, again.nodes) == (root, {})


@unhurried
@given(histories(minimum=2))
def test_nodes_are_those_that_the_old_trie_had_not(history: list[Changes]) -> None:
    # With values that name their keys, no two nodes are alike.
    history = [{key: value and value + key for key, value in batch.items()} for batch in history]
    db, root = grown(history[:-1])
    content = {key: value for batch in history[:-1] for key, value in batch.items()}
    for batch in history[-1], content | history[-1]:
        made = update(db.__getitem__, root, batch)
        new = reachable(db | made.nodes, made.root)
        assert made.nodes.keys() == new - reachable(db, root)


def test_changes_that_change_nothing_between_others_make_no_nodes() -> None:
    dice = random.Random(11)
    content = {dice.randbytes(32): dice.randbytes(70) for _ in range(1000)}
    old = update({}.__getitem__, BLANK_ROOT_HASH, content)
    keys = dice.sample(sorted(content), 60)
    batch = (
        {key: content[key] for key in keys[:20]}  # the same value
        | {dice.randbytes(32): b"" for _ in range(20)}  # nothing to delete
        | {key: dice.randbytes(70) for key in keys[20:40]}
        | dict.fromkeys(keys[40:], b"")
    )
    made = update(old.nodes.__getitem__, old.root, batch)
    assert made.root == one_by_one(dict(old.nodes), old.root, batch)
    new = reachable(old.nodes | made.nodes, made.root)
    assert made.nodes.keys() == new - reachable(old.nodes, old.root)


@unhurried
@given(histories())
def test_deleting_everything_leaves_the_blank_trie(history: list[Changes]) -> None:
    db, root = grown(history)
    emptied = update(db.__getitem__, root, {key: b"" for batch in history for key in batch})
    assert (emptied.root, emptied.nodes) == (BLANK_ROOT_HASH, {})


def test_no_changes_need_no_node() -> None:
    assert update({}.__getitem__, b"\x11" * 32, {}).root == b"\x11" * 32


def outcome(action: Callable[[], bytes]) -> object:
    """What comes of an action: its result, or what it says about the node that is missing."""
    try:
        return action()
    except MissingTrieNode as missing:
        return missing.args


@unhurried
@given(histories(minimum=2), st.data())
def test_missing_nodes_are_reported_like_hexary_trie(
    history: list[Changes], data: st.DataObject
) -> None:
    db, root = grown(history)
    keys = [key for batch in history for key in batch]
    if not db or not keys:
        return
    for digest in data.draw(st.sets(st.sampled_from(sorted(db)), min_size=1, max_size=3)):
        del db[digest]
    key = data.draw(st.sampled_from(keys))
    value = data.draw(st.sampled_from([b"", b"\x01", b"\x02" * 40]))

    assert outcome(lambda: update(db.__getitem__, root, {key: value}).root) == outcome(
        lambda: one_by_one(dict(db), root, {key: value})
    )
    try:
        expected = outcome(lambda: HexaryTrie(db, root)[key])
    except ValidationError:
        return  # the key ends inside an extension
    assert outcome(lambda: lookup(db.__getitem__, root, key)) == expected


@unhurried
@given(histories(minimum=2), st.data())
def test_a_batch_needs_no_more_nodes_than_one_by_one(
    history: list[Changes], data: st.DataObject
) -> None:
    complete, root = grown(history[:-1])
    db = dict(complete)
    batch = history[-1]
    if not db:
        return
    for digest in data.draw(st.sets(st.sampled_from(sorted(db)), min_size=1, max_size=3)):
        del db[digest]
    try:
        new_root = update(db.__getitem__, root, batch).root
    except MissingTrieNode as missing:
        assert missing.missing_node_hash not in db
        assert missing.root_hash == root
        assert missing.requested_key in batch
        with pytest.raises(MissingTrieNode):
            one_by_one(db, root, batch)
    else:
        # One by one may stop at a node that is only needed in between.
        assert new_root == one_by_one(complete, root, batch)


def test_tries_that_change_shape() -> None:
    """Each step of appendix D once, readable: fork, extend, merge, collapse."""
    steps = [
        {b"\x12\x34": b"a" * 40},  # a leaf
        {b"\x12\x35": b"b" * 40},  # it forks at its last digit, below an extension
        {b"\x12": b"value in a branch"},  # the extension forks at a key's end
        {b"\x56\x78": b"c" * 40},  # the root forks
        {b"\x12\x34": b""},  # a branch keeps its value and one child
        {b"\x12": b""},  # that branch collapses, the child's path grows
        {b"\x12\x35": b"", b"\x56\x79": b"d"},  # one side goes, the other forks
        {b"\x56\x78": b"", b"\x56\x79": b""},
    ]
    db: Changes = {}
    root = BLANK_ROOT_HASH
    for step in steps:
        expected = one_by_one({**db}, root, step)
        made = update(db.__getitem__, root, step)
        assert made.root == expected
        db.update(made.nodes)
        root = made.root
    assert root == BLANK_ROOT_HASH


def test_a_collapse_keeps_the_branch_that_was_not_touched() -> None:
    below = {bytes((0x10 + last,)) * 32: b"v" * 40 for last in range(16)}
    old = update({}.__getitem__, BLANK_ROOT_HASH, below | {b"\x20" * 32: b"w" * 40})
    made = update(old.nodes.__getitem__, old.root, {b"\x20" * 32: b""})
    assert made.root == one_by_one(dict(old.nodes), old.root, {b"\x20" * 32: b""})
    assert list(made.nodes) == [made.root]


def test_a_leaf_that_looks_like_the_first_child_of_a_branch() -> None:
    """A branch's first child can have a hash that reads as the path of a 32-byte key's end."""
    db: Changes = {}
    count = 0
    while True:
        # Leaves under 0: try values until the leaf's hash starts like an even leaf's path.
        content = {b"\x00" * 3: count.to_bytes(40, "big"), b"\x10" * 3: b"v", b"": b"value"}
        made = update(db.__getitem__, BLANK_ROOT_HASH, content)
        first = decode(made.nodes[made.root])[0]
        if len(first) == 32 and first[0] == 0x20:
            break
        count += 1
    key = first[1:]
    batch = {key: b"new"}
    expected = one_by_one(dict(made.nodes), made.root, batch)
    assert update(made.nodes.__getitem__, made.root, batch).root == expected


class Encoded(bytes):
    """An item of `make_trie_root_and_nodes`, which asks everything to encode itself."""

    def encode(self) -> bytes:
        return bytes(self)


SIZES = [0, 1, 2, 3, 15, 16, 17, 127, 128, 129, 255, 256, 257, 300]
"""Of which keys have other lengths, or tries other shapes."""


@pytest.mark.parametrize("count", [*SIZES, pytest.param(1500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("largest", [1, 20, 40, 700])
def test_index_trie_equals_py_evm(count: int, largest: int) -> None:
    dice = random.Random(count * largest)
    items = [Encoded(dice.randbytes(dice.randint(1, largest))) for _ in range(count)]
    made = index_trie(items)
    assert (made.root, made.nodes) == make_trie_root_and_nodes(items)


def test_py_evm_reads_and_goes_on_from_our_state() -> None:
    dice = random.Random(7)
    db = AtomicDB()
    accounts = {dice.randbytes(20): dice.randrange(1, 10**20) for _ in range(300)}
    contract, slots = dice.randbytes(20), {dice.randrange(2**256): dice.randrange(1, 2**256)}
    slots |= {slot: slot + 1 for slot in range(100)}

    storage = update(
        db.__getitem__,
        BLANK_ROOT_HASH,
        {keccak(slot.to_bytes(32, "big")): encode_slot(slots[slot]) for slot in slots},
    )
    encoded = {
        keccak(address): encode_account(0, balance, BLANK_ROOT_HASH, keccak(b""))
        for address, balance in accounts.items()
    }
    encoded[keccak(contract)] = encode_account(1, 0, storage.root, keccak(b""))
    state = update(db.__getitem__, BLANK_ROOT_HASH, encoded)
    for digest, node in (storage.nodes | state.nodes).items():
        db[digest] = node

    stock = AccountDB(db, state.root)
    assert {address: stock.get_balance(address) for address in accounts} == accounts
    assert {slot: stock.get_storage(contract, slot) for slot in slots} == slots

    for slot in range(50, 120):
        stock.set_storage(contract, slot, 0 if slot < 90 else slot * 2)
    for address in list(accounts)[:100]:
        stock.set_balance(address, accounts[address] + 1)
    for address in list(accounts)[100:200]:
        stock.delete_account(address)
    stock.persist()

    storage = update(
        db.__getitem__,
        storage.root,
        {
            keccak(slot.to_bytes(32, "big")): encode_slot(0 if slot < 90 else slot * 2)
            for slot in range(50, 120)
        },
    )
    encoded = {
        keccak(address): encode_account(0, balance + 1, BLANK_ROOT_HASH, keccak(b""))
        for address, balance in list(accounts.items())[:100]
    }
    encoded |= {keccak(address): b"" for address in list(accounts)[100:200]}
    encoded[keccak(contract)] = encode_account(1, 0, storage.root, keccak(b""))
    assert update(db.__getitem__, state.root, encoded).root == stock.state_root
