"""Verdicts: what passes, whose fault it is where something does not, and bad input."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from eth.typing import AccountState
from eth_utils import ValidationError

from parallel_evm.conformance.as_json import state_to_json
from parallel_evm.conformance.blocktests.results import Verdict
from parallel_evm.conformance.subject import Stock
from tests.conformance.blocktests.conftest import Entry, Write, run_one


def test_a_case_that_passes(write_case: Write, entry: Entry) -> None:
    result = run_one(write_case, entry)
    assert (result.verdict, result.detail) == (Verdict.PASSED, "")
    assert (result.blocks, result.refused) == (3, 1)


def test_the_post_state_is_read_back(write_case: Write, entry: Entry, state: AccountState) -> None:
    wrong = state_to_json(state)
    del entry["postStateHash"]
    entry["postState"] = wrong
    result = run_one(write_case, entry)
    assert result.verdict is Verdict.STOCK_FAILS
    assert "postState: State DB did not match expected state" in result.detail


@dataclass(frozen=True)
class Wrong(Stock):
    """py-evm that does one thing wrong while it applies the transactions of a block."""

    spoil: Callable[[Any, Any], None] = field(kw_only=True)
    name: str = "wrong"

    def transform(self, vm_class: Any) -> Any:
        spoil = self.spoil

        class WrongVM(vm_class):  # type: ignore[misc]
            def apply_all_transactions(self, transactions: Any, base_header: Any) -> Any:
                spoil(self, base_header)
                return super().apply_all_transactions(transactions, base_header)

        return WrongVM


def pays_too_much(vm: Any, header: Any) -> None:
    vm.state.delta_balance(b"\x99" * 20, 1)


def crashes(vm: Any, header: Any) -> None:
    raise RuntimeError("worker 3 is gone")


def refuses_in_other_words(vm: Any, header: Any) -> None:
    if vm.get_header().timestamp == 2**40:
        raise ValidationError("I do not like it")


@pytest.mark.parametrize(
    ("spoil", "detail"),
    [
        (pays_too_much, r"blocks\[0\]: refused: .*state_root.* but py-evm: imported as 0x"),
        (crashes, r"blocks\[0\]: refused: RuntimeError: worker 3 is gone, but py-evm: imported"),
        (
            refuses_in_other_words,
            r"blocks\[1\]: .*do not like it, but py-evm: refused: Va",
        ),
    ],
)
def test_a_wrong_subject_fails(spoil: Any, detail: str, write_case: Write, entry: Entry) -> None:
    result = run_one(write_case, entry, Wrong(spoil=spoil))
    assert result.verdict is Verdict.FAILED
    assert re.search(detail, result.detail), result.detail


def test_a_case_that_stock_fails_is_held_against_stock(write_case: Write, entry: Entry) -> None:
    entry["lastblockhash"] = "0x" + "11" * 32
    same = run_one(write_case, entry)
    assert (same.verdict, same.differs_from_stock) == (Verdict.STOCK_FAILS, False)
    other = run_one(write_case, entry, Wrong(spoil=pays_too_much))
    assert (other.verdict, other.differs_from_stock) == (Verdict.STOCK_FAILS, True)
    assert "; the subject: blocks[0]: refused" in other.detail


@pytest.mark.parametrize("field", ["lastblockhash", "postStateHash"])
def test_a_wrong_expectation_is_not_the_subject_s_fault(
    field: str, write_case: Write, entry: Entry
) -> None:
    entry[field] = "0x" + "22" * 32
    result = run_one(write_case, entry)
    assert result.verdict is Verdict.STOCK_FAILS
    assert result.detail.startswith(f"{field}: 0x")


def test_a_genesis_block_that_does_not_fit_is_bad_input(write_case: Write, entry: Entry) -> None:
    header = entry["genesisBlockHeader"]
    other_time = {**header, "timestamp": hex(int(header["timestamp"], 16) + 1)}
    result = run_one(write_case, entry | {"genesisBlockHeader": other_time})
    assert result.verdict is Verdict.ERROR
    assert result.detail.startswith("genesisBlockHeader.hash: the header hashes to 0x")
    result = run_one(write_case, entry | {"pre": {}})
    assert result.verdict is Verdict.ERROR
    assert result.detail.startswith("genesisBlockHeader: ValidationError: ")


@pytest.mark.parametrize("rlp", ["0x", "0x7f", "0xc0", "0xf8"])
def test_a_block_whose_hash_is_another_s_is_bad_input(
    rlp: str, write_case: Write, entry: Entry
) -> None:
    told = "blocks[0].blockHeader.hash: not the hash of the header in the block's rlp"
    entry["blocks"][0]["rlp"], valid = rlp, entry["blocks"][0]["rlp"]
    result = run_one(write_case, entry)
    assert (result.verdict, result.detail) == (Verdict.ERROR, told)
    entry["blocks"][0]["rlp"] = valid
    entry["blocks"][0]["blockHeader"]["hash"] = "0x" + "22" * 32
    result = run_one(write_case, entry)
    assert (result.verdict, result.detail) == (Verdict.ERROR, told)


def test_an_invalid_block_that_is_accepted(write_case: Write, entry: Entry) -> None:
    del entry["blocks"][2]["blockHeader"]
    result = run_one(write_case, entry)
    assert result.verdict is Verdict.STOCK_FAILS
    assert "blocks[2]: imported as 0x" in result.detail
    assert "expected a refusal" in result.detail


def test_an_invalid_block_that_is_not_even_hexadecimal(write_case: Write, entry: Entry) -> None:
    entry["blocks"][1]["rlp"] = "0xnonsense"
    assert run_one(write_case, entry).verdict is Verdict.PASSED
