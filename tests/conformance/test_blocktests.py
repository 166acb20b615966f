"""The runner of ethereum/tests: verdicts, discovery, bad input. Cases are made here by py-evm."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth.chains.base import MiningChain
from eth.consensus.applier import ConsensusApplier
from eth.consensus.noproof import NoProofConsensus
from eth.db.atomic import AtomicDB
from eth.typing import AccountState
from eth.vm.forks.cancun import CancunVM
from eth_utils import ValidationError
from rlp import encode

from parallel_evm.conformance.as_json import state_to_json
from parallel_evm.conformance.blocktests import (
    CaseResult,
    Verdict,
    discover,
    holds_cases,
    run_conformance,
)
from parallel_evm.conformance.subject import Stock, Tally

Entry = dict[str, Any]
Write = Callable[[Any], Path]


@pytest.fixture
def entry(state: AccountState, case: dict[str, Any]) -> Entry:
    """A BlockchainTest: two blocks to import, the second one's signature spoilt in a third."""
    vms = ConsensusApplier(NoProofConsensus).amend_vm_configuration(((0, CancunVM),))
    chain_class: Any = MiningChain.configure("Mining", vm_configuration=vms, chain_id=1)
    genesis = {"difficulty": 0, "gas_limit": 30_000_000, "timestamp": 1, "base_fee_per_gas": 7}
    chain: Any = chain_class.from_genesis(AtomicDB(), genesis, state)
    start = chain.get_canonical_head()
    transactions = _transactions(case)
    blocks = []
    for part in (transactions[:3], transactions[3:]):
        blocks.append(chain.mine_all(part)[0].imported_block)
    broken = blocks[1].copy(header=blocks[1].header.copy(gas_used=1, timestamp=2**40))
    return {
        "network": "Cancun",
        "sealEngine": "NoProof",
        "genesisBlockHeader": _header(start),
        "pre": state_to_json(state),
        "blocks": [
            {"rlp": _hex(encode(blocks[0])), "blockHeader": _header(blocks[0].header)},
            {"rlp": _hex(encode(broken)), "expectException": "BlockException.INVALID_GAS_USED"},
            {"rlp": _hex(encode(blocks[1])), "blockHeader": _header(blocks[1].header)},
        ],
        "lastblockhash": _hex(blocks[1].hash),
        "postStateHash": _hex(blocks[1].header.state_root),
    }


def run(path: Path, subject: Any = None) -> list[CaseResult]:
    return list(run_conformance(discover([path]), subject or Stock()).results)


def run_one(write_case: Write, entry: Entry, subject: Any = None) -> CaseResult:
    (result,) = run(write_case({"it": entry}), subject)
    return result


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


# -- a subject that is wrong -------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    """py-evm that does one thing wrong while it applies the transactions of a block."""

    spoil: Callable[[Any, Any], None]
    name: str = "wrong"

    def transform(self, vm_class: Any) -> Any:
        spoil = self.spoil

        class WrongVM(vm_class):  # type: ignore[misc]
            def apply_all_transactions(self, transactions: Any, base_header: Any) -> Any:
                spoil(self, base_header)
                return super().apply_all_transactions(transactions, base_header)

        return WrongVM

    def take_tally(self) -> Tally:
        return Tally()

    def renew(self) -> None:
        pass

    def close(self) -> None:
        pass


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
    result = run_one(write_case, entry, Wrong(spoil))
    assert result.verdict is Verdict.FAILED
    assert re.search(detail, result.detail), result.detail


def test_a_case_that_stock_fails_is_held_against_stock(write_case: Write, entry: Entry) -> None:
    entry["lastblockhash"] = "0x" + "11" * 32
    same = run_one(write_case, entry)
    assert (same.verdict, same.differs_from_stock) == (Verdict.STOCK_FAILS, False)
    other = run_one(write_case, entry, Wrong(pays_too_much))
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


# -- networks ----------------------------------------------------------------------------------


def test_an_unknown_network(write_case: Write, entry: Entry) -> None:
    result = run_one(write_case, entry | {"network": "Osaka"})
    assert result.verdict is Verdict.UNKNOWN_NETWORK
    assert result.detail == "py-evm has no rules for network Osaka"


