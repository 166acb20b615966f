"""Runs the BlockchainTests of ethereum/tests: chains of blocks with what must become of each.

A case is imported block by block into a chain whose VMs the subject made. Valid blocks must be
imported under the hash the case gives, invalid ones refused, the tip and the post-state must be
the expected ones. Cases that stock py-evm fails, and networks it does not know, are kept apart
from the subject's own failures. Where a case holds invalid blocks, the refusals are compared with
stock py-evm's by type and text.

The source of format and networks is https://ethereum-tests.readthedocs.io (BlockchainTests) and
py-evm's own fixture helpers. This module neither prints nor knows how a subject works.
"""

from __future__ import annotations

import fnmatch
import logging
import multiprocessing
import random
import re
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from eth.abc import BlockHeaderAPI, ChainAPI
from eth.chains.mainnet import MainnetChain
from eth.db.atomic import AtomicDB
from eth.exceptions import PyEVMError
from eth.tools.fixtures.helpers import (
    chain_vm_configuration,
    genesis_params_from_fixture,
    verify_state,
)
from eth.typing import AccountState
from eth_typing import Address
from eth_utils.exceptions import ValidationError
from rlp.codec import decode, encode
from rlp.exceptions import RLPException

from parallel_evm.conformance.subject import Stock, Subject, Tally
from parallel_evm.conformance.walk import what_is_missing
from parallel_evm.forks import VM_CLASSES, VmClass, without_proof
from parallel_evm.hashing import keccak
from parallel_evm.inputs import BLOOM_BITS, InputError, Node, read_json

REFUSALS = (ValidationError, PyEVMError, RLPException, TypeError, ValueError, AssertionError)
"""The kinds of exception by which py-evm refuses a block; its own fixture runner accepts them."""

SAME_RULES = {
    "Merge": "Paris",
    "ArrowGlacierToMergeAtDiffC0000": "ArrowGlacierToParisAtDiffC0000",
    "MergeToShanghaiAtTime15k": "ParisToShanghaiAtTime15k",
}
"""Networks that older releases of ethereum/tests call by another name than py-evm does."""

DIFFICULTY_BOMB_FORKS = {
    "MuirGlacier": VM_CLASSES["muir-glacier"],
    "ArrowGlacier": VM_CLASSES["arrow-glacier"],
    "GrayGlacier": VM_CLASSES["gray-glacier"],
}
"""Forks that py-evm has and its fixture helper leaves out."""


GENESIS = "genesisBlockHeader"


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    STOCK_FAILS = "stock fails"
    UNKNOWN_NETWORK = "unknown network"
    ERROR = "error"


@dataclass(frozen=True)
class CaseId:
    """One test case: which file, which entry of it. `folder` is the file's folder, for tables."""

    file: Path
    name: str
    network: str

    @property
    def folder(self) -> str:
        return self.file.parent.name

    def __str__(self) -> str:
        return f"{self.file.name}::{self.name}"


@dataclass(frozen=True)
class CaseResult:
    """What became of one case. `detail` is empty for a case that passed; seconds are wall time.

    `differs_from_stock` marks a case that stock py-evm fails and the subject fails in another way
    (or passes): not counted as a failure, since the case cannot tell who is right.
    """

    case: CaseId
    verdict: Verdict
    detail: str = ""
    blocks: int = 0
    refused: int = 0
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    differs_from_stock: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": str(self.case.file),
            "case": self.case.name,
            "folder": self.case.folder,
            "network": self.case.network,
            "verdict": str(self.verdict),
            "detail": self.detail,
            "differs_from_stock": self.differs_from_stock,
            "blocks": self.blocks,
            "refused": self.refused,
            "seconds": round(self.seconds, 4),
            "execution": self.tally.to_dict(),
        }


@dataclass(frozen=True)
class Discovery:
    """The cases found, and a result of verdict ERROR for each file or case that cannot be read."""

    cases: tuple[CaseId, ...]
    unusable: tuple[CaseResult, ...] = ()


@dataclass(frozen=True)
class Conformance:
    """Every case's result, in the order of discovery."""

    subject: str
    results: tuple[CaseResult, ...]
    seconds: float

    def count(self, verdict: Verdict) -> int:
        return sum(result.verdict is verdict for result in self.results)

    @property
    def tally(self) -> Tally:
        return sum((result.tally for result in self.results), Tally())

    @property
    def exit_code(self) -> int:
        """1 if a case failed that stock py-evm passes, else 2 if input was unusable, else 0."""
        if self.count(Verdict.FAILED):
            return 1
        return 2 if self.count(Verdict.ERROR) or not self.results else 0

    def by_folder(self) -> dict[str, Counter[Verdict]]:
        return self._table(lambda case: case.folder)

    def by_network(self) -> dict[str, Counter[Verdict]]:
        return self._table(lambda case: case.network)

    def to_dict(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "seconds": round(self.seconds, 3),
            "totals": {str(verdict): self.count(verdict) for verdict in Verdict},
            "execution": self.tally.to_dict(),
            "folders": _plain(self.by_folder()),
            "networks": _plain(self.by_network()),
            "cases": [result.to_dict() for result in self.results],
        }

    def _table(self, key: Callable[[CaseId], str]) -> dict[str, Counter[Verdict]]:
        table: dict[str, Counter[Verdict]] = defaultdict(Counter)
        for result in self.results:
            table[key(result.case)][result.verdict] += 1
        return dict(sorted(table.items()))


