"""Blocks in a stream: the next one is read ahead, and nothing else differs from a loop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import rlp.codec
from eth.abc import BlockAPI
from eth.chains.base import MiningChain
from eth_utils.exceptions import ValidationError

from parallel_evm import (
    BlockReport,
    ConfigurationError,
    ParallelConfig,
    close,
    import_blocks,
    parallelize,
)
from parallel_evm.bench.timing import encoded_block
from parallel_evm.engine import engines_of
from parallel_evm.forks import from_genesis, without_proof
from parallel_evm.rlp_objects import changed
from parallel_evm.workers import shared
from parallel_evm.workers.reader import ReadingProcess
from parallel_evm.workloads import Workload, build
from parallel_evm.workloads.forks import CHAIN_ID, fork
from tests.strategies import (
    CONTRACTS,
    COUNTER_CODE,
    ETHER,
    GHOST,
    GWEI,
    KEYS,
    SENDERS,
    Act,
    Delegation,
    Pen,
    account,
    open_chain,
    state_of,
)

BLOCKS = 5
TRANSACTIONS = 24


@pytest.fixture(scope="module")
def workload() -> Workload:
    return build("erc20", transactions=TRANSACTIONS, blocks=BLOCKS)


@pytest.fixture(scope="module")
def built(workload: Workload) -> list[bytes]:
    """The blocks, as stock py-evm makes them."""
    chain = workload.open()
    made = [chain.mine_all(sent)[0].imported_block for sent in workload.blocks]
    return [encoded_block(block) for block in made]


@pytest.fixture(autouse=True)
def own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Who reads for these chains reads for nobody else."""
    monkeypatch.setattr(shared, "_reading", {})
    monkeypatch.setattr("parallel_evm.workers.reader._RECOVERY_SECONDS", 1.0)  # let nobody be late
    yield
    close()


def decoded(workload: Workload, built: list[bytes]) -> list[Any]:
    """New objects, which know nothing."""
    block_class = workload.open().get_vm().get_block_class()
    return [rlp.codec.decode(block, sedes=block_class) for block in built]


def chain_of(workload: Workload, reports: list[BlockReport], **settings: Any) -> Any:
    settings = {"workers": 2, "backend": "auto", **settings}
    config = ParallelConfig(on_block=reports.append, **settings)
    return workload.open(parallelize(workload.chain_class, config=config))


def reading() -> ReadingProcess:
    (process,) = shared._reading.values()
    return process


@pytest.mark.parametrize("backend", ("auto", "process"))
def test_every_block_but_the_first_is_read_ahead(
    workload: Workload, built: list[bytes], backend: str
) -> None:
    reports: list[BlockReport] = []
    blocks = decoded(workload, built)
    imported = import_blocks(chain_of(workload, reports, backend=backend), iter(blocks))
    assert [done.imported_block.hash for done in imported] == [block.hash for block in blocks]
    assert [report.read_ahead for report in reports] == [False] + [True] * (BLOCKS - 1)
    assert all(report.fallback is None for report in reports)
    for report in reports[1:]:  # the other process's time is theirs, in which it was used
        assert report.worker_cpu_seconds > TRANSACTIONS * 10e-6
        assert 0 < report.phases.senders < report.seconds


