"""Shared by these tests: a case made by py-evm, and running what was written of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth.chains.base import MiningChain
from eth.consensus.applier import ConsensusApplier
from eth.consensus.noproof import NoProofConsensus
from eth.db.atomic import AtomicDB
from eth.typing import AccountState
from eth.vm.forks.cancun import CancunVM
from eth_utils.conversions import to_hex
from rlp import encode

from parallel_evm.conformance.as_json import state_to_json
from parallel_evm.conformance.blocktests.discovery import discover
from parallel_evm.conformance.blocktests.results import CaseResult
from parallel_evm.conformance.blocktests.run import run_conformance
from parallel_evm.conformance.recorded import read_block
from parallel_evm.conformance.subject import Stock
from parallel_evm.inputs import Node

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
            {"rlp": to_hex(encode(blocks[0])), "blockHeader": _header(blocks[0].header)},
            {"rlp": to_hex(encode(broken)), "expectException": "BlockException.INVALID_GAS_USED"},
            {"rlp": to_hex(encode(blocks[1])), "blockHeader": _header(blocks[1].header)},
        ],
        "lastblockhash": to_hex(blocks[1].hash),
        "postStateHash": to_hex(blocks[1].header.state_root),
    }


def run(path: Path, subject: Any = None) -> list[CaseResult]:
    return list(run_conformance(discover([path]), subject or Stock()).results)


def run_one(write_case: Write, entry: Entry, subject: Any = None) -> CaseResult:
    (result,) = run(write_case({"it": entry}), subject)
    return result


@pytest.fixture
def folders(tmp_path: Path, entry: Entry) -> Path:
    for folder, names in {"stA": "pqr", "stB": "s"}.items():
        (tmp_path / folder).mkdir()
        content = dict.fromkeys(names, entry)
        (tmp_path / folder / f"{folder}.json").write_text(json.dumps(content))
    content = {"t": entry | {"network": "Osaka"}, "u": entry}
    (tmp_path / "stB" / "more.json").write_text(json.dumps(content))
    return tmp_path


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
        fields[_NAMES.get(name, head + "".join(map(str.capitalize, rest)))] = to_hex(value)
    return fields | {"hash": to_hex(header.hash)}


def _transactions(case: dict[str, Any]) -> list[Any]:
    parts = [Node("case", "", case[part]) for part in ("block", "prestate")]
    return list(read_block("case", *parts, fork="cancun").decoded())
