"""Runs one test case by a subject and says what to think of what came.

Valid blocks must be imported under the hash the case gives, invalid ones refused, the tip and the
post-state must be the expected ones. Cases that stock py-evm fails, and networks it does not know,
are kept apart from the subject's own failures. Where a case holds invalid blocks, the refusals are
compared with stock py-evm's by type and text.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from eth.abc import BlockHeaderAPI, ChainAPI
from eth.exceptions import PyEVMError
from eth.tools.fixtures.helpers import verify_state
from eth_utils.exceptions import ValidationError
from rlp.codec import decode
from rlp.exceptions import RLPException

from parallel_evm.conformance.blocktests.case import GENESIS, Case, CaseBlock
from parallel_evm.conformance.blocktests.networks import UnknownNetwork
from parallel_evm.conformance.blocktests.results import CaseId, CaseResult, Verdict, unusable
from parallel_evm.conformance.subject import Stock, Subject
from parallel_evm.conformance.walk import what_is_missing
from parallel_evm.inputs import InputError, Node

REFUSALS = (ValidationError, PyEVMError, RLPException, TypeError, ValueError, AssertionError)
"""The kinds of exception by which py-evm refuses a block; its own fixture runner accepts them."""


def run_case(case: CaseId, entry: Node, subject: Subject) -> CaseResult:
    """Import the blocks of one case and judge what came of them. Raises nothing for bad input."""
    started = time.perf_counter()
    subject.take_tally()
    try:
        result = _judge(case, Case.read(entry), subject)
    except InputError as problem:
        result = unusable(case, problem)
    except UnknownNetwork:
        detail = f"py-evm has no rules for network {case.network}"
        result = CaseResult(case, Verdict.UNKNOWN_NETWORK, detail)
    return replace(result, tally=subject.take_tally(), seconds=time.perf_counter() - started)


@dataclass(frozen=True)
class _Outcome:
    """One block offered to a chain: imported under `hash`, or refused with an exception."""

    hash: bytes | None
    refusal: str = ""
    by_rule: bool = False

    def __str__(self) -> str:
        return f"imported as 0x{self.hash.hex()}" if self.hash else f"refused: {self.refusal}"


def _judge(case: CaseId, content: Case, subject: Subject) -> CaseResult:
    outcomes, complaint = _run(content, subject)
    refused = sum(outcome.hash is None for outcome in outcomes)
    result = CaseResult(case, Verdict.PASSED, blocks=len(content.blocks), refused=refused)
    if not complaint and not refused:
        return result
    # Refused blocks have to be refused for py-evm's reason, in py-evm's words.
    stock_outcomes, stock_complaint = _run(content, Stock())
    difference = _first_difference(outcomes, stock_outcomes)
    if stock_complaint.startswith(GENESIS):
        return replace(result, verdict=Verdict.ERROR, detail=stock_complaint)
    if stock_complaint:
        # Nobody can say which result would be right, but whether there are two is worth knowing.
        differs = bool(difference) or complaint != stock_complaint
        detail = f"{stock_complaint}; the subject: {complaint}" if differs else stock_complaint
        return replace(
            result, verdict=Verdict.STOCK_FAILS, detail=detail, differs_from_stock=differs
        )
    if difference or complaint:
        return replace(result, verdict=Verdict.FAILED, detail=difference or complaint)
    return result


def _run(content: Case, subject: Subject) -> tuple[list[_Outcome], str]:
    """What became of each block, and the first expectation that was not met ("" if all were)."""
    try:
        chain = content.chain(subject)
    except REFUSALS as problem:
        return [], f"{GENESIS}: {type(problem).__name__}: {problem}"
    genesis = chain.get_canonical_head().hash
    if genesis != content.genesis_hash:
        expected = f"0x{content.genesis_hash.hex()}"
        return [], f"{GENESIS}.hash: the header hashes to 0x{genesis.hex()}, expected {expected}"

    outcomes: list[_Outcome] = []
    for position, block in enumerate(content.blocks):
        outcome = _offer(chain, block)
        outcomes.append(outcome)
        if outcome.hash != block.expected:
            expected = f"0x{block.expected.hex()}" if block.expected else "a refusal"
            return outcomes, f"blocks[{position}]: {outcome}, expected {expected}"
        if outcome.hash is None and not outcome.by_rule:
            return outcomes, f"blocks[{position}]: crashed: {outcome.refusal}"
    return outcomes, _tip_complaint(content, chain)


def _offer(chain: ChainAPI, block: CaseBlock) -> _Outcome:
    if block.encoded is None:
        return _Outcome(None, "not hexadecimal", by_rule=True)
    try:
        # A block may belong to another fork than the head's; its class decides how it is decoded.
        number = block.number
        vm_class = (
            type(chain.get_vm()) if number is None else chain.get_vm_class_for_block_number(number)  # type: ignore[arg-type]
        )
        decoded = decode(block.encoded, sedes=vm_class.get_block_class())  # type: ignore[no-untyped-call]
        imported = chain.import_block(decoded).imported_block
    except Exception as refusal:
        by_rule = isinstance(refusal, REFUSALS)
        text = " ".join(str(refusal).split())
        return _Outcome(None, f"{type(refusal).__name__}: {text}", by_rule)
    return _Outcome(imported.hash)


def _tip_complaint(content: Case, chain: ChainAPI) -> str:
    head = chain.get_canonical_head()
    if head.hash != content.tip:
        return f"lastblockhash: 0x{head.hash.hex()}, expected 0x{content.tip.hex()}"
    if content.post_root is not None and head.state_root != content.post_root:
        return f"postStateHash: 0x{head.state_root.hex()}, expected 0x{content.post_root.hex()}"
    if content.post is not None:
        try:
            verify_state(content.post, _state_at(chain, head))
        except AssertionError as difference:
            return f"postState: {' '.join(str(difference).split())}"
    missing = what_is_missing(chain.chaindb.db, head.state_root)
    return f"not written to the database: {missing}" if missing else ""


def _state_at(chain: ChainAPI, head: BlockHeaderAPI) -> Any:
    vm = chain.get_vm(head)
    return type(vm).get_state_class()(chain.chaindb.db, vm.state.execution_context, head.state_root)


_OBJECT_IDENTITY = re.compile(r" at 0x[0-9a-f]{6,}")


def _first_difference(ours: Sequence[_Outcome], stock: Sequence[_Outcome]) -> str:
    for position, (mine, specified) in enumerate(zip_longest(ours, stock)):
        if _OBJECT_IDENTITY.sub("", str(mine)) != _OBJECT_IDENTITY.sub("", str(specified)):
            return f"blocks[{position}]: {mine or 'not reached'}, but py-evm: {specified}"
    return ""
