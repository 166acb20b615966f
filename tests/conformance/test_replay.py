"""Replay: what is compared, that a wrong executor is caught, and recordings that lack something."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eth.exceptions import VMError
from eth.typing import AccountState

from parallel_evm.conformance.compose import Setting, compose
from parallel_evm.conformance.recorded import load
from parallel_evm.conformance.replay import BlockReplay, Unusable, replay, run_replay
from parallel_evm.conformance.subject import Stock
from parallel_evm.forks import VM_CLASSES
from parallel_evm.inputs import InputError

Case = dict[str, Any]
Write = Callable[..., Path]


def test_a_block_equals_itself(case: Case, write_case: Write) -> None:
    result = replay(load(write_case(case)), Stock())
    assert result.equal
    assert (result.number, result.fork, result.transactions) == (1000, "cancun", 7)
    assert result.gas_used == int(case["block"]["gasUsed"], 16)
    assert [check.name for check in result.not_compared] == ["state root"]
    compared = [check.name for check in result.against_header if check.equal]
    assert compared == [
        "transactions root",
        "gas used",
        "bloom",
        "receipts root",
        "withdrawals root",
        "blob gas used",
    ]
    assert json.loads(json.dumps(result.to_dict()))["equal"] is True


def test_nobody_pays_for_what_the_run_before_has_left_behind(
    case: Case, write_case: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the subject nor stock py-evm: garbage is collected before each is timed."""
    order: list[str] = []

    def noting(what: str) -> Any:
        return lambda: order.append(what) or 0.0  # type: ignore[func-returns-value]

    module = "parallel_evm.conformance.replay"
    monkeypatch.setattr(f"{module}.gc", SimpleNamespace(collect=noting("collected")))
    monkeypatch.setattr(f"{module}.time", SimpleNamespace(perf_counter=noting("timed")))
    replay(load(write_case(case)), Stock(), repeats=2)
    assert order == ["collected", "timed", "timed"] * 5


@pytest.mark.parametrize("fork", ["frontier", "tangerine-whistle", "spurious-dragon"])
def test_receipts_before_byzantium_cannot_be_held_against_the_header(
    fork: str, state: AccountState, write_case: Write
) -> None:
    result = replay(load(write_case(compose(Setting(fork), state, []))), Stock())
    assert result.equal
    assert [check.name for check in result.not_compared] == ["receipts root", "state root"]


# -- a subject that is wrong -------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong(Stock):
    """py-evm with one result changed after the fact."""

    spoil: Callable[[Any, Any, Any, Any], tuple[Any, Any, Any]] = field(kw_only=True)
    name: str = "wrong"

    def transform(self, vm_class: Any) -> Any:
        spoil = self.spoil

        class WrongVM(vm_class):  # type: ignore[misc]
            def apply_all_transactions(self, transactions: Any, base_header: Any) -> Any:
                done = super().apply_all_transactions(transactions, base_header)
                return spoil(self, *done)

        return WrongVM


def lost_log(vm: Any, header: Any, receipts: Any, computations: Any) -> Any:
    index = next(i for i, receipt in enumerate(receipts) if receipt.logs)
    inner = receipts[index]._inner
    receipts[index]._inner = type(inner)(inner.state_root, inner.gas_used, (), inner.bloom)
    return header, receipts, computations


def other_gas(vm: Any, header: Any, receipts: Any, computations: Any) -> Any:
    return header.copy(gas_used=header.gas_used + 1), receipts, computations


def other_bloom(vm: Any, header: Any, receipts: Any, computations: Any) -> Any:
    return header.copy(bloom=header.bloom ^ 1), receipts, computations


def other_state(vm: Any, header: Any, receipts: Any, computations: Any) -> Any:
    vm.state.delta_balance(b"\x99" * 20, 1)
    return header, receipts, computations


def other_error(vm: Any, header: Any, receipts: Any, computations: Any) -> Any:
    failed = next(computation for computation in computations if computation.is_error)
    failed._error = VMError("something else")
    return header, receipts, computations


def other_output(vm: Any, header: Any, receipts: Any, computations: Any) -> Any:
    failed = next(computation for computation in computations if computation.is_error)
    failed.output = b"other"
    return header, receipts, computations


def raises(vm: Any, header: Any, receipts: Any, computations: Any) -> Any:
    raise RuntimeError("worker 3 is gone")


