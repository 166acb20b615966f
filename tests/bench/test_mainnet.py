"""Recorded blocks against the clock: what is replayed, what counts, what is said of the rest."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parallel_evm.bench import mainnet
from parallel_evm.bench.mainnet import Mainnet, MainnetSide, measure_mainnet, recorded_blocks
from parallel_evm.conformance.parallel import Parallel
from parallel_evm.conformance.replay import BlockReplay, Replays, run_replay

CASE = (
    Path(__file__).parents[1] / "conformance" / "cases" / "selfdestruct-to-itself-since-cancun.json"
)
pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode present")


def record(path: Path) -> Path:
    """A recorded block."""
    shutil.copy(CASE, path)
    return path


def test_each_side_replays_cold_and_warm(tmp_path: Path) -> None:
    found = measure_mainnet([record(tmp_path / "7.json")], workers=[1], repeats=3)
    (side,) = found.sides
    (block,) = side.replays.blocks
    assert (side.workers, side.backend) == (1, "serial")
    assert block.equal
    assert block.cold_seconds > 0 and block.warm_seconds > 0
    assert found.exit_code == 0
    written = json.loads(json.dumps(found.to_dict()))
    assert written["warm_runs"] == 3
    assert written["sides"][0]["blocks"][0]["seconds"]["warm"] > 0
    # The block has too few transactions to count.
    assert written["sides"][0]["median_warm_ratio"] is None


def test_repeats_are_runs_of_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from parallel_evm.conformance import replay

    ran: list[bool] = []
    execute = replay._execute

    def counted(world: Any, vm_class: Any, walk: bool = False) -> Any:
        ran.append(hasattr(vm_class, "parallel_engine"))
        return execute(world, vm_class, walk)

    monkeypatch.setattr(replay, "_execute", counted)
    run_replay([record(tmp_path / "7.json")], Parallel(1, "serial"), repeats=3)
    #              py-evm  cold  warm | py-evm  warm | ...
    assert ran == [False, True, True, False, True, False, True]
    ran.clear()
    run_replay([tmp_path / "7.json"], Parallel(1, "serial"), repeats=2, warm_up=3)
    assert ran == [False, True, *[True] * 3, True, False, True]


def test_a_difference_in_a_repeated_run_is_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from parallel_evm.conformance import replay

    runs = 0
    execute = replay._execute

    def spoilt(world: Any, vm_class: Any, walk: bool = False) -> Any:
        nonlocal runs
        done = execute(world, vm_class, walk)
        runs += hasattr(vm_class, "parallel_engine")
        return replace(done, gas_used=done.gas_used + 1) if runs == 4 else done

    monkeypatch.setattr(replay, "_execute", spoilt)
    found = measure_mainnet([record(tmp_path / "7.json")], workers=[1], repeats=3)
    (difference,) = found.sides[0].replays.blocks[0].differences
    assert difference.name == "gas used, again"
    assert found.exit_code == 1


def test_what_warms_up_does_not_count_as_warm_but_must_be_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from parallel_evm.conformance import replay

    runs: list[Any] = []
    execute = replay._execute

    def slow_at_first(world: Any, vm_class: Any, walk: bool = False) -> Any:
        done = execute(world, vm_class, walk)
        if hasattr(vm_class, "parallel_engine"):
            runs.append(done)
            seconds = 7.0 if len(runs) <= 5 else 1.0
            done = replace(done, seconds=seconds, gas_used=done.gas_used + (len(runs) == 3))
        return done

    monkeypatch.setattr(replay, "_execute", slow_at_first)
    found = measure_mainnet([record(tmp_path / "7.json")], workers=[1], repeats=2, warm_up=4)
    (block,) = found.sides[0].replays.blocks
    assert (block.cold_seconds, block.warm_seconds) == (7.0, 1.0)
    assert block.warm.blocks == 1
    (difference,) = block.differences
    assert difference.name == "gas used, warming up"
    assert found.to_dict()["warm_up"] == 4


def test_medians_are_over_substantial_blocks(tmp_path: Path) -> None:
    side = measure_mainnet([record(tmp_path / "7.json")], workers=[1], repeats=1).sides[0]
    (block,) = side.replays.blocks

    def of(transactions: int, warm: float) -> BlockReplay:
        return replace(
            block, transactions=transactions, sequential_seconds=6.0, warm_seconds=warm,
            cold_seconds=6.0,
        )  # fmt: skip

    many = mainnet.SUBSTANTIAL
    replays = Replays("x", (of(many, 1.0), of(many, 2.0), of(many, 3.0), of(many - 1, 0.1)))
    several = MainnetSide(1, "serial", replays)
    assert several.ratios(cold=False) == [6.0, 3.0, 2.0]
    assert several.to_dict()["median_warm_ratio"] == 3.0
    assert several.to_dict()["median_cold_ratio"] == 1.0


def test_a_broken_recording_spoils_only_itself(tmp_path: Path) -> None:
    whole, broken = record(tmp_path / "7.json"), record(tmp_path / "8.json")
    broken.write_text("{")
    found: Mainnet = measure_mainnet([whole, broken], workers=[1], repeats=1)
    assert len(found.sides[0].replays.blocks) == 1
    assert "8.json" in found.unusable[0].reason
    assert found.exit_code == 2


def test_blocks_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in ("100", "20"):
        (tmp_path / number).mkdir()
        (tmp_path / number / "block.json").touch()
    record(tmp_path / "3.json")
    (tmp_path / "notes").mkdir()
    assert [path.stem for path in recorded_blocks(tmp_path)] == ["3", "20", "100"]
    assert recorded_blocks(tmp_path / "20") == [tmp_path / "20"]


def test_a_folder_without_blocks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no recorded block"):
        recorded_blocks(tmp_path)
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        recorded_blocks(tmp_path / "nowhere")