def discover(
    paths: Iterable[Path],
    match: str | None = None,
    sample: int | None = None,
    seed: int = 0,
) -> Discovery:
    """The test cases in files and, recursively, in folders.

    `match` keeps the cases whose file path and name contain the text, or match it as a shell
    pattern. `sample` keeps that many, chosen by `seed` so that folders and networks are all
    represented as far as the number reaches. What cannot be read (no such path, a folder without
    JSON files, a broken file or entry) is listed beside the cases and spoils none of them.
    """
    cases: list[CaseId] = []
    unusable: list[CaseResult] = []
    for path in paths:
        try:
            files = _json_files(path)
        except InputError as problem:
            unusable.append(_unusable(CaseId(path, "", ""), problem))
            continue
        for file in files:
            _read_cases(file, cases, unusable)
    if match is not None:
        cases = [case for case in cases if _matches(case, match)]
    if sample is not None:
        cases = _spread(cases, sample, seed)
    return Discovery(tuple(cases), tuple(unusable))


def holds_cases(file: Path) -> bool:
    """Whether a file's content is that of BlockchainTests: every entry names its network."""
    try:
        entries = [entry for _, entry in read_json(file).members()]
        return bool(entries) and all(entry.has("network") for entry in entries)
    except InputError:
        return False


def run_conformance(
    discovery: Discovery,
    subject: Subject,
    jobs: int = 1,
    progress: Callable[[CaseResult], None] = lambda result: None,
) -> Conformance:
    """Run every case found; `progress` hears of each result as it comes, in no fixed order.

    `jobs` is the number of processes that run files side by side; with 1 nothing is started.
    """
    started = time.perf_counter()
    done: dict[CaseId, CaseResult] = {}
    for result in discovery.unusable:
        done[result.case] = result
        progress(result)
    for result in _run_files(_by_file(discovery.cases), subject, jobs):
        done[result.case] = result
        progress(result)
    order = [result.case for result in discovery.unusable] + list(discovery.cases)
    results = tuple(done[case] for case in order)
    return Conformance(subject.name, results, time.perf_counter() - started)


def run_case(case: CaseId, entry: Node, subject: Subject) -> CaseResult:
    """Import the blocks of one case and judge what came of them. Raises nothing for bad input."""
    started = time.perf_counter()
    subject.take_tally()
    try:
        result = _judge(case, _Case.read(entry), subject)
    except InputError as problem:
        result = _unusable(case, problem)
    except UnknownNetwork:
        detail = f"py-evm has no rules for network {case.network}"
        result = CaseResult(case, Verdict.UNKNOWN_NETWORK, detail)
    return replace(result, tally=subject.take_tally(), seconds=time.perf_counter() - started)


class UnknownNetwork(Exception):
    """py-evm has no rules for the network a case names."""


@dataclass(frozen=True)
class _Block:
    """A block of a case. `expected` is its hash; None where it must be refused.

    `encoded` is None where the case's text is not even hexadecimal.
    """

    encoded: bytes | None
    expected: bytes | None
    number: int | None


@dataclass(frozen=True)
class _Case:
    """A case in py-evm's terms."""

    vm_configuration: tuple[tuple[int, VmClass], ...]
    proof_of_work: bool
    genesis_params: dict[str, Any]
    genesis_hash: bytes
    pre: AccountState
    blocks: tuple[_Block, ...]
    tip: bytes
    post: AccountState | None
    post_root: bytes | None

    @classmethod
    def read(cls, entry: Node) -> _Case:
        """Raises InputError for a missing or malformed field, UnknownNetwork."""
        genesis = entry.member(GENESIS)
        blocks = tuple(entry.member("blocks").items())
        post = entry.optional("postState")
        post_root = entry.optional("postStateHash")
        seal = entry.optional("sealEngine")
        return cls(
            vm_configuration=_vm_configuration(entry, blocks),
            proof_of_work=seal is None or seal.text() != "NoProof",
            genesis_params=_genesis_params(genesis),
            genesis_hash=genesis.member("hash").data(32),
            pre=_accounts(entry.member("pre")),
            blocks=tuple(_block(block) for block in blocks),
            tip=entry.member("lastblockhash").data(32),
            post=None if post is None else _accounts(post),
            post_root=None if post_root is None else post_root.data(32),
        )

    def chain(self, subject: Subject) -> ChainAPI:
        """A new chain that holds the genesis block, its VMs made by the subject."""
        chain_class = MainnetChain.configure(
            "CaseChain",
            vm_configuration=tuple(
                (
                    first_block,
                    subject.transform(vm_class if self.proof_of_work else without_proof(vm_class)),
                )
                for first_block, vm_class in self.vm_configuration
            ),
        )
        chain: ChainAPI = chain_class.from_genesis(AtomicDB(), self.genesis_params, self.pre)
        return chain


