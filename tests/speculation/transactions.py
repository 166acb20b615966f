"""Any transaction that py-evm's builders make, of every type and fork, nonsense for a signature."""

from __future__ import annotations

from typing import Any

from eth.vm.forks.prague.transactions import Authorization
from hypothesis import strategies as st

from parallel_evm.forks import FORKS, since
from parallel_evm.workloads.forks import fork

addresses = st.binary(min_size=20, max_size=20)


words = st.one_of(
    st.sampled_from([0, 1, 127, 128, 255, 256, 2**64, 2**256 - 1]), st.integers(0, 2**256 - 1)
)
data = st.one_of(st.binary(max_size=70), st.integers(0, 70_000).map(bytes))
accesses = st.lists(st.tuples(addresses, st.lists(words, max_size=3)), max_size=3)
authorisations = st.lists(
    st.builds(Authorization, words, addresses, words, st.integers(0, 1), words, words), max_size=3
)


@st.composite
def transactions(draw: Any) -> Any:
    name = draw(st.sampled_from(FORKS))
    builder: Any = fork(name).vm_class.get_transaction_builder()
    types = [0]
    for first, type_id in (("berlin", 1), ("london", 2), ("cancun", 3), ("prague", 4)):
        if name in since(first):
            types.append(type_id)
    type_id = draw(st.sampled_from(types))
    common = {
        "nonce": draw(words),
        "gas": draw(words),
        "to": draw(st.one_of(addresses, st.just(b""))),
        "value": draw(words),
        "data": draw(data),
    }
    r, s = draw(words), draw(words)
    if type_id == 0:
        v = draw(st.one_of(st.sampled_from([0, 26, 27, 28, 29, 34, 35, 36, 37, 38]), words))
        return builder.new_transaction(gas_price=draw(words), v=v, r=r, s=s, **common)
    common.update(
        chain_id=draw(words),
        access_list=draw(accesses),
        y_parity=draw(st.integers(0, 1)),
        r=r,
        s=s,
    )
    if type_id == 1:
        return builder.new_access_list_transaction(gas_price=draw(words), **common)
    common.update(max_fee_per_gas=draw(words), max_priority_fee_per_gas=draw(words))
    if type_id == 2:
        return builder.new_dynamic_fee_transaction(**common)
    if type_id == 3:
        return builder.new_blob_transaction(
            max_fee_per_blob_gas=draw(words),
            blob_versioned_hashes=draw(st.lists(st.binary(max_size=40), max_size=3)),
            **common,
        )
    return builder.new_set_code_transaction(authorization_list=draw(authorisations), **common)