def test_what_was_read_is_what_would_have_been_found(
    workload: Workload, built: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody recovers a sender here after the first block, and nobody makes the list."""
    monkeypatch.setattr("parallel_evm.block.senders.recover_sender", refused)
    reports: list[BlockReport] = []
    blocks = decoded(workload, built)
    for sent in blocks[0].transactions:
        assert sent.sender
    monkeypatch.setattr("parallel_evm.speculation.senders._recover", refused)
    chain = chain_of(workload, reports)
    imports = import_blocks(chain, blocks)
    next(imports)
    monkeypatch.setattr("parallel_evm.assembly.listed", refused)
    for block, done in zip(blocks[1:], imports, strict=True):
        assert done.imported_block.hash == block.hash
        for index, sent in enumerate(block.transactions):
            assert chain.get_canonical_transaction(sent.hash) == sent
            assert chain.get_canonical_transaction_index(sent.hash) == (block.number, index)
    assert all(report.read_ahead for report in reports[1:])


def refused(*arguments: Any) -> Any:
    raise AssertionError("somebody has done that already")


@pytest.mark.parametrize(
    "settings",
    (
        {"workers": 1},
        {"backend": "serial"},
        {"backend": "thread"},
        {"overlap": False},
    ),
    ids=str,
)
def test_where_nobody_reads_ahead(
    workload: Workload, built: list[bytes], settings: dict[str, Any]
) -> None:
    reports: list[BlockReport] = []
    blocks = decoded(workload, built)
    imported = import_blocks(chain_of(workload, reports, **settings), blocks)
    assert [done.imported_block.hash for done in imported] == [block.hash for block in blocks]
    assert not any(report.read_ahead for report in reports)
    assert shared._reading == {}


def test_a_block_is_imported_when_its_result_is_asked_for(
    workload: Workload, built: list[bytes]
) -> None:
    taken: list[int] = []

    def coming() -> Iterator[Any]:
        for block in decoded(workload, built):
            taken.append(block.number)
            yield block

    chain = chain_of(workload, [])
    imports = import_blocks(chain, coming())
    assert taken == []
    for number in range(1, BLOCKS + 1):
        assert next(imports).imported_block.number == number
        assert chain.get_canonical_head().block_number == number
        assert taken == list(range(1, min(number + 1, BLOCKS) + 1))
    assert list(imports) == []


def test_no_blocks(workload: Workload) -> None:
    assert list(import_blocks(chain_of(workload, []), [])) == []


def test_a_block_that_is_refused_is_refused_in_its_turn(
    workload: Workload, built: list[bytes]
) -> None:
    """And may be imported as it should be afterwards."""
    blocks = decoded(workload, built)
    wrong = decoded(workload, built)[2]
    wrong = changed(wrong, header=changed(wrong.header, gas_used=wrong.header.gas_used + 1))
    stock = workload.open()
    for block in decoded(workload, built)[:2]:
        stock.import_block(block)
    with pytest.raises(ValidationError) as expected:
        stock.import_block(wrong)

    chain = chain_of(workload, [])
    imports = import_blocks(chain, [*blocks[:2], wrong, *blocks[3:]])
    assert [next(imports).imported_block.number for _ in range(2)] == [1, 2]
    with pytest.raises(ValidationError) as found:
        next(imports)
    assert str(found.value) == str(expected.value)
    assert chain.get_canonical_head() == blocks[1].header
    rest = [done.imported_block.hash for done in import_blocks(chain, blocks[2:])]
    assert rest == [block.hash for block in blocks[2:]]


def test_blocks_that_fail_to_come_fail_after_those_before_them(
    workload: Workload, built: list[bytes]
) -> None:
    def coming() -> Iterator[BlockAPI]:
        yield from decoded(workload, built)[:2]
        raise OSError("the disk is gone")

    chain = chain_of(workload, [])
    imports = import_blocks(chain, coming())
    assert [next(imports).imported_block.number for _ in range(2)] == [1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(imports)
    assert chain.get_canonical_head().block_number == 2


def test_what_is_no_block_is_refused_by_the_chain(workload: Workload, built: list[bytes]) -> None:
    nonsense: Any = "a block"
    imports = import_blocks(chain_of(workload, []), [decoded(workload, built)[0], nonsense])
    next(imports)
    with pytest.raises(AttributeError):
        next(imports)


def test_a_chain_that_is_not_parallel_is_refused_at_once(workload: Workload) -> None:
    with pytest.raises(ConfigurationError, match="no chain class that was parallelized"):
        import_blocks(workload.open(), [])


def test_blocks_of_two_chains_in_turn(workload: Workload, built: list[bytes]) -> None:
    """They share who reads: one of them may go without, and gets what is its own."""
    reports: list[BlockReport] = []
    chains = [chain_of(workload, reports) for _ in range(2)]
    streams = [import_blocks(chain, decoded(workload, built)) for chain in chains]
    for one, other in zip(*streams, strict=True):
        assert one.imported_block.hash == other.imported_block.hash
    assert any(report.read_ahead for report in reports)


def test_another_block_in_between(workload: Workload, built: list[bytes]) -> None:
    """Somebody imports the announced block himself, from other objects."""
    reports: list[BlockReport] = []
    chain = chain_of(workload, reports)
    imports = import_blocks(chain, decoded(workload, built))
    next(imports)
    chain.import_block(decoded(workload, built)[1])
    assert [done.imported_block.number for done in imports] == list(range(2, BLOCKS + 1))
    assert chain.get_canonical_head().block_number == BLOCKS


def test_a_reader_that_is_killed_is_replaced(workload: Workload, built: list[bytes]) -> None:
    reports: list[BlockReport] = []
    blocks = decoded(workload, built)
    imports = import_blocks(chain_of(workload, reports), blocks)
    next(imports)
    next(imports)
    os.kill(reading().pids[0], signal.SIGKILL)
    assert [done.imported_block.hash for done in imports] == [b.hash for b in blocks[2:]]
    assert not all(report.read_ahead for report in reports[1:])
    assert reports[-1].read_ahead


@pytest.mark.slow
def test_a_reader_that_hangs_holds_nobody_up(
    workload: Workload, built: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parallel_evm.workers.reader._RECOVERY_SECONDS", 0.00006)
    reports: list[BlockReport] = []
    blocks = decoded(workload, built)
    imports = import_blocks(chain_of(workload, reports), blocks)
    next(imports)
    os.kill(reading().pids[0], signal.SIGSTOP)
    started = time.monotonic()
    assert [done.imported_block.hash for done in imports] == [b.hash for b in blocks[1:]]
    assert not any(report.read_ahead for report in reports[2:])
    assert time.monotonic() - started < 10


NOBODY = [None] * TRANSACTIONS
DIGESTS = [bytes(32)] * TRANSACTIONS
LIES: dict[str, Any] = {
    "nothing": None,
    "a number": 5,
    "other senders than asked for": ([bytes(20)], None, 0.0),
    "senders that are none": ([b"x"] * TRANSACTIONS, None, 0.0),
    "hashes that are none": (NOBODY, ([b"x"] * TRANSACTIONS, bytes(32), {}), 0.0),
    "hashes of other transactions": (NOBODY, ([bytes(32)], bytes(32), {}), 0.0),
    "a root that is none": (NOBODY, (DIGESTS, b"x", {}), 0.0),
    "keys that are none": (NOBODY, (DIGESTS, bytes(32), {b"x": b""}), 0.0),
    "nodes that are none": (NOBODY, (DIGESTS, bytes(32), {bytes(32): 5}), 0.0),
    "half a list": (NOBODY, (DIGESTS,), 0.0),
    "at no time": (NOBODY, None, "x"),
}
BELIEVED = ("hashes of other transactions",)
"""As far as it goes: the list is not used."""


@pytest.mark.parametrize("lie", LIES)
def test_nonsense_is_not_believed(
    workload: Workload, built: list[bytes], monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    """Told by a process that is a copy of this one."""
    monkeypatch.setattr(ReadingProcess, "fill", staticmethod(lambda order: LIES[lie]))
    heard: list[Any] = []
    receive = ReadingProcess._receive

    def received(process: Any, conn: Any) -> Any:
        heard.append(lie)
        return receive(process, conn)

    monkeypatch.setattr(ReadingProcess, "_receive", received)
    reports: list[BlockReport] = []
    blocks = decoded(workload, built)
    imports = import_blocks(chain_of(workload, reports), blocks)
    assert [done.imported_block.hash for done in imports] == [block.hash for block in blocks]
    assert heard
    assert any(report.read_ahead for report in reports) is (lie in BELIEVED)


def test_the_process_ends_with_the_others(workload: Workload, built: list[bytes]) -> None:
    list(import_blocks(chain_of(workload, []), decoded(workload, built)))
    (pid,) = reading().pids
    close()
    assert reading().pids == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_engine_of_a_chain_is_that_of_its_class(workload: Workload) -> None:
    chain = chain_of(workload, [])
    assert engines_of(chain) == engines_of(type(chain))


# -- whatever comes ------------------------------------------------------------------------------


class Stream:
    """Blocks that stock py-evm made, to be imported by it and by others."""

    def __init__(self, chain_class: Any, state: Any, **header: Any) -> None:
        self.chain_class, self.state, self.header = chain_class, state, header
        self.maker = self.open(chain_class)
        self.built: list[tuple[int, bytes]] = []

    def open(self, chain_class: Any) -> Any:
        return open_chain(chain_class, self.state, **self.header)

    def mine(self, acts: list[Act], **options: Any) -> Any:
        """The next block."""
        number = self.maker.get_canonical_head().block_number + 1
        vm_class = self.maker.get_vm_class_for_block_number(number)
        transactions = self.signed(acts, vm_class)
        return self.add(self.maker.mine_all(transactions, **options)[0].imported_block)

    def signed(self, acts: list[Act], vm_class: Any, after: Any = None) -> list[Any]:
        """With the nonces of the state after this block, or after the last one."""
        rules: Any = SimpleNamespace(vm_class=vm_class)
        pen = Pen(rules, self.maker if after is None else _At(self.maker, after))
        return [pen.sign(act) for act in acts]

    def add(self, block: Any) -> Any:
        self.built.append((block.number, encoded_block(block)))
        return block

    def blocks(self) -> list[Any]:
        """New objects, which know nothing."""
        return [
            rlp.codec.decode(
                encoded, sedes=self.maker.get_vm_class_for_block_number(number).get_block_class()
            )
            for number, encoded in self.built
        ]

    def expected(self, blocks: list[Any]) -> list[Any]:
        chain = self.open(self.chain_class)
        return outcome(chain, map(chain.import_block, blocks))

    def ours(self, reports: list[BlockReport] | None = None, **settings: Any) -> Any:
        """A parallel chain to import them."""
        on_block = None if reports is None else reports.append
        settings = {"workers": 2, "on_block": on_block, **settings}
        return self.open(parallelize(self.chain_class, config=ParallelConfig(**settings)))

    def held(self, blocks: Callable[[], list[Any]] | None = None, **settings: Any) -> list[bool]:
        """Import it here and there: everything is equal. Which blocks were read ahead?"""
        blocks = blocks or self.blocks
        reports: list[BlockReport] = []
        chain = self.ours(reports, **settings)
        assert outcome(chain, import_blocks(chain, blocks())) == self.expected(blocks())
        return [report.read_ahead for report in reports]


class _At:
    """A chain as it was at an earlier block."""

    def __init__(self, chain: Any, header: Any) -> None:
        self._chain, self._header = chain, header

    def get_vm(self) -> Any:
        return self._chain.get_vm(self._chain.create_header_from_parent(self._header))


def outcome(chain: Any, imports: Iterable[Any]) -> list[Any]:
    """What came of each block, the error that ended it, and where the chain is now."""
    came: list[Any] = []
    try:
        for done in imports:
            new, old = done.new_canonical_blocks, done.old_canonical_blocks
            came.append((done.imported_block, new, old))
    except Exception as error:
        came.append((type(error), str(error)))
    return [*came, chain.get_canonical_head()]


def prague(blocks: int = 0, **options: Any) -> Stream:
    stream = Stream(fork("prague").chain_class, state_of("prague"), **options)
    for number in range(blocks):
        stream.mine(payments(number))
    return stream


def payments(value: int = 0, count: int = 12, types: int = 3) -> list[Act]:
    places = (CONTRACTS["counter"], GHOST)
    return [
        Act(index % 8, places[index % 2], value=value, type_id=index % types)
        for index in range(count)
    ]


def test_blocks_of_every_fork_in_one_chain() -> None:
    """The rules change amid the stream, and what transactions are."""
    names = ("frontier", "homestead", "spurious-dragon", "byzantium", "berlin", "london")
    rules = tuple((2 * at, without_proof(from_genesis(name))) for at, name in enumerate(names))
    chain_class = MiningChain.configure("Old", vm_configuration=rules, chain_id=CHAIN_ID)
    state = {address: account(100 * ETHER) for address in SENDERS}
    state[CONTRACTS["counter"]] = account(code=COUNTER_CODE)
    stream = Stream(chain_class, state, difficulty=131_072)
    for number in range(1, 12):
        stream.mine(payments(number, types={8: 2, 9: 2, 10: 3, 11: 3}.get(number, 1)))
    # Nobody else knows transactions that are older than EIP-155.
    assert stream.held() == [False] * 3 + [True] * 8


def test_forks_that_were_parallelized_one_by_one() -> None:
    """Each has an engine of its own, and knows nothing of what another one was told."""
    vms = [(0, without_proof(from_genesis("shanghai"))), (4, without_proof(from_genesis("cancun")))]
    stream = Stream(
        MiningChain.configure("Stock", vm_configuration=tuple(vms), chain_id=CHAIN_ID),
        state_of("shanghai"),
        difficulty=0,
    )
    for number in range(8):
        stream.mine(payments(number))
    reports: list[BlockReport] = []
    config = ParallelConfig(workers=2, on_block=reports.append)
    ours = tuple((at, parallelize(vm, config=config)) for at, vm in vms)
    chain = stream.open(MiningChain.configure("Ours", vm_configuration=ours, chain_id=CHAIN_ID))
    imports = import_blocks(chain, stream.blocks())
    assert outcome(chain, imports) == stream.expected(stream.blocks())
    assert [report.read_ahead for report in reports] == [False, True, True, False] + [True] * 4


def test_transactions_of_every_kind() -> None:
    stream = prague()
    builder = fork("prague").vm_class.get_transaction_builder()
    for number in range(3):
        kinds = [
            replace(act, type_id=index % 5, blobs=1, delegations=(Delegation(7, GHOST),))
            for index, act in enumerate(payments(number, count=10))
        ]
        stream.mine([replace(act, gas=400_000) for act in kinds])
        nonce = stream.maker.get_vm().state.get_nonce(SENDERS[5])
        old: list[Any] = [
            builder.create_unsigned_transaction(
                nonce=nonce + index, gas_price=100 * GWEI, gas=21_000, to=GHOST, value=1, data=b""
            ).as_signed_transaction(KEYS[5], chain_id=(None, 1, CHAIN_ID)[index % 3])
            for index in range(9)
        ]
        stream.add(stream.maker.mine_all(old)[0].imported_block)
    assert stream.held() == [False] + [True] * 5


def test_blocks_with_few_transactions_or_none() -> None:
    stream = prague()
    for count in (12, 0, 12, 3, 8, 0, 0, 12):
        stream.mine(payments(count=count))
    # Whatever comes before, the next one is read.
    assert stream.held() == [False, False, True, False, True, False, False, True]


def test_blocks_with_uncles() -> None:
    stream = Stream(fork("byzantium").chain_class, state_of("byzantium"))
    stream.mine(payments(types=1))
    for value in (1, 2):
        chain = stream.maker
        parent = chain.get_canonical_block_header_by_number(value - 1)
        uncle = chain.create_header_from_parent(
            parent, coinbase=GHOST, timestamp=parent.timestamp + 2
        )
        assert stream.mine(payments(value, types=1), uncles=[uncle]).uncles == (uncle,)
    assert stream.held() == [False, True, True]


@pytest.mark.parametrize("backend", ("auto", "process"))
def test_branches_that_overtake_each_other(backend: str) -> None:
    stream = prague()
    chain = stream.maker

    def block(parent: Any, value: int) -> Any:
        header = chain.create_header_from_parent(parent, timestamp=parent.timestamp + 1 + value)
        vm = chain.get_vm(header)
        transactions = stream.signed(payments(value), type(vm), after=parent)
        draft = vm.get_block_class()(header, transactions, (), ())
        made = chain.get_vm(header).import_block(draft).block
        return chain.import_block(made).imported_block

    first = block(chain.get_canonical_head(), 1)
    branches: list[list[Any]] = [[first], [first]]
    for value in range(2, 10):
        branch = branches[value % 2]
        branch.append(block(branch[-1].header, value))
    (_, a2, a3, a4, a5), (_, b2, b3, b4, b5) = branches
    for made in (first, a2, b2, b3, a3, a4, b4, b5, a5):
        stream.add(made)
    lengths = [len(old) for _, _, old in stream.expected(stream.blocks())[:-1]]
    assert max(lengths) >= 2
    assert stream.held(backend=backend) == [False] + [True] * 8


def wrong_signature(transaction: Any, **fields: int) -> Any:
    inner = getattr(transaction, "_inner", None)
    if inner is None:
        return transaction.copy(**fields)
    return type(transaction)(transaction.type_id, inner.copy(**fields))


@pytest.mark.parametrize("place", range(3), ids=("legacy", "access list", "dynamic fee"))
@pytest.mark.parametrize("fields", ({"r": 0}, {"s": 2**256 - 1}, {"s": 1}), ids=str)
def test_a_transaction_that_nobody_signed(place: int, fields: dict[str, int]) -> None:
    """It is announced like any other, and refused in the same words."""
    stream = prague(3)

    def blocks() -> list[Any]:
        first, second, third = stream.blocks()
        transactions = list(second.transactions)
        transactions[place] = wrong_signature(transactions[place], **fields)
        raw = encoded_block(changed(second, transactions=tuple(transactions)))
        return [first, rlp.codec.decode(raw, sedes=type(second)), third]

    assert len(stream.expected(blocks())) == 3  # a block, an error, the head
    assert stream.held(blocks)[:1] == [False]


def test_the_same_block_again_and_again() -> None:
    stream = prague(4)

    def blocks() -> list[Any]:
        first, second, third, fourth = stream.blocks()
        return [first, first, second, second, second, third, fourth]

    assert len(stream.expected(blocks())) == 7 + 1
    assert stream.held(blocks)[-2:] == [True, True]


def test_blocks_in_the_wrong_order() -> None:
    stream = prague(4)

    def blocks() -> list[Any]:
        first, second, third, fourth = stream.blocks()
        return [first, third, second, fourth]

    assert stream.expected(blocks())[1][0] is ValidationError
    stream.held(blocks)


def test_two_chains_of_one_class_in_turn() -> None:
    """Each comes out as it would alone, be it from the same objects."""
    stream = prague(4)
    chain_class = parallelize(stream.chain_class, workers=2)
    same = stream.blocks()
    for blocks in (stream.blocks, lambda: same):
        chains = [stream.open(chain_class) for _ in range(2)]
        streams = [import_blocks(chain, blocks()) for chain in chains]
        for one, other in zip(*streams, strict=True):
            assert one.imported_block == other.imported_block
        assert [c.get_canonical_head() for c in chains] == [stream.maker.get_canonical_head()] * 2


def test_a_stream_that_another_stream_feeds() -> None:
    """Blocks are read while others of the same class are imported, by the same engine."""
    stream = prague(4)
    chain_class = parallelize(stream.chain_class, workers=2)
    first, second = stream.open(chain_class), stream.open(chain_class)
    coming = (done.imported_block for done in import_blocks(first, stream.blocks()))
    assert outcome(second, import_blocks(second, coming)) == stream.expected(stream.blocks())


def test_a_stream_that_is_left_half_way() -> None:
    stream = prague(6)
    reports: list[BlockReport] = []
    chain = stream.ours(reports)
    blocks = stream.blocks()
    imports = import_blocks(chain, blocks)
    next(imports)
    imports.close()  # type: ignore[attr-defined]
    while reading().is_awaited:
        reading().take_in(1.0)
    chain.import_block(stream.blocks()[1])
    next(import_blocks(chain, blocks[2:]))
    assert [done.imported_block for done in import_blocks(chain, blocks[3:])] == blocks[3:]
    ahead = [report.read_ahead for report in reports]
    assert ahead[:3] == [False] * 3  # unannounced, or announced as other objects
    assert ahead[-1]


@pytest.mark.parametrize("error", (KeyboardInterrupt, SystemExit, ValueError))
def test_who_is_interrupted_goes_on_from_there(error: type[BaseException]) -> None:
    """A block that is interrupted before it is persisted can be imported again."""
    stream = prague(5)
    reports: list[BlockReport] = []

    def noted(report: BlockReport) -> None:
        reports.append(report)
        if len(reports) in (2, 4):
            raise error

    chain = stream.ours(on_block=noted)
    blocks = stream.blocks()
    for done in (1, 2):
        with pytest.raises(error):
            list(import_blocks(chain, blocks[chain.get_canonical_head().block_number :]))
        assert chain.get_canonical_head() == blocks[done - 1].header
    assert [done.imported_block for done in import_blocks(chain, blocks[2:])] == blocks[2:]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_process_that_is_forked_amid_a_stream() -> None:
    """What is read ahead is read for its parent; it goes on without."""
    stream = prague(6)
    reports: list[BlockReport] = []
    chain = stream.ours(reports)
    blocks = stream.blocks()
    imports = import_blocks(chain, blocks)
    assert [next(imports).imported_block for _ in range(2)] == blocks[:2]
    copy = os.fork()
    if not copy:
        status = 1
        try:
            rest = [done.imported_block for done in imports]
            ahead = [report.read_ahead for report in reports[2:]]
            status = 0 if (rest, ahead) == (blocks[2:], [False] * 4) else 2
        finally:
            os._exit(status)
    assert [done.imported_block for done in imports] == blocks[2:]
    assert os.waitpid(copy, 0)[1] == 0
    assert [report.read_ahead for report in reports] == [False] + [True] * 5


def test_closing_amid_a_stream() -> None:
    stream = prague(5)
    chain = stream.ours(backend="process")
    blocks = stream.blocks()
    for done, block in zip(import_blocks(chain, blocks), blocks, strict=True):
        assert done.imported_block == block
        close()