@pytest.mark.parametrize(
    ("spoil", "caught"),
    [
        (lost_log, {"receipts", "logs"}),
        (other_gas, {"gas used"}),
        (other_bloom, {"bloom"}),
        (other_state, {"state root"}),
        (other_error, {"outputs and errors"}),
        (other_output, {"outputs and errors"}),
    ],
)
def test_one_wrong_result_is_caught_and_named(
    spoil: Any, caught: set[str], case: Case, write_case: Write
) -> None:
    result = replay(load(write_case(case)), Wrong(spoil=spoil))
    assert not result.equal
    expected = {f"{name}, {run}" for name in caught for run in ("cold", "warm")}
    assert {check.name for check in result.differences} == expected


def test_an_executor_that_raises_is_a_difference(case: Case, write_case: Write) -> None:
    result = replay(load(write_case(case)), Wrong(spoil=raises))
    refusal = next(c for c in result.differences if c.name == "refusal, cold")
    assert "RuntimeError: worker 3 is gone" in refusal.detail


# -- blocks that py-evm refuses ----------------------------------------------------------------


@pytest.fixture
def refused(state: AccountState) -> Case:
    """The third transaction's nonce is too high."""
    from eth_keys.datatypes import PrivateKey

    builder: Any = VM_CLASSES["cancun"].get_transaction_builder()
    transactions = [
        builder.create_unsigned_transaction(
            nonce=nonce, gas_price=100, gas=21_000, to=b"\x99" * 20, value=1, data=b""
        ).as_signed_transaction(PrivateKey(b"\x01" * 32), chain_id=1)
        for nonce in (0, 1, 3)
    ]
    return compose(Setting("cancun"), state, transactions)


def test_a_refused_block_must_be_refused_alike(refused: Case, write_case: Write) -> None:
    assert refused["refused"] is True
    recording = load(write_case(refused))
    assert replay(recording, Stock()).equal
    differing = replay(recording, Wrong(spoil=other_gas))
    assert differing.equal, "the refusal comes before anything could be spoilt"


def test_a_block_said_to_be_refused_that_is_not(case: Case, write_case: Write) -> None:
    case["refused"] = True
    with pytest.raises(InputError, match="refused: true, but py-evm accepts the block"):
        replay(load(write_case(case)), Stock())


def test_a_refused_block_that_is_said_to_be_good(refused: Case, write_case: Write) -> None:
    refused["refused"] = False
    with pytest.raises(InputError, match=r"json: transactions\[2\]: py-evm refuses it: .*non"):
        replay(load(write_case(refused)), Stock())


# -- recordings that lack something ------------------------------------------------------------


def test_a_missing_sender(case: Case, write_case: Write) -> None:
    sender = case["block"]["transactions"][3]["from"]
    del case["prestate"][sender]
    with pytest.raises(InputError, match=rf"case\.json: {sender}: missing account, the sender of "):
        replay(load(write_case(case)), Stock())


def test_a_missing_contract(case: Case, write_folder: Write) -> None:
    counter = "0x" + "cc" * 20
    prestate = {address: it for address, it in case["prestate"].items() if address != counter}
    with pytest.raises(InputError, match=rf"1000/prestate\.json: .*{counter}.*gas used \d+, expec"):
        replay(load(write_folder(prestate=prestate)), Stock())


def test_a_changed_slot(case: Case, write_case: Write) -> None:
    case["prestate"]["0x" + "cc" * 20]["storage"] = {}
    with pytest.raises(InputError, match="does not reproduce the header: gas used"):
        replay(load(write_case(case)), Stock())


def test_a_missing_ancestor(case: Case, write_case: Write) -> None:
    del case["block_hashes"]["997"]
    with pytest.raises(InputError, match=r"case\.json: 997: missing, and BLOCKHASH asks for it"):
        replay(load(write_case(case)), Stock())


def test_bad_input_spoils_only_its_own_block(
    case: Case, write_case: Write, write_folder: Write
) -> None:
    good, bad = write_case(case), write_folder(block="{")
    heard: list[BlockReplay | Unusable] = []
    replays = run_replay([bad, good], Stock(), progress=heard.append)
    assert tuple(heard) == replays.results
    assert isinstance(replays.results[0], Unusable)
    assert "block.json: not valid JSON" in replays.results[0].reason
    assert [block.equal for block in replays.blocks] == [True]
    assert replays.exit_code == 2
    assert run_replay([good], Stock()).exit_code == 0
    assert run_replay([bad, good], Wrong(spoil=other_gas)).exit_code == 1
    assert json.loads(json.dumps(replays.to_dict()))["blocks"][0]["error"]


def test_nothing_to_replay_is_not_success() -> None:
    assert run_replay([], Stock()).exit_code == 2
