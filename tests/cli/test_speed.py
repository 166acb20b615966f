"""The commands about speed: what they print, and how they answer bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from parallel_evm.cli import app

runner = CliRunner()


def test_demo_compares_both_ways_and_says_identical() -> None:
    result = runner.invoke(app, ["demo", "--txs", "12", "--backend", "serial", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["identical"] is True
    assert found["transactions"] == 12
    assert found["executions"] >= 12
    assert found["hottest"]


def test_demo_shows_a_table() -> None:
    result = runner.invoke(app, ["demo", "--txs", "6", "--backend", "serial"])
    assert result.exit_code == 0, result.output
    assert "identical" in result.output
    assert "hottest storage slots" in result.output


def test_bench_prints_ratios_and_writes_json(tmp_path) -> None:
    file = tmp_path / "figures.json"
    arguments = ["bench", "transfers", "--txs", "6", "--blocks", "1", "--workers", "1"]
    result = runner.invoke(app, [*arguments, "--json", str(file)])
    assert result.exit_code == 0, result.output
    (figures,) = json.loads(file.read_text())
    assert figures["workload"] == "transfers"
    assert figures["sequential_ms"] > 0
    assert figures["sides"][0]["warm_ratio"] > 0
    assert "signature recovery" in figures["included"]


CASE = (
    Path(__file__).parents[1] / "conformance" / "cases" / "selfdestruct-to-itself-since-cancun.json"
)


@pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode present")
def test_bench_replays_recorded_blocks_and_no_workload(tmp_path: Path) -> None:
    file, folder = tmp_path / "figures.json", tmp_path / "blocks"
    folder.mkdir()
    shutil.copy(CASE, folder)
    arguments = ["bench", "--mainnet", str(folder), "--workers", "1", "--blocks", "2"]
    result = runner.invoke(app, [*arguments, "--json", str(file)])
    assert result.exit_code == 0, result.output
    assert "1 x serial, warm" in " ".join(result.output.split())
    assert "median of 2 replays" in result.output
    assert "transfers" not in result.output
    (figures,) = json.loads(file.read_text())
    assert figures["workload"] == "mainnet"
    assert figures["sides"][0]["blocks"][0]["equal"] is True


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["bench", "--mainnet", "/no/such/folder"], "/no/such/folder"),
        (["bench", "--mainnet", "."], "no recorded block"),
        (["bench", "no-such-thing"], "no-such-thing"),
        (["bench", "transfers", "--workers", "1,two"], "two"),
        (["bench", "transfers", "--workers", "0"], "0"),
        (["bench", "transfers", "--json", "/no/such/folder/x.json"], "/no/such/folder"),
        (["bench", "transfers", "--json", "."], ". is a folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], culprit: str) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert culprit in result.output
    assert "Traceback" not in result.output
