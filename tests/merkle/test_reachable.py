"""Of nodes made on the way to a state, those that it needs: no more, no fewer."""

from __future__ import annotations

from eth.constants import BLANK_ROOT_HASH, EMPTY_SHA3
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm.hashing import trie_key
from parallel_evm.merkle.codec import encode_account, encode_slot
from parallel_evm.merkle.reachable import reachable
from parallel_evm.merkle.update import update

ADDRESSES = st.integers(0, 15).map(lambda number: bytes([number]) * 20)
STATES = st.dictionaries(
    ADDRESSES, st.dictionaries(st.integers(0, 40), st.integers(0, 2**256 - 1), max_size=12)
)


def made_of(
    state: dict[bytes, dict[int, int]], nodes: dict[bytes, bytes], root: bytes
) -> tuple[bytes, dict[bytes, bytes]]:
    """The state trie at ``root`` with these accounts, and all nodes that were made for it."""
    made: dict[bytes, bytes] = {}
    accounts: dict[bytes, bytes] = {}
    for address, slots in state.items():
        values = {trie_key(slot.to_bytes(32, "big")): encode_slot(slots[slot]) for slot in slots}
        storage = update({}.__getitem__, BLANK_ROOT_HASH, values)
        made |= storage.nodes
        accounts[trie_key(address)] = encode_account(1, 5, storage.root, EMPTY_SHA3)
    done = update(nodes.__getitem__, root, accounts)
    return done.root, made | done.nodes


@given(STATES, STATES)
def test_what_a_state_needs(
    first: dict[bytes, dict[int, int]], then: dict[bytes, dict[int, int]]
) -> None:
    root, nodes = made_of(first, {}, BLANK_ROOT_HASH)
    last, more = made_of(then, nodes, root)
    expected_root, expected = made_of({**first, **then}, {}, BLANK_ROOT_HASH)
    assert last == expected_root
    assert reachable(nodes | more, last) == expected


def test_what_is_old_is_not_asked_for() -> None:
    root, nodes = made_of({bytes([n]) * 20: {n: n} for n in range(1, 12)}, {}, BLANK_ROOT_HASH)
    last, more = made_of({b"\x01" * 20: {1: 2}}, nodes, root)
    assert 0 < len(reachable(more, last)) == len(more) < len(nodes)
