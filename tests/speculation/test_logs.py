"""Logs are encoded as py-evm encodes them."""

from __future__ import annotations

import rlp
from eth.rlp.logs import Log
from hypothesis import given
from hypothesis import strategies as st
from rlp.sedes import CountableList

from parallel_evm.speculation.logs import encode_logs

topics = st.lists(st.integers(0, 2**256 - 1), max_size=4).map(tuple)
entries = st.tuples(
    st.integers(0, 9), st.binary(min_size=20, max_size=20), topics, st.binary(max_size=300)
)


@given(st.lists(entries, max_size=4))
def test_logs_encode_as_their_sedes_does(logs) -> None:
    expected = rlp.encode([Log(a, t, d) for _, a, t, d in logs], CountableList(Log))
    assert encode_logs(logs) == expected