def test_an_unknown_network_is_no_failure(write_case: Write, entry: Entry) -> None:
    content = {"known": entry, "unknown": entry | {"network": "Osaka"}}
    conformance = run_conformance(discover([write_case(content)]), Stock())
    assert conformance.exit_code == 0
    assert conformance.by_network() == {
        "Cancun": {Verdict.PASSED: 1},
        "Osaka": {Verdict.UNKNOWN_NETWORK: 1},
    }


@pytest.mark.parametrize(
    "network",
    ["Merge", "MergeToShanghaiAtTime15k", "ArrowGlacierToMergeAtDiffC0000", "MuirGlacier"],
)
def test_networks_that_py_evm_knows_by_another_name(
    network: str, write_case: Write, entry: Entry
) -> None:
    result = run_one(write_case, entry | {"network": network})
    assert result.detail.startswith("genesisBlockHeader"), "known, but the genesis is Cancun's"


@pytest.mark.parametrize("network", ["Cancun", "Homestead"])
def test_all_cases_of_a_network_have_the_same_classes(
    network: str, write_case: Write, entry: Entry
) -> None:
    """So that a subject makes one class of its own, and not one for each case."""
    given: list[Any] = []

    class Notes(Stock):
        def transform(self, vm_class: Any) -> Any:
            given.append(vm_class)
            return vm_class

    case = entry | {"network": network}
    run(write_case({"one": case, "other": case}), Notes())
    assert len(given) == 2
    assert given[0] is given[1]


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "detail"),
    [
        ("network", "network: missing"),
        ("blocks", "blocks: missing"),
        ("pre", "pre: missing"),
        ("lastblockhash", "lastblockhash: missing"),
        ("genesisBlockHeader", "genesisBlockHeader: missing"),
    ],
)
def test_a_missing_field_spoils_only_its_own_case(
    field: str, detail: str, write_case: Write, entry: Entry
) -> None:
    broken = {name: value for name, value in entry.items() if name != field}
    conformance = run_conformance(discover([write_case({"bad": broken, "good": entry})]), Stock())
    results = {result.case.name: result for result in conformance.results}
    assert results["good"].verdict is Verdict.PASSED
    assert results["bad"].verdict is Verdict.ERROR
    assert results["bad"].detail == detail
    assert conformance.exit_code == 2


def test_malformed_fields_are_named(write_case: Write, entry: Entry) -> None:
    entry["genesisBlockHeader"]["stateRoot"] = "0x12"
    result = run_one(write_case, entry)
    assert (result.verdict, result.detail) == (
        Verdict.ERROR,
        "genesisBlockHeader.stateRoot: expected 32 bytes, found 1",
    )


def test_a_valid_block_without_rlp(write_case: Write, entry: Entry) -> None:
    del entry["blocks"][0]["rlp"]
    assert run_one(write_case, entry).detail == "blocks[0].rlp: missing"


def test_broken_files_do_not_stop_the_others(tmp_path: Path, entry: Entry) -> None:
    (tmp_path / "a.json").write_text('{"x": ')
    (tmp_path / "b.json").write_text("[]")
    (tmp_path / "c.json").write_text(json.dumps({"it": entry})[:-30])
    (tmp_path / "d.json").write_text(json.dumps({"it": entry}))
    conformance = run_conformance(discover([tmp_path]), Stock())
    verdicts = {result.case.file.name: result.verdict for result in conformance.results}
    assert verdicts == {
        "a.json": Verdict.ERROR,
        "b.json": Verdict.ERROR,
        "c.json": Verdict.ERROR,
        "d.json": Verdict.PASSED,
    }
    assert "expected an object, found a list" in conformance.results[1].detail


def test_paths_without_cases_spoil_only_themselves(tmp_path: Path, entry: Entry) -> None:
    good, empty, nothing = (tmp_path / name for name in ("good.json", "empty", "nothing"))
    good.write_text(json.dumps({"x": entry}))
    (empty / "a-folder.json").mkdir(parents=True)
    found = discover([nothing, good, empty])
    assert [case.name for case in found.cases] == ["x"]
    assert {(str(it.case.file), it.detail) for it in found.unusable} == {
        (str(nothing), "no such file or folder"),
        (str(empty), "no JSON file in this folder"),
    }
    conformance = run_conformance(found, Stock())
    assert conformance.count(Verdict.PASSED) == 1
    assert conformance.exit_code == 2


