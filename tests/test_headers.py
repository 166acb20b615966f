"""The header that follows on another is py-evm's, whoever asks for it and with whatever given."""

from __future__ import annotations

from typing import Any

import pytest
from eth._utils import headers as py_evms
from eth.chains.tester import MAINNET_VMS
from eth.vm.forks.london.blocks import LondonBlockHeader
from eth.vm.forks.prague import PragueVM
from eth_utils import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from parallel_evm import parallelize
from parallel_evm.forks import FORKS, VM_CLASSES, since
from parallel_evm.headers import succession_of
from parallel_evm.rlp_objects import changed, header_class
from parallel_evm.workloads import build

NOW = 4_102_444_800
SINCE_THE_MERGE = since("paris")
PAIRS: dict[str, list[tuple[Any, Any]]] = {
    fork: [
        (stock, parallelize(stock, workers=1)) for stock in (VM_CLASSES[fork], MAINNET_VMS[fork])
    ]
    for fork in SINCE_THE_MERGE
}
"""py-evm's VM and the one that eth-tester uses, each beside the same in parallel."""
GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "coinbase": st.binary(min_size=20, max_size=20),
        "gas_limit": st.integers(5_000, 2**40),
        "timestamp": st.integers(0, 2**40),
    },
)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(py_evms, "eth_now", lambda: NOW)


def parent_of(fork: str, **fields: Any) -> Any:
    header = header_class(VM_CLASSES[fork])(difficulty=0, block_number=5, gas_limit=30_000_000)
    known = set(header._meta.field_names)
    return changed(header, **{name: value for name, value in fields.items() if name in known})


def same(found: Any, expected: Any) -> bool:
    return type(found) is type(expected) and found.as_dict() == expected.as_dict()


@pytest.mark.parametrize("fork", SINCE_THE_MERGE)
@pytest.mark.parametrize("before", ["frontier", "berlin", "gray-glacier", *SINCE_THE_MERGE])
@given(
    fields=st.fixed_dictionaries(
        {
            "gas_limit": st.integers(5_000, 2**40),
            "gas_used": st.integers(0, 2**40),
            "timestamp": st.integers(0, 2 * NOW),
            "base_fee_per_gas": st.integers(0, 2**70),
            "excess_blob_gas": st.integers(0, 2**30),
            "blob_gas_used": st.integers(0, 2**21),
            "state_root": st.binary(min_size=32, max_size=32),
            "extra_data": st.binary(max_size=32),
            "coinbase": st.binary(min_size=20, max_size=20),
        }
    ),
    given=GIVEN,
)
def test_after_any_parent(fork: str, before: str, fields: Any, given: Any) -> None:
    parent = parent_of(before, **fields)
    for stock, ours in PAIRS[fork]:
        expected = stock.create_header_from_parent(parent, **given)
        assert same(ours.succession.after(parent, given), expected)
        assert same(ours.create_header_from_parent(parent, **given), expected)


def test_no_header_of_another_fork_is_made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a header of London was made")

    parent = parent_of("prague")
    monkeypatch.setattr(LondonBlockHeader, "__init__", never)
    assert parallelize(PragueVM, workers=1).create_header_from_parent(parent).block_number == 6
    with pytest.raises(AssertionError, match="London"):  # stock py-evm does
        PragueVM.create_header_from_parent(parent)


def test_only_forks_since_the_merge_have_one() -> None:
    found = [fork for fork in FORKS if succession_of(VM_CLASSES[fork]) is not None]
    assert found == list(SINCE_THE_MERGE)


@pytest.mark.parametrize(
    "fields",
    [{"mix_hash": b"\x01" * 32}, {"extra_data": b"x"}, {"state_root": b"\x02" * 32}],
    ids=lambda fields: next(iter(fields)),
)
def test_other_fields_are_set_by_py_evm(fields: Any) -> None:
    parallel = parallelize(PragueVM, workers=1)
    found = parallel.create_header_from_parent(parent_of("prague"), **fields)
    assert same(found, PragueVM.create_header_from_parent(parent_of("prague"), **fields))
    assert {name: getattr(found, name) for name in fields} == fields


def test_what_py_evm_refuses_is_refused() -> None:
    for vm_class in (PragueVM, parallelize(PragueVM, workers=1)):
        with pytest.raises(TypeError, match="color"):
            vm_class.create_header_from_parent(parent_of("prague"), color=3)
        with pytest.raises(ValidationError, match="difficulty"):
            vm_class.create_header_from_parent(parent_of("prague"), difficulty=3)


FIELDS = {
    "coinbase": b"\x0c" * 20,
    "gas_limit": 7_000,
    "timestamp": 2 * NOW,
    "extra_data": b"x",
    "mix_hash": b"\x01" * 32,
}


@pytest.mark.parametrize("fork", FORKS)
def test_a_header_is_configured(fork: str) -> None:
    stock = build("transfers", transactions=1, fork=fork)
    chains = stock.open(), stock.open(parallelize(stock.chain_class, workers=1))
    for chain in chains:
        chain.mine_all(stock.blocks[0])
    for fields in ({}, FIELDS, {"extra_data": b"x"}):
        expected, found = (chain.get_vm().configure_header(**fields) for chain in chains)
        assert same(found, expected)
        assert {name: getattr(found, name) for name in fields} == fields
    for chain in chains:
        assert not chain.get_vm().get_header().extra_data
        with pytest.raises(ValidationError, match="only be used with the fields"):
            chain.get_vm().configure_header(gas_used=3)
    assert type(chains[1].get_vm()).has_plain_headers is (fork in SINCE_THE_MERGE)


def test_who_configures_in_another_way_is_asked() -> None:
    class Own(PragueVM):
        def configure_header(self, **fields: Any) -> Any:
            return super().configure_header(**{**fields, "extra_data": b"own"})

    scene = build("transfers", transactions=1, fork="prague")
    for vm_class in (Own, parallelize(Own, workers=1)):
        chain = scene.open(scene.chain_class.configure(vm_configuration=((0, vm_class),)))
        assert chain.get_vm().configure_header(gas_limit=7_000).extra_data == b"own"


def test_a_genesis_header_has_no_parent() -> None:
    fields = {"gas_limit": 5_000, "timestamp": 1}
    parallel = parallelize(PragueVM, workers=1)
    found = parallel.create_header_from_parent(None, **fields)
    assert same(found, PragueVM.create_header_from_parent(None, **fields))


def test_a_rule_of_ones_own_is_asked() -> None:
    class Own(PragueVM):
        @classmethod
        def create_header_from_parent(cls, parent_header: Any, **fields: Any) -> Any:
            made = PragueVM.create_header_from_parent(parent_header, **fields)
            return made.copy(extra_data=b"own")

    assert succession_of(Own) is None
    parallel = parallelize(Own, workers=1)
    assert parallel.create_header_from_parent(parent_of("prague")).extra_data == b"own"


def test_a_rule_on_top_of_a_parallel_vm_is_asked() -> None:
    class Own(parallelize(PragueVM, workers=1)):  # type: ignore[misc]
        @classmethod
        def create_header_from_parent(cls, parent_header: Any, **fields: Any) -> Any:
            return super().create_header_from_parent(parent_header, **fields, gas_limit=7_000)

    for vm_class in (Own, parallelize(Own, workers=1)):
        assert vm_class.create_header_from_parent(parent_of("prague")).gas_limit == 7_000