@dataclass(frozen=True)
class _Outcome:
    """One block offered to a chain: imported under `hash`, or refused with an exception."""

    hash: bytes | None
    refusal: str = ""
    by_rule: bool = False

    def __str__(self) -> str:
        return f"imported as 0x{self.hash.hex()}" if self.hash else f"refused: {self.refusal}"


def _judge(case: CaseId, content: _Case, subject: Subject) -> CaseResult:
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


def _run(content: _Case, subject: Subject) -> tuple[list[_Outcome], str]:
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


def _offer(chain: ChainAPI, block: _Block) -> _Outcome:
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


def _tip_complaint(content: _Case, chain: ChainAPI) -> str:
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


def _vm_configuration(entry: Node, blocks: Sequence[Node]) -> tuple[tuple[int, VmClass], ...]:
    network = entry.member("network").text()
    network = SAME_RULES.get(network, network)
    if network in DIFFICULTY_BOMB_FORKS:
        return ((0, DIFFICULTY_BOMB_FORKS[network]),)
    timings = [_timing(block) for block in blocks]
    try:
        if "AtTime" in network:
            # When the fork comes is found out by looking at the blocks' headers.
            return tuple(chain_vm_configuration({"network": network, "blocks": timings}))
        return _untimed(network)
    except ValidationError as problem:
        raise entry.member("network").error(str(problem)) from None
    except ValueError:
        raise UnknownNetwork(network) from None


@cache
def _untimed(network: str) -> tuple[tuple[int, VmClass], ...]:
    """The rules of a network without forks at a time: py-evm makes some classes at each call."""
    return tuple(chain_vm_configuration({"network": network}))


def _timing(block: Node) -> dict[str, Any]:
    header = block.optional("blockHeader")
    if header is None:
        return {"expectException": ""}
    return {
        "blockHeader": {name: header.member(name).integer() for name in ("number", "timestamp")}
    }


_HEADER_HASHES = {
    "parentHash": 32,
    "uncleHash": 32,
    "coinbase": 20,
    "stateRoot": 32,
    "transactionsTrie": 32,
    "receiptTrie": 32,
    "extraData": None,
    "mixHash": 32,
    "nonce": 8,
}
_HEADER_NUMBERS = ("bloom", "difficulty", "number", "gasLimit", "gasUsed", "timestamp")
_LATER_HEADER_HASHES = ("withdrawalsRoot", "parentBeaconBlockRoot", "requestsHash")
_LATER_HEADER_NUMBERS = ("baseFeePerGas", "blobGasUsed", "excessBlobGas")


def _genesis_params(header: Node) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, size in _HEADER_HASHES.items():
        fields[name] = header.member(name).data(size)
    for name in _HEADER_NUMBERS:
        fields[name] = header.member(name).integer(BLOOM_BITS if name == "bloom" else 256)
    for name in _LATER_HEADER_HASHES:
        if header.has(name):
            fields[name] = header.member(name).data(32)
    for name in _LATER_HEADER_NUMBERS:
        if header.has(name):
            fields[name] = header.member(name).integer()
    try:
        return genesis_params_from_fixture({GENESIS: fields})
    except ValueError as problem:
        raise header.error(str(problem)) from None


def _accounts(accounts: Node) -> AccountState:
    return {
        Address(Node(account.file, account.field, address).data(20)): {
            "balance": account.member("balance").integer(),
            "nonce": account.member("nonce").integer(64),
            "code": account.member("code").data(),
            "storage": {
                Node(value.file, value.field, slot).integer(): value.integer()
                for slot, value in account.member("storage").members()
            },
        }
        for address, account in accounts.members()
    }


def _block(block: Node) -> _Block:
    header = block.optional("blockHeader")
    try:
        encoded = block.member("rlp").data()
    except InputError:
        if header is not None or not block.has("rlp"):
            raise
        return _Block(None, None, None)
    if header is None:
        return _Block(encoded, None, None)
    expected = header.member("hash")
    if _hash_of_block(encoded) != expected.data(32):
        raise expected.error("not the hash of the header in the block's rlp")
    return _Block(encoded, expected.data(32), header.member("number").integer())