def test_a_path_that_nobody_may_look_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(path: Path, *_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refuse)
        found = discover([tmp_path / "secret" / "a.json"])
    assert [result.detail for result in found.unusable] == ["Permission denied"]


def test_whether_a_file_holds_cases(tmp_path: Path, entry: Entry) -> None:
    contents = {
        "case": {"x": entry},
        "block": {"block": {}, "prestate": {}},
        "none": {},
        "list": [],
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "broken").write_text("{")
    assert [name for name in (*contents, "broken") if holds_cases(tmp_path / name)] == ["case"]


# -- discovery, jobs, results ------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path, entry: Entry) -> Path:
    for folder, names in {"stA": "pqr", "stB": "s"}.items():
        (tmp_path / folder).mkdir()
        content = dict.fromkeys(names, entry)
        (tmp_path / folder / f"{folder}.json").write_text(json.dumps(content))
    content = {"t": entry | {"network": "Osaka"}, "u": entry}
    (tmp_path / "stB" / "more.json").write_text(json.dumps(content))
    return tmp_path


def names(path: Path, **choice: Any) -> str:
    return "".join(case.name for case in discover([path], **choice).cases)


def test_match(folders: Path) -> None:
    assert names(folders) == "pqrtus"
    assert names(folders, match="stA") == "pqr"
    assert names(folders, match="::q") == "q"
    assert names(folders, match="*/stB/*::?") == "tus"
    assert names(folders, match="st?") == ""


def test_a_sample_spreads_over_folders_and_networks(folders: Path) -> None:
    for seed in range(5):
        chosen = names(folders, sample=3, seed=seed)
        assert len(chosen) == 3
        assert "t" in chosen
        assert set(chosen) & set("pqr")
        assert set(chosen) & set("us")
        assert chosen == names(folders, sample=3, seed=seed)
    assert names(folders, sample=100) == names(folders)


def test_nothing_to_run_is_not_success(folders: Path) -> None:
    assert run_conformance(discover([folders], match="st?"), Stock()).exit_code == 2


@pytest.mark.slow
def test_several_jobs_find_the_same(folders: Path) -> None:
    discovery = discover([folders])
    heard: list[CaseResult] = []
    alone = run_conformance(discovery, Stock())
    together = run_conformance(discovery, Stock(), jobs=2, progress=heard.append)
    assert [(r.case, r.verdict) for r in together.results] == [
        (r.case, r.verdict) for r in alone.results
    ]
    assert len(heard) == 6


def test_results_turn_into_json(folders: Path) -> None:
    conformance = run_conformance(discover([folders]), Stock())
    plain = json.loads(json.dumps(conformance.to_dict()))
    assert plain["totals"]["passed"] == 5
    assert plain["folders"] == {
        "stA": {"passed": 3},
        "stB": {"passed": 2, "unknown network": 1},
    }
    assert plain["cases"][0]["case"] == "p"


# -- helpers -----------------------------------------------------------------------------------

_NAMES = {
    "uncles_hash": "uncleHash",
    "transaction_root": "transactionsTrie",
    "receipt_root": "receiptTrie",
    "block_number": "number",
}


def _header(header: Any) -> Entry:
    fields = {}
    for name, value in header.as_dict().items():
        head, *rest = name.split("_")
        fields[_NAMES.get(name, head + "".join(map(str.capitalize, rest)))] = _hex(value)
    return fields | {"hash": _hex(header.hash)}


def _hex(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else hex(value)


def _transactions(case: dict[str, Any]) -> list[Any]:
    from parallel_evm.conformance.recorded import read_block
    from parallel_evm.inputs import Node

    parts = [Node("case", "", case[part]) for part in ("block", "prestate")]
    return list(read_block("case", *parts, fork="cancun").decoded())
