"""Transactions that run on the committed state itself come out as those on views of their own."""

from __future__ import annotations

import random
from types import FrameType
from typing import Any

import pytest

from parallel_evm import BlockReport, ParallelConfig, parallelize
from parallel_evm.merkle.account_db import MerkleState
from parallel_evm.speculation.executor import Executor, Irregular
from parallel_evm.speculation.in_place import InPlace
from parallel_evm.speculation.run import Speculator
from parallel_evm.workloads import Workload, build
from tests.strategies import mostly_slow
from tests.workers.faults import tracing

WORKLOADS = ("transfers", "erc20", "swaps", "mixed")


def scene_and_blocks(workload: str, transactions: int = 24) -> tuple[Workload, list[Any]]:
    scene = build(workload, transactions=transactions, accounts=10, blocks=2)
    builder = scene.open()
    return scene, [builder.mine_all(batch)[0].imported_block for batch in scene.blocks]


def opened(scene: Workload, **options: Any) -> Any:
    config = ParallelConfig(workers=1, **{"backend": "serial", "min_transactions": 1, **options})
    return scene.open(parallelize(scene.chain_class, config=config))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> dict[type, int]:
    """How often transactions ran, by who ran them."""
    counts: dict[type, int] = {InPlace: 0, Speculator: 0}

    def counted(cls: Any) -> Any:
        run = cls.run

        def watched(self: Any, *args: Any) -> Any:
            counts[cls] += 1
            return run(self, *args)

        return watched

    for cls in counts:
        monkeypatch.setattr(cls, "run", counted(cls))
    return counts


@pytest.mark.parametrize("workload", mostly_slow(WORKLOADS, "erc20"))
def test_it_is_so_unless_somebody_wants_to_know_what_they_touched(
    workload: str, runs: dict[type, int]
) -> None:
    scene, blocks = scene_and_blocks(workload)
    reports: list[BlockReport] = []
    listening: dict[str, Any] = {"on_block": reports.append}
    for options, in_place in (
        ({}, True),
        ({"accesses": False, **listening}, True),
        (listening, False),
        ({"in_place": False}, False),
        ({"direct": False}, False),
    ):
        runs.update(dict.fromkeys(runs, 0))
        chain = opened(scene, **options)
        for block in blocks:
            assert chain.import_block(block).imported_block.hash == block.hash
        assert (runs[Speculator] == 0) is in_place
        assert runs[InPlace if in_place else Speculator] == 48
    assert [bool(r.transactions[0].reads) for r in reports] == [False, False, True, True]
    assert {(r.executions, r.reexecutions) for r in reports} == {(24, 0)}
    assert all(t.seconds > 0 and t.attempts == 1 for r in reports for t in r.transactions)


@pytest.mark.parametrize("step", ["charge", "at the end", "the last thing"])
@pytest.mark.parametrize("error", [Irregular, LookupError])
def test_one_that_breaks_off_leaves_nothing(
    step: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch, runs: dict[type, int]
) -> None:
    """Every second transaction does, wherever it is; then somebody else runs it."""
    scene, blocks = scene_and_blocks("mixed")
    broken: list[int] = []

    def breaking(method: Any) -> Any:
        def breaks(self: Any, view: Any, *args: Any) -> Any:
            if not isinstance(view, MerkleState) or view.index % 2:
                return method(self, view, *args)
            broken.append(view.index)
            method(self, view, *args)
            raise error

        return breaks

    name = {"charge": "_buy", "at the end": "_settle", "the last thing": "_clear"}[step]
    monkeypatch.setattr(Executor, name, breaking(getattr(Executor, name)))
    chain = opened(scene)
    for block in blocks:
        assert chain.import_block(block).imported_block.hash == block.hash
    assert broken == list(range(0, 24, 2)) * 2
    assert runs[Speculator] == (24 if error is Irregular else 0)


@pytest.mark.parametrize("workload", mostly_slow(WORKLOADS, "mixed"))
def test_the_witness_names_what_it_names_with_views(workload: str) -> None:
    scene, blocks = scene_and_blocks(workload)
    stock = scene.open()
    with_views = opened(scene, in_place=False)
    in_place = opened(scene)
    for block in blocks:
        its, theirs, ours = (
            chain.import_block(block).meta_witness for chain in (stock, with_views, in_place)
        )
        assert ours.accounts_queried == theirs.accounts_queried
        assert ours.account_bytecodes_queried == its.account_bytecodes_queried
        assert ours.total_slots_queried == its.total_slots_queried
        for address in its.accounts_queried:
            assert ours.get_slots_queried(address) == its.get_slots_queried(address)


def test_a_root_that_a_hook_makes_between_transactions_ends_nothing() -> None:
    scene, _ = scene_and_blocks("erc20")
    name, vm_class = scene.chain_class.vm_configuration[0]
    roots: list[bytes] = []

    class Rooted(vm_class):  # type: ignore[misc,valid-type]
        def transaction_applied_hook(self, *args: Any) -> None:
            roots.append(self.state.make_state_root())

    class Chain(scene.chain_class):  # type: ignore[name-defined,misc]
        vm_configuration = ((name, Rooted),)

    slots = []
    for chain_class in (Chain, parallelize(Chain, workers=1, backend="serial")):
        chain: Any = scene.open(chain_class)
        for batch in scene.blocks:
            witness = chain.mine_all(batch)[0].meta_witness
        slots.append({a: witness.get_slots_queried(a) for a in witness.accounts_queried})
    stock, ours = roots[: len(roots) // 2], roots[len(roots) // 2 :]
    assert stock == ours
    assert len(set(ours)) == 48
    assert {a: seen for a, seen in slots[0].items() if seen} == {
        a: seen for a, seen in slots[1].items() if seen
    }


def _runs_in_place(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not InPlace.run.__code__:
        frame = frame.f_back
    return frame is not None


@pytest.mark.parametrize("times", mostly_slow([20, 200], 20))
def test_an_interrupt_at_any_line_leaves_the_chain_where_it_was(times: int) -> None:
    scene, blocks = scene_and_blocks("mixed", transactions=6)
    chance = random.Random(times)
    lines = 0

    def count(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    opened(scene).import_block(blocks[0])  # what is made once has been made
    with tracing(count):
        opened(scene).import_block(blocks[0])
    struck: list[bool] = []
    for _ in range(times):
        chain = opened(scene)
        left = chance.randrange(lines)

        def interrupt(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal left
            left -= event == "line"
            if event == "line" and left == 0:
                struck.append(_runs_in_place(frame))
                raise KeyboardInterrupt
            return interrupt

        try:
            with tracing(interrupt):
                chain.import_block(blocks[0])
        except KeyboardInterrupt:
            head = chain.get_canonical_head().hash
            assert head in (blocks[0].header.parent_hash, blocks[0].hash)
        for block in blocks:
            assert chain.import_block(block).imported_block.hash == block.hash
    assert len(struck) > times / 2
    assert struck.count(True) > times / 4