def _hash_of_block(encoded: bytes) -> bytes | None:
    """The hash of an encoded block of any fork; None if it is no such thing."""
    try:
        header, *_ = decode(encoded)  # type: ignore[no-untyped-call]
        return keccak(encode(header))  # type: ignore[no-untyped-call]
    except (RLPException, TypeError, ValueError):
        return None


def _json_files(path: Path) -> list[Path]:
    """The file, or all JSON files of the folder. Raises InputError if there is none."""
    try:
        if not path.is_dir():
            path.stat()
            return [path]
        files = sorted(file for file in path.rglob("*.json") if not file.is_dir())
    except FileNotFoundError:
        raise InputError(path, "", "no such file or folder") from None
    except OSError as problem:
        raise InputError(path, "", problem.strerror or str(problem)) from None
    if not files:
        raise InputError(path, "", "no JSON file in this folder")
    return files


def _read_cases(file: Path, cases: list[CaseId], unusable: list[CaseResult]) -> None:
    try:
        entries = list(read_json(file).members())
    except InputError as problem:
        unusable.append(_unusable(CaseId(file, "", ""), problem))
        return
    for name, entry in entries:
        try:
            cases.append(CaseId(file, name, entry.member("network").text()))
        except InputError as problem:
            unusable.append(_unusable(CaseId(file, name, ""), problem))


def _matches(case: CaseId, text: str) -> bool:
    whole = f"{case.file}::{case.name}"
    return text in whole or fnmatch.fnmatchcase(whole, text)


def _spread(cases: Sequence[CaseId], number: int, seed: int) -> list[CaseId]:
    """`number` cases, taken in turn from every (network, folder), in the order they were in."""
    chance = random.Random(seed)
    groups: dict[tuple[str, str], list[CaseId]] = defaultdict(list)
    for case in cases:
        groups[case.network, str(case.file.parent)].append(case)
    for group in groups.values():
        chance.shuffle(group)
    turns = sorted(groups.values(), key=len)
    chosen: set[CaseId] = set()
    while len(chosen) < min(number, len(cases)):
        for group in turns:
            if group and len(chosen) < number:
                chosen.add(group.pop())
    return [case for case in cases if case in chosen]


def _by_file(cases: Iterable[CaseId]) -> list[tuple[Path, tuple[CaseId, ...]]]:
    files: dict[Path, list[CaseId]] = defaultdict(list)
    for case in cases:
        files[case.file].append(case)
    return [(file, tuple(found)) for file, found in files.items()]


def _run_files(
    files: Sequence[tuple[Path, tuple[CaseId, ...]]], subject: Subject, jobs: int
) -> Iterator[CaseResult]:
    if jobs <= 1:
        for file, cases in files:
            yield from _run_file(file, cases, subject)
        return
    # Started fresh rather than forked: a subject may hold threads and pipes of its own.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_leave_interrupts) as pool:
        running: set[Future[list[CaseResult]]] = {
            pool.submit(_run_whole_file, file, cases, subject) for file, cases in files
        }
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for finished in done:
                    yield from finished.result()
        except BaseException:
            # Ctrl-C, or a caller that has seen enough: what was not begun is not begun any more,
            # and what runs is not waited for.
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def _leave_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal; it is the first one's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_whole_file(file: Path, cases: tuple[CaseId, ...], subject: Subject) -> list[CaseResult]:
    return list(_run_file(file, cases, subject))


def _run_file(file: Path, cases: tuple[CaseId, ...], subject: Subject) -> Iterator[CaseResult]:
    try:
        entries = dict(read_json(file).members())
    except InputError as problem:
        for case in cases:
            yield _unusable(case, problem)
        return
    with quiet_py_evm():
        for case in cases:
            yield run_case(case, entries[case.name], subject)


@contextmanager
def quiet_py_evm() -> Iterator[None]:
    """Keep py-evm's warnings about refused blocks, which are expected here, off the screen."""
    logger, silence = logging.getLogger("eth"), logging.NullHandler()
    logger.addHandler(silence)
    try:
        yield
    finally:
        logger.removeHandler(silence)


def _unusable(case: CaseId, problem: InputError) -> CaseResult:
    # The file and the entry's name stand in the case already.
    place = problem.field.removeprefix(case.name).lstrip(".")
    return CaseResult(case, Verdict.ERROR, ": ".join(p for p in (place, problem.reason) if p))


def _plain(table: dict[str, Counter[Verdict]]) -> dict[str, dict[str, int]]:
    return {
        row: {str(verdict): n for verdict, n in counts.items()} for row, counts in table.items()
    }
