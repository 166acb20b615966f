"""Logs are encoded, and filtered, as py-evm does it."""

from __future__ import annotations

import rlp
from eth.rlp.logs import Log
from eth_bloom import BloomFilter
from hypothesis import given
from hypothesis import strategies as st
from rlp.sedes import CountableList

from parallel_evm.speculation.logs import LogEntry, bloom_and_rlp

topics = st.lists(st.integers(0, 2**256 - 1) | st.integers(0, 2), max_size=4).map(tuple)
entries = st.tuples(
    st.integers(0, 9), st.binary(min_size=20, max_size=20), topics, st.binary(max_size=300)
)


@given(st.lists(entries, max_size=4))
def test_logs_are_encoded_as_their_sedes_does_it(logs: list[LogEntry]) -> None:
    expected = rlp.encode([Log(a, t, d) for _, a, t, d in logs], CountableList(Log))
    assert bloom_and_rlp(logs)[1] == expected


@given(st.lists(entries, max_size=5))
def test_blooms(logs: list[LogEntry]) -> None:
    values: list[bytes] = []
    for _, address, its_topics, _ in logs:
        values += [address, *(topic.to_bytes(32, "big") for topic in its_topics)]
    assert bloom_and_rlp(logs)[0] == int(BloomFilter.from_iterable(values))
