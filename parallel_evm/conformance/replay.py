"""Runs recorded blocks, sequentially and by a subject, and says what is equal to what.

Stock py-evm runs the block first and is held against the block's own header: it shows that the
recording is complete. Then the subject runs it twice, cold and warm, and is held against stock
py-evm. Header checks that a partial trie cannot answer are listed as not compared. Sources: the
yellow paper, section 4.3; EIP-658 (receipts), EIP-4895 (withdrawals), EIP-4844 (blob gas).
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth.db.trie import make_trie_root_and_nodes
from eth.vm.forks.byzantium import ByzantiumVM
from eth_typing import Address
from eth_utils.conversions import to_hex

from parallel_evm.conformance.prestate import World, merged, refusal, specified
from parallel_evm.conformance.recorded import RecordedBlock, load
from parallel_evm.conformance.subject import Subject, Tally
from parallel_evm.conformance.walk import what_is_missing
from parallel_evm.forks import VmClass
from parallel_evm.inputs import InputError


@dataclass(frozen=True)
class Check:
    """One comparison. `equal` is None where it could not be made; `detail` says why or how."""

    name: str
    equal: bool | None
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {"check": self.name, "equal": self.equal, "detail": self.detail}


@dataclass(frozen=True)
class BlockReplay:
    """A replayed block. Times are wall seconds for its transactions, withdrawals and state root.

    `against_header` holds stock py-evm against the header, `against_sequential` the subject
    against stock py-evm; `sequential_seconds` is stock py-evm's time. Of what was run several
    times the time is the median, and a difference in any run is a difference.
    """

    source: str
    number: int
    fork: str
    transactions: int
    gas_used: int
    against_header: tuple[Check, ...]
    against_sequential: tuple[Check, ...]
    sequential_seconds: float
    cold_seconds: float
    warm_seconds: float
    cold: Tally
    warm: Tally

    @property
    def equal(self) -> bool:
        return not self.differences

    @property
    def differences(self) -> tuple[Check, ...]:
        checks = self.against_header + self.against_sequential
        return tuple(check for check in checks if check.equal is False)

    @property
    def not_compared(self) -> tuple[Check, ...]:
        checks = self.against_header + self.against_sequential
        return tuple(check for check in checks if check.equal is None)

    def to_dict(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "number": self.number,
            "fork": self.fork,
            "transactions": self.transactions,
            "gas_used": self.gas_used,
            "equal": self.equal,
            "against_header": [check.to_dict() for check in self.against_header],
            "against_sequential": [check.to_dict() for check in self.against_sequential],
            "seconds": {
                "sequential": round(self.sequential_seconds, 6),
                "cold": round(self.cold_seconds, 6),
                "warm": round(self.warm_seconds, 6),
            },
            "cold": self.cold.to_dict(),
            "warm": self.warm.to_dict(),
        }


@dataclass(frozen=True)
class Unusable:
    """A recording that cannot be run: one line that names file and field."""

    source: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return {"source": self.source, "error": self.reason}


@dataclass(frozen=True)
class Replays:
    """All blocks of a run, in the order given."""

    subject: str
    results: tuple[BlockReplay | Unusable, ...]

    @property
    def blocks(self) -> tuple[BlockReplay, ...]:
        return tuple(result for result in self.results if isinstance(result, BlockReplay))

    @property
    def exit_code(self) -> int:
        """1 if anything differed, else 2 if a recording was unusable, else 0."""
        if not all(block.equal for block in self.blocks):
            return 1
        return 2 if len(self.blocks) < len(self.results) or not self.results else 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "equal": all(block.equal for block in self.blocks),
            "blocks": [result.to_dict() for result in self.results],
        }


def run_replay(
    blocks: Iterable[Path | RecordedBlock],
    subject: Subject,
    fork: str | None = None,
    progress: Callable[[BlockReplay | Unusable], None] = lambda result: None,
    repeats: int = 1,
    warm_up: int = 0,
) -> Replays:
    """Replay each block, read from its folder or file; bad input spoils only its own block."""
    results: list[BlockReplay | Unusable] = []
    for block in blocks:
        source = block.source if isinstance(block, RecordedBlock) else str(block)
        try:
            recording = block if isinstance(block, RecordedBlock) else load(block, fork)
            result: BlockReplay | Unusable = replay(recording, subject, repeats, warm_up)
        except InputError as problem:
            result = Unusable(source, str(problem))
        results.append(result)
        progress(result)
    return Replays(subject.name, tuple(results))


def replay(
    recording: RecordedBlock, subject: Subject, repeats: int = 1, warm_up: int = 0
) -> BlockReplay:
    """Run a recorded block on stock py-evm and, twice from a cold start, by the subject.

    Every run starts from the state before the block, on a database of its own. With more
    ``repeats``, stock py-evm and the warm subject take turns that often. ``warm_up``: so many more
    runs of the subject come between the cold one and those that count as warm.

    Raises InputError if stock py-evm cannot reproduce the block from the recording: something is
    missing from it, or was changed.
    """
    # Wrapping a VM gives the whole process the faster Keccak, so it comes before the stopwatch.
    subject.close()
    vm_class = subject.transform(recording.vm_class)
    recording = merged(recording)
    world = World.of(recording)
    sequential = _timed(world, specified(recording))
    _require_same_fate(recording, sequential)
    against_header = () if recording.refused else _against_header(recording, sequential)
    if not all(check.equal is not False for check in against_header):
        raise _incomplete(recording, against_header, sequential)

    subject.take_tally()
    cold = _timed(world, vm_class, walk=True)
    cold_tally = subject.take_tally()
    again: list[Check] = []
    for _ in range(warm_up):
        again += _against_sequential(_execute(world, vm_class), sequential, "warming up")
    subject.take_tally()
    warm = [_timed(world, vm_class, walk=True)]
    warm_tally = subject.take_tally()
    usual = [sequential.seconds]
    for _ in range(repeats - 1):
        usual.append(_timed(world, specified(recording)).seconds)
        warm.append(_timed(world, vm_class, walk=True))
    for run in warm[1:]:
        again += _against_sequential(run, sequential, "again")
    return BlockReplay(
        source=recording.source,
        number=recording.number,
        fork=recording.fork,
        transactions=len(recording.transactions),
        gas_used=sequential.gas_used,
        against_header=against_header,
        against_sequential=_against_sequential(cold, sequential, "cold")
        + _against_sequential(warm[0], sequential, "warm")
        + tuple(check for check in again if not check.equal),
        sequential_seconds=statistics.median(usual),
        cold_seconds=cold.seconds,
        warm_seconds=statistics.median(run.seconds for run in warm),
        cold=cold_tally,
        warm=warm_tally,
    )


@dataclass(frozen=True)
class Comparison:
    """A block run once sequentially and once by a subject: what differs, and what py-evm said."""

    differences: tuple[Check, ...]
    refused: bool


def compare(recording: RecordedBlock, subject: Subject) -> Comparison:
    """Run a block on stock py-evm and by the subject, each once.

    The header's own results are not looked at, so that a block nobody has run yet will do.
    """
    world = World.of(recording)
    sequential = _execute(world, specified(recording))
    ours = _execute(world, subject.transform(recording.vm_class))
    checks = _against_sequential(ours, sequential, "once")
    return Comparison(
        differences=tuple(check for check in checks if not check.equal),
        refused=sequential.problem is not None,
    )


@dataclass(frozen=True)
class _Execution:
    """What is compared of one run: everything a caller of py-evm could look at."""

    seconds: float
    refusal: str = ""
    problem: Exception | None = None
    gas_used: int = 0
    bloom: int = 0
    blob_gas_used: int | None = None
    receipts: tuple[bytes, ...] = ()
    logs: tuple[Any, ...] = ()
    outcomes: tuple[Any, ...] = ()
    state_root: bytes = b""
    accounts_read: frozenset[Address] = field(default_factory=frozenset)
    missing: str = ""


def _timed(world: World, vm_class: VmClass, walk: bool = False) -> _Execution:
    """`_execute`, whose seconds are of interest: it pays for nothing that others left behind."""
    gc.collect()
    return _execute(world, vm_class, walk)


def _execute(world: World, vm_class: VmClass, walk: bool = False) -> _Execution:
    transactions = world.recording.decoded()
    vm = world.vm(vm_class)
    started = time.perf_counter()
    try:
        header, receipts, computations = vm.apply_all_transactions(transactions, world.header)
        if world.recording.withdrawals:
            vm.apply_all_withdrawals(world.recording.withdrawals)
        witness = vm.state.persist()
    except InputError:
        raise
    except Exception as problem:
        # Which exceptions py-evm refuses a block with is not ours to say: whatever it raises, the
        # subject must raise too.
        seconds = time.perf_counter() - started
        return _Execution(seconds, f"{type(problem).__name__}: {problem}", problem)
    seconds = time.perf_counter() - started
    return _Execution(
        seconds=seconds,
        gas_used=header.gas_used,
        bloom=header.bloom,
        blob_gas_used=getattr(header, "blob_gas_used", None),
        receipts=tuple(receipt.encode() for receipt in receipts),
        logs=tuple(
            tuple((log.address, tuple(log.topics), log.data) for log in receipt.logs)
            for receipt in receipts
        ),
        outcomes=tuple(map(_outcome, computations)),
        state_root=vm.state.state_root,
        accounts_read=frozenset(witness.accounts_queried),
        missing=what_is_missing(vm.chaindb.db, vm.state.state_root) if walk else "",
    )


def _outcome(computation: Any) -> tuple[Any, ...]:
    """What a caller can learn from a computation after its transaction."""
    error = computation.error if computation.is_error else None
    return (
        computation.output,
        "" if error is None else f"{type(error).__name__}: {error}",
        computation.return_data,
        computation.get_gas_used(),
        computation.get_gas_remaining(),
        computation.get_gas_refund(),
        tuple(computation.get_log_entries()),
        frozenset(computation.get_accounts_for_deletion()),
    )


def _against_header(recording: RecordedBlock, run: _Execution) -> tuple[Check, ...]:
    header: Any = recording.header
    checks = [
        _equal(
            "transactions root",
            make_trie_root_and_nodes(recording.decoded())[0],
            header.transaction_root,
        ),
        _equal("gas used", run.gas_used, header.gas_used),
        _equal("bloom", run.bloom, header.bloom),
        _receipts_root(recording, run),
    ]
    if hasattr(header, "withdrawals_root"):
        root = make_trie_root_and_nodes(recording.withdrawals)[0]
        checks.append(_equal("withdrawals root", root, header.withdrawals_root))
    if hasattr(header, "blob_gas_used"):
        checks.append(_equal("blob gas used", run.blob_gas_used, header.blob_gas_used))
    checks.append(Check("state root", None, "the trie holds only the accounts of this block"))
    if hasattr(header, "requests_hash"):
        checks.append(Check("requests hash", None, "the system contracts are not in the pre-state"))
    return tuple(checks)


def _receipts_root(recording: RecordedBlock, run: _Execution) -> Check:
    if not issubclass(recording.vm_class, ByzantiumVM):
        return Check("receipts root", None, "before Byzantium receipts carry the state root")
    encoded: Any = tuple(map(_Encoded, run.receipts))
    root = make_trie_root_and_nodes(encoded)[0]
    return _equal("receipts root", root, recording.header.receipt_root)


@dataclass(frozen=True)
class _Encoded:
    """An element of a trie that is encoded already."""

    content: bytes

    def encode(self) -> bytes:
        return self.content


def _against_sequential(ours: _Execution, stock: _Execution, run: str) -> tuple[Check, ...]:
    return (
        _equal(f"refusal, {run}", ours.refusal, stock.refusal),
        _equal(f"gas used, {run}", ours.gas_used, stock.gas_used),
        _equal(f"bloom, {run}", ours.bloom, stock.bloom),
        _equal(f"blob gas used, {run}", ours.blob_gas_used, stock.blob_gas_used),
        _each(f"receipts, {run}", ours.receipts, stock.receipts),
        _each(f"logs, {run}", ours.logs, stock.logs),
        _each(f"outputs and errors, {run}", ours.outcomes, stock.outcomes),
        _equal(f"state root, {run}", ours.state_root, stock.state_root),
        _equal(f"missing from the database, {run}", ours.missing, stock.missing),
    )


def _equal(name: str, found: Any, expected: Any) -> Check:
    if found == expected:
        return Check(name, True)
    return Check(name, False, f"{_shown(found)}, expected {_shown(expected)}")


def _each(name: str, found: Sequence[Any], expected: Sequence[Any]) -> Check:
    if len(found) != len(expected):
        return Check(name, False, f"{len(found)} of them, expected {len(expected)}")
    for index, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        if ours != theirs:
            detail = f"transaction {index}: {_shown(ours)}, expected {_shown(theirs)}"
            return Check(name, False, detail)
    return Check(name, True)


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        text: str = to_hex(value)
    elif isinstance(value, tuple | frozenset):
        text = "(" + ", ".join(map(_shown, value)) + ")"
    else:
        text = str(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _require_same_fate(recording: RecordedBlock, run: _Execution) -> None:
    if run.problem is None:
        if recording.refused:
            raise InputError(recording.source, "refused", "true, but py-evm accepts the block")
        return
    if not recording.refused:
        state: Mapping[Address, Any] = recording.traces[0]
        raise refusal(recording, _refused_at(recording), run.problem, state)


def _refused_at(recording: RecordedBlock) -> int:
    """Which transaction stock py-evm refuses, found by running them one by one."""
    vm = World.of(recording).vm(specified(recording))
    header: Any = vm.get_header()
    for index, transaction in enumerate(recording.decoded()):
        try:
            receipt, _ = vm.apply_transaction(header, transaction)
        except Exception:
            return index
        header = vm.add_receipt_to_header(header, receipt)
        header = vm.increment_blob_gas_used(header, transaction)
    return 0


def _incomplete(recording: RecordedBlock, checks: Sequence[Check], run: _Execution) -> InputError:
    """py-evm's own run contradicts the header: say where, and which accounts may be lacking."""
    wrong = "; ".join(f"{check.name} {check.detail}" for check in checks if check.equal is False)
    known = recording.traces[0]
    called = [transaction.to for transaction in recording.decoded() if transaction.data]
    absent = [address for address in run.accounts_read if address not in known]
    absent.sort(key=lambda address: (address not in called, address))
    if not absent:
        return InputError(recording.source, "", f"py-evm does not reproduce the header: {wrong}")
    shown = ", ".join(map(to_hex, absent[:5]))
    more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
    return InputError(
        recording.prestate_source,
        shown + more,
        f"accounts the block reads and the pre-state lacks; py-evm does not reproduce the "
        f"header: {wrong}",
    )
