"""Forecasts kept: a chain that begins with another one's experience runs nothing twice."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from eth.chains.base import MiningChain

from parallel_evm import (
    BlockReport,
    ConfigurationError,
    InputError,
    ParallelConfig,
    load_forecasts,
    parallelize,
    save_forecasts,
)
from parallel_evm.workloads import Workload, build


@pytest.fixture(scope="module")
def scene() -> Workload:
    return build("insurance", transactions=60, blocks=3)


@pytest.fixture(scope="module")
def experienced(scene: Workload) -> Any:
    reports: list[BlockReport] = []
    chain = chain_class(scene, reports)
    run(scene, chain, reports)
    return chain


def chain_class(scene: Workload, reports: list[BlockReport], **options: Any) -> Any:
    settings: dict[str, Any] = {"workers": 2, "backend": "thread", "min_transactions": 1, **options}
    return parallelize(
        scene.chain_class, config=ParallelConfig(on_block=reports.append, **settings)
    )


def run(scene: Workload, chain: Any, reports: list[BlockReport]) -> list[int]:
    """Mine the blocks; returns how many transactions of each ran twice."""
    stock, ours = scene.open(), scene.open(chain)
    for transactions in scene.blocks:
        expected = stock.mine_all(transactions)[0].imported_block
        assert ours.mine_all(transactions)[0].imported_block.hash == expected.hash
    return [report.reexecutions for report in reports[-len(scene.blocks) :]]


@pytest.mark.slow
def test_what_one_chain_learned_serves_another(scene: Workload, tmp_path: Path) -> None:
    reports: list[BlockReport] = []
    teacher = chain_class(scene, reports)
    cold = run(scene, teacher, reports)
    file = tmp_path / "forecasts.json"
    assert save_forecasts(teacher, file) > 10
    assert list(tmp_path.iterdir()) == [file]

    pupil = chain_class(scene, reports)
    assert load_forecasts(pupil, str(file)) > 10
    warm = run(scene, pupil, reports)

    assert cold[0] > 0
    assert warm == [0, 0, 0]


def test_another_ones_experience_makes_no_block_wrong(scene: Workload, tmp_path: Path) -> None:
    """Every expectation says the opposite of what was learned."""
    reports: list[BlockReport] = []
    teacher = chain_class(scene, reports)
    run(scene, teacher, reports)
    file = tmp_path / "forecasts.json"
    save_forecasts(teacher, file)
    data = json.loads(file.read_text())
    for contract in data["contracts"]:
        for function in contract["functions"]:
            for known in function["accesses"]:
                known["reads"], known["writes"] = not known["reads"], not known["writes"]
                known["counts"] = "slot" in known and not known["counts"]
                known["address"] = "caller" if known["address"] == "callee" else "callee"
    file.write_text(json.dumps(data))
    misled = chain_class(scene, reports)
    load_forecasts(misled, file)

    run(scene, misled, reports)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"{}", "not a file of forecasts"),
        (
            b'{"forecasts": 1, "contracts": [{"address": "0x01"}]}',
            "contracts[0].address: expected 20 bytes",
        ),
    ],
)
def test_a_damaged_file_is_refused_and_nothing_forgotten(
    experienced: Any, tmp_path: Path, content: bytes, complaint: str
) -> None:
    chain = experienced
    known = chain.vm_configuration[0][1].parallel_engine.forecaster()
    file = tmp_path / "damaged.json"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_forecasts(chain, file)
    assert str(caught.value).startswith(str(file))
    assert complaint in str(caught.value)
    assert chain.vm_configuration[0][1].parallel_engine.forecaster() is known


def test_what_does_not_forecast_has_nothing_to_keep(scene: Workload, tmp_path: Path) -> None:
    file = tmp_path / "forecasts.json"
    for options in ({"backend": "serial"}, {"forecasts": False}, {"workers": 1, "backend": "auto"}):
        chain = chain_class(scene, [], **options)
        for act in (save_forecasts, load_forecasts):
            with pytest.raises(ConfigurationError, match="several workers"):
                act(chain, file)
    for act in (save_forecasts, load_forecasts):
        with pytest.raises(ConfigurationError, match="no chain class that was parallelized"):
            act(MiningChain, file)
    assert not list(tmp_path.iterdir())


def test_nothing_learned_is_not_written_over_what_was(scene: Workload, tmp_path: Path) -> None:
    file = tmp_path / "forecasts.json"
    file.write_text("precious")
    with pytest.raises(ConfigurationError, match="nothing has been learned yet"):
        save_forecasts(chain_class(scene, []), file)
    assert file.read_text() == "precious"


def test_a_file_that_cannot_be_written_leaves_nothing(experienced: Any, tmp_path: Path) -> None:
    chain = experienced
    with pytest.raises(OSError, match=re.escape(f"'{tmp_path}/nowhere/forecasts.json'")):
        save_forecasts(chain, tmp_path / "nowhere" / "forecasts.json")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError):
        save_forecasts(chain, folder)
    assert list(tmp_path.iterdir()) == [folder]
    with pytest.raises(InputError, match=r"missing\.json: No such file"):
        load_forecasts(chain, tmp_path / "missing.json")
