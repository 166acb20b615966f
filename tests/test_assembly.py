"""Blocks are put together, and refused, as py-evm does it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import rlp
from eth.chains import base as chains
from eth.db.chain import ChainDB
from eth.db.trie import make_trie_root_and_nodes
from eth.vm.forks.london.transactions import LondonLegacyTransaction
from eth_utils import ValidationError

from parallel_evm import ParallelConfig, parallelize
from parallel_evm.rlp_objects import encoded
from parallel_evm.workloads import build

SERIAL = ParallelConfig(backend="serial", min_transactions=1)


@pytest.fixture(scope="module")
def scene() -> Any:
    return build("transfers", transactions=6, accounts=4, blocks=2)


def test_the_class_of_a_stock_vm_is_lean(scene) -> None:
    chain = scene.open(parallelize(scene.chain_class, config=SERIAL))
    assert chain.get_vm().lean


def test_a_vm_that_finalizes_blocks_its_own_way_is_asked(scene) -> None:
    (_, vm_class), *_ = scene.chain_class.vm_configuration

    class OwnFinalization(vm_class):
        asked = 0

        def finalize_block(self, block):
            type(self).asked += len(block.transactions)
            return super().finalize_block(block)

    Chain = scene.chain_class.configure(vm_configuration=((0, OwnFinalization),))
    parallel = scene.open(parallelize(Chain, config=SERIAL))
    expected = scene.open().mine_all(scene.blocks[0])[0].imported_block
    found = parallel.import_block(expected).imported_block
    assert found.hash == expected.hash
    assert type(parallel.get_vm()).asked == 6
    assert not parallel.get_vm().lean


def test_who_reads_debug_messages_gets_py_evms(scene, caplog: pytest.LogCaptureFixture) -> None:
    hashes = []
    for level in ("WARNING", "DEBUG"):
        caplog.clear()
        caplog.set_level(level, logger="eth")
        chain = scene.open(parallelize(scene.chain_class, config=SERIAL))
        hashes.append(chain.mine_all(scene.blocks[0])[0].imported_block.hash)
        assert ("unique node hashes" in caplog.text) is (level == "DEBUG")
    assert hashes[0] == hashes[1]


def test_no_transaction_is_copied_for_the_miners_own_fields(
    scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = scene.open(parallelize(scene.chain_class, config=SERIAL))

    def never(*_: Any) -> Any:
        raise AssertionError("a transaction was copied")

    monkeypatch.setattr(type(scene.blocks[0][0]._inner), "__deepcopy__", never)
    chain.mine_all(scene.blocks[0], extra_data=b"mine")
    with pytest.raises(AssertionError, match="copied"):  # stock py-evm does
        scene.open().mine_all(scene.blocks[0], extra_data=b"mine")


def test_the_miners_own_fields_are_set(scene) -> None:
    fields = {"coinbase": b"\x0c" * 20, "extra_data": b"mine"}
    blocks = [
        scene.open(chain_class).mine_all(scene.blocks[0], **fields)[0].imported_block
        for chain_class in (scene.chain_class, parallelize(scene.chain_class, config=SERIAL))
    ]
    assert blocks[0].hash == blocks[1].hash
    assert blocks[1].header.extra_data == b"mine"


def test_import_returns_the_blocks_that_became_canonical(scene) -> None:
    sequential = scene.open()
    parallel = scene.open(parallelize(scene.chain_class, config=SERIAL))
    for transactions in scene.blocks:
        block = sequential.mine_all(transactions)[0].imported_block
        result = parallel.import_block(block)
        for transaction in transactions:
            place = sequential.chaindb.get_transaction_index(transaction.hash)
            assert parallel.chaindb.get_transaction_index(transaction.hash) == place
        assert [b.hash for b in result.new_canonical_blocks] == [block.hash]
        assert result.old_canonical_blocks == ()
        again = parallel.get_block_by_hash(block.hash)
        assert again is not block
        assert rlp.encode(again) == rlp.encode(block)
        assert [r.encode() for r in again.get_receipts(parallel.chaindb)] == [
            r.encode() for r in block.get_receipts(sequential.chaindb)
        ]


@pytest.mark.parametrize(
    "field",
    ["transaction_root", "state_root", "uncles_hash", "parent_hash", "base_fee_per_gas"],
)
def test_a_wrong_block_is_refused_with_py_evms_words(scene, field: str) -> None:
    sequential = scene.open()
    parallel = scene.open(parallelize(scene.chain_class, config=SERIAL))
    block = sequential.mine_all(scene.blocks[0])[0].imported_block
    wrong = 12345 if field == "base_fee_per_gas" else bytes(31) + b"\x07"
    forged = block.copy(header=block.header.copy(**{field: wrong}))
    texts = []
    for chain in (scene.open(), parallel):
        vm = chain.get_vm(forged.header)
        with pytest.raises(Exception) as refusal:
            vm.validate_block(forged)
        texts.append((type(refusal.value), str(refusal.value)))
    assert texts[0] == texts[1]


def test_transactions_that_do_not_match_the_root_are_refused(scene) -> None:
    parallel = scene.open(parallelize(scene.chain_class, config=SERIAL))
    block = scene.open().mine_all(scene.blocks[0])[0].imported_block
    forged = block.copy(transactions=block.transactions[:-1])
    with pytest.raises(ValidationError):
        parallel.import_block(forged)
    assert parallel.import_block(block).imported_block.hash == block.hash


def test_the_root_of_one_blocks_transactions_is_not_taken_for_anothers(scene) -> None:
    parallel = scene.open(parallelize(scene.chain_class, config=SERIAL))
    block = scene.open().mine_all(scene.blocks[0])[0].imported_block
    vm = parallel.get_vm()
    made = vm.import_block(block).block
    vm.validate_block(made)
    with pytest.raises(ValidationError, match="transaction_root"):
        vm.validate_block(made.copy(transactions=block.transactions[:-1]))
    with pytest.raises(ValidationError, match="transaction_root"):
        vm.validate_block(made.copy(transactions=block.transactions[::-1]))
    vm.validate_block(made)


@pytest.mark.parametrize("backend", ["serial", "process"])
def test_a_transaction_is_encoded_once_for_an_import(
    scene, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ParallelConfig(backend=backend, workers=2, min_transactions=1)
    parallel = scene.open(parallelize(scene.chain_class, config=config))
    block = scene.open().mine_all(scene.blocks[0])[0].imported_block
    times: Counter[int] = Counter()

    def counted(item: Any) -> bytes:
        times[id(item)] += 1
        return encoded(item)

    monkeypatch.setattr("parallel_evm.assembly.encoded", counted)
    monkeypatch.setattr("parallel_evm.workers.parcel.encoded", counted)
    assert parallel.import_block(block).imported_block.hash == block.hash
    assert [times[id(transaction)] for transaction in block.transactions] == [1] * 6


def test_what_the_imported_block_is_compared_by_is_known_by_then(
    scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[bool] = []
    compare = chains.validate_imported_block_unchanged

    def watched(imported: Any, block: Any) -> None:
        known.extend(t._inner._hash_cache is not None for t in block.transactions)
        compare(imported, block)

    monkeypatch.setattr(chains, "validate_imported_block_unchanged", watched)
    block = scene.open().mine_all(scene.blocks[0])[0].imported_block
    again = rlp.decode(rlp.encode(block), sedes=type(block))
    scene.open(parallelize(scene.chain_class, config=SERIAL)).import_block(again)
    assert known == [True] * len(scene.blocks[0])


def test_what_has_no_hash_is_refused_for_what_is_wrong_with_it(scene) -> None:
    block: Any = scene.open().mine_all(scene.blocks[0])[0].imported_block
    sound = block.transactions[0]._inner.as_dict()
    odd = LondonLegacyTransaction(
        *(sound[name] for name in ("nonce", "max_fee_per_gas", "gas", "to", "value")),
        bytearray(b"data"),
        *(27, sound["r"], sound["s"]),
    )
    block = block.copy(transactions=(odd, *block.transactions[1:]))
    with pytest.raises(TypeError, match="unhashable"):
        hash(block)
    errors = []
    for chain_class in (scene.chain_class, parallelize(scene.chain_class, config=SERIAL)):
        with pytest.raises(Exception) as found:
            scene.open(chain_class).import_block(block)
        errors.append((found.type, found.value.args))
    assert errors[0] == errors[1]
    assert errors[0][0] is not TypeError


def test_a_list_that_changes_while_its_block_runs_is_listed_as_it_is_in_the_end(scene) -> None:
    (_, vm_class), *_ = scene.chain_class.vm_configuration

    class Reversing(vm_class):
        def transaction_applied_hook(self, index: int, transactions: Any, *_: Any) -> None:
            if index == 5:
                transactions.reverse()

    config = ParallelConfig(backend="process", workers=2, min_transactions=1)
    roots = []
    for chain_class in (
        scene.chain_class.configure(vm_configuration=((0, Reversing),)),
        parallelize(scene.chain_class.configure(vm_configuration=((0, Reversing),)), config=config),
    ):
        vm = scene.open(chain_class).get_vm()
        transactions = list(scene.blocks[0])
        header, receipts, _ = vm.apply_all_transactions(transactions, vm.get_header())
        assert transactions == list(scene.blocks[0])[::-1]
        block = vm.set_block_transactions_and_withdrawals(
            vm.get_block(), header, transactions, receipts
        )
        roots.append(block.header.transaction_root)
    assert roots[0] == roots[1] == make_trie_root_and_nodes(transactions)[0]


def test_the_database_is_what_stock_py_evm_makes_it(scene) -> None:
    sequential = scene.open()
    parallel = scene.open(parallelize(scene.chain_class, config=SERIAL))
    for transactions in scene.blocks:
        parallel.import_block(sequential.mine_all(transactions)[0].imported_block)
    stores = [dict(c.chaindb.db.wrapped_db.kv_store) for c in (sequential, parallel)]
    # py-evm also leaves what the tries were while they grew; of what is there, all is equal.
    assert stores[1].items() <= stores[0].items()
    places = [{k: v for k, v in s.items() if k.startswith(b"transaction-hash")} for s in stores]
    assert places[0] == places[1]
    assert len(places[0]) == 12


def test_a_chain_database_that_is_customised_is_left_alone(scene) -> None:
    class OwnPlaces(ChainDB):
        noted = 0

        @staticmethod
        def _add_transaction_to_canonical_chain(db, transaction_hash, block_header, index):
            OwnPlaces.noted += 1
            ChainDB._add_transaction_to_canonical_chain(db, transaction_hash, block_header, index)

    class Chain(scene.chain_class):
        chaindb_class = OwnPlaces

    parallel = scene.open(parallelize(Chain, config=SERIAL))
    block = scene.open().mine_all(scene.blocks[0])[0].imported_block
    parallel.import_block(block)
    assert type(parallel.chaindb) is OwnPlaces
    assert OwnPlaces.noted == 6
    assert parallelize(Chain, config=SERIAL).chaindb_class is OwnPlaces
