"""Loading recorded blocks: forks, hashes, and every kind of bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth.typing import AccountState
from eth.vm.forks.shanghai.withdrawals import Withdrawal

from parallel_evm.conformance.as_json import block_to_json, state_to_json
from parallel_evm.conformance.compose import Setting, compose
from parallel_evm.conformance.recorded import load
from parallel_evm.forks import FORKS, VM_CLASSES, since
from parallel_evm.inputs import InputError

Case = dict[str, Any]
Write = Callable[..., Path]


def test_a_case_comes_back_as_it_was_written(case: Case, write_case: Write) -> None:
    recording = load(write_case(case))
    assert recording.fork == "cancun"
    assert block_to_json(recording.header, recording.decoded()) == case["block"]
    assert state_to_json(recording.traces[0]) == case["prestate"]
    assert len(recording.block_hashes) == 256


def test_a_folder_is_the_same_block(write_folder: Write, case: Case) -> None:
    recording = load(write_folder())
    assert recording.header.hash.hex() == case["block"]["hash"][2:]
    assert len(recording.transactions) == 7


def test_block_hashes_are_optional(write_folder: Write) -> None:
    folder = write_folder()
    (folder / "block_hashes.json").unlink()
    recording = load(folder)
    assert recording.block_hashes == {999: recording.header.parent_hash}


def test_whole_rpc_answers_are_taken(write_folder: Write, case: Case) -> None:
    answers = {
        part: {"jsonrpc": "2.0", "id": 1, "result": case[part]} for part in ("block", "prestate")
    }
    assert load(write_folder(**answers)).number == 1000


@pytest.mark.parametrize("fork", [fork for fork in FORKS if fork not in ("frontier", "homestead")])
def test_every_type_of_transaction_of_a_fork_comes_back(
    fork: str, state: AccountState, write_case: Write
) -> None:
    transactions = _one_of_each_type(fork)
    withdrawals = (Withdrawal(1, 2, b"\x77" * 20, 3),) if fork in since("shanghai") else ()
    case = compose(Setting(fork, withdrawals=withdrawals), state, transactions)  # type: ignore[arg-type]
    recording = load(write_case(case))
    assert recording.fork == fork
    assert not recording.refused
    assert [made.hash for made in recording.decoded()] == [made.hash for made in transactions]
    assert recording.withdrawals == withdrawals
    assert recording.header.gas_used >= 21_000 * len(transactions)


# -- which fork --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "timestamp", "fork"),
    [
        (1, 1_438_269_988, "frontier"),
        (1_149_999, 1_457_981_342, "frontier"),
        (1_150_000, 1_457_981_393, "homestead"),
        (1_920_000, 1_469_020_840, "homestead"),
        (2_463_000, 1_476_796_771, "tangerine-whistle"),
        (2_675_000, 1_479_831_344, "spurious-dragon"),
        (4_370_000, 1_508_131_331, "byzantium"),
        (7_280_000, 1_551_383_524, "petersburg"),
        (9_069_000, 1_575_764_709, "istanbul"),
        (9_200_000, 1_577_953_849, "muir-glacier"),
        (12_244_000, 1_618_481_223, "berlin"),
        (12_965_000, 1_628_166_822, "london"),
        (13_773_000, 1_639_079_723, "arrow-glacier"),
        (15_050_000, 1_656_586_444, "gray-glacier"),
        (15_537_394, 1_663_224_179, "paris"),
        (17_034_869, 1_681_338_443, "paris"),
        (17_034_870, 1_681_338_455, "shanghai"),
        (19_426_587, 1_710_338_135, "cancun"),
        (22_431_084, 1_746_612_311, "prague"),
    ],
)
def test_mainnet_forks_by_number_and_time(
    number: int, timestamp: int, fork: str, state: AccountState, write_case: Write
) -> None:
    case = compose(Setting(fork, number=number, timestamp=timestamp), state, [])
    del case["fork"]
    assert load(write_case(case)).fork == fork


def test_a_fork_py_evm_does_not_know(state: AccountState, write_case: Write) -> None:
    case = compose(Setting("prague", number=23_935_694, timestamp=1_764_798_551), state, [])
    del case["fork"]
    path = write_case(case)
    with pytest.raises(InputError, match=r"block\.timestamp: a block of osaka, which py-evm"):
        load(path)
    assert load(path, "Prague").fork == "prague"


@pytest.mark.parametrize("fork", ["london", "paris", "shanghai", "cancun", "prague"])
def test_another_chain_is_known_by_its_header(
    fork: str, state: AccountState, write_case: Write
) -> None:
    case = compose(Setting(fork, number=3, chain_id=31337), state, [])
    if fork == "london":
        case["block"]["difficulty"] = "0x20000"
    del case["fork"]
    path = write_case(case)
    if fork == "london":
        with pytest.raises(InputError, match=r"block\.hash: the header hashes to"):
            load(path)
    else:
        assert load(path).fork == fork


def test_another_chain_before_london_needs_a_name(state: AccountState, write_case: Write) -> None:
    case = compose(Setting("berlin", number=3, chain_id=31337), state, [])
    del case["fork"]
    with pytest.raises(InputError, match="cannot tell the fork"):
        load(write_case(case))


def test_an_unknown_fork(case: Case, write_case: Write) -> None:
    with pytest.raises(InputError, match=r"case\.json: fork: unknown fork 'amsterdam'; one of fro"):
        load(write_case(case), "amsterdam")


# -- bad input ---------------------------------------------------------------------------------


def test_a_header_that_does_not_hash_to_its_hash(case: Case, write_case: Write) -> None:
    case["block"]["gasUsed"] = "0x1"
    with pytest.raises(InputError, match=r"case\.json: block\.hash: the header hashes to 0x"):
        load(write_case(case))


def test_the_wrong_fork_for_a_header(case: Case, write_case: Write) -> None:
    with pytest.raises(InputError, match=r"block\.hash: the header hashes to .* not shanghai"):
        load(write_case(case), "shanghai")


def test_a_header_of_an_older_fork(case: Case, write_case: Write) -> None:
    with pytest.raises(InputError, match=r"block\.requestsHash: missing"):
        load(write_case(case), "prague")


def test_a_transaction_that_does_not_hash_to_its_hash(case: Case, write_case: Write) -> None:
    case["block"]["transactions"][2]["value"] = "0x5"
    with pytest.raises(InputError, match=r"block\.transactions\[2\]\.hash: the transaction hash"):
        load(write_case(case))


def test_transactions_by_hash_only(write_folder: Write, case: Case) -> None:
    transactions = [transaction["hash"] for transaction in case["block"]["transactions"]]
    folder = write_folder(block=case["block"] | {"transactions": transactions})
    with pytest.raises(InputError, match=r"block\.json: transactions\[0\]: only a hash"):
        load(folder)


def test_a_type_the_fork_does_not_have(case: Case, write_case: Write) -> None:
    case["block"]["transactions"][0]["type"] = "0x4"
    with pytest.raises(InputError, match=r"transactions\[0\]\.type: cancun has no type 4"):
        load(write_case(case))


@pytest.mark.parametrize("field", ["gasUsed", "number", "hash", "transactions", "stateRoot"])
def test_a_missing_field_of_the_block(case: Case, write_case: Write, field: str) -> None:
    del case["block"][field]
    with pytest.raises(InputError, match=rf"case\.json: block\.{field}: missing"):
        load(write_case(case))


def test_a_malformed_field_of_an_account(case: Case, write_case: Write) -> None:
    address = next(iter(case["prestate"]))
    case["prestate"][address]["balance"] = "much"
    with pytest.raises(InputError, match=rf"prestate\.{address}\.balance: expected a number"):
        load(write_case(case))


def test_an_address_that_is_none(case: Case, write_case: Write) -> None:
    case["prestate"]["0x12"] = {"balance": "0x1"}
    with pytest.raises(InputError, match=r"prestate\.0x12: expected 20 bytes, found 1"):
        load(write_case(case))


@pytest.mark.parametrize("part", ["block", "prestate"])
def test_a_part_of_the_folder_is_missing(write_folder: Write, part: str) -> None:
    folder = write_folder()
    (folder / f"{part}.json").unlink()
    with pytest.raises(InputError, match=rf"1000/{part}\.json: No such file"):
        load(folder)


def test_a_truncated_file(write_folder: Write, case: Case) -> None:
    folder = write_folder(prestate=json.dumps(case["prestate"])[:-20])
    with pytest.raises(InputError, match=r"prestate\.json: not valid JSON"):
        load(folder)


def test_a_parent_hash_that_contradicts_the_header(case: Case, write_case: Write) -> None:
    case["block_hashes"]["999"] = "0x" + "00" * 32
    with pytest.raises(InputError, match=r"block_hashes: block 999 is not the header's parentHash"):
        load(write_case(case))


def test_a_trace_that_failed(write_folder: Write) -> None:
    folder = write_folder(prestate=[{"result": {}}, {"error": "execution timeout"}])
    with pytest.raises(InputError, match=r"prestate\.json: \[1\]\.error: .*execution timeout"):
        load(folder)


# -- helpers -----------------------------------------------------------------------------------


def _one_of_each_type(fork: str) -> list[Any]:
    from eth_keys.datatypes import PrivateKey

    builder: Any = VM_CLASSES[fork].get_transaction_builder()
    key = PrivateKey(b"\x01" * 32)
    to = b"\xcc" * 20
    fees = {"max_priority_fee_per_gas": 1, "max_fee_per_gas": 100}
    common = {"gas": 200_000, "to": to, "value": 1, "data": b"\x01"}
    typed = common | {"chain_id": 1, "access_list": [(to, [0, 2**255])]}
    made = [
        builder.create_unsigned_transaction(nonce=0, gas_price=100, **common).as_signed_transaction(
            key, chain_id=1
        )
    ]
    if fork in since("berlin"):
        made.append(builder.new_unsigned_access_list_transaction(nonce=1, gas_price=100, **typed))
    if fork in since("london"):
        made.append(builder.new_unsigned_dynamic_fee_transaction(nonce=2, **typed, **fees))
    if fork in since("cancun"):
        made.append(
            builder.new_unsigned_blob_transaction(
                nonce=3,
                max_fee_per_blob_gas=100,
                blob_versioned_hashes=[b"\x01" + b"\x22" * 31],
                **typed,
                **fees,
            )
        )
    if fork in since("prague"):
        authorization = {
            "chain_id": 1,
            "address": to,
            "nonce": 0,
            "y_parity": 0,
            "r": 1,
            "s": 1,
        }
        made.append(
            builder.new_unsigned_set_code_transaction(
                nonce=4, authorization_list=[authorization], **typed, **fees
            )
        )
    return [made[0]] + [unsigned.as_signed_transaction(key) for unsigned in made[1:]]
