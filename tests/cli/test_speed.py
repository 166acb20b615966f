"""The commands about speed: what they print, and how they answer bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from parallel_evm.bench.peers import Peer, PeerUnusable
from parallel_evm.cli import app, speed

runner = CliRunner()


@pytest.mark.slow
def test_demo_compares_both_ways_and_says_identical() -> None:
    result = runner.invoke(app, ["demo", "--txs", "12", "--backend", "serial", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["identical"] is True
    assert found["transactions"] == 12
    assert found["executions"] >= 12
    assert found["hottest"]


@pytest.mark.slow
def test_demo_shows_a_table() -> None:
    result = runner.invoke(app, ["demo", "--txs", "6", "--backend", "serial"])
    assert result.exit_code == 0, result.output
    assert "identical" in result.output
    assert "hottest storage slots" in result.output


def test_bench_prints_ratios_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, cache = tmp_path / "figures.json", tmp_path / "cache"
    cache.mkdir(mode=0o700)
    monkeypatch.setenv("PARALLEL_EVM_CACHE", str(cache))
    monkeypatch.setattr("parallel_evm.translator.cache.SAVE_SECONDS", 0.0)
    arguments = ["bench", "erc20", "--txs", "24", "--blocks", "1", "--workers", "1"]
    result = runner.invoke(app, [*arguments, "--json", str(file)])
    assert result.exit_code == 0, result.output
    (figures,) = json.loads(file.read_text())
    assert figures["workload"] == "erc20"
    assert figures["sequential_ms"] > 0
    assert figures["sides"][0]["warm_ratio"] > 0
    assert "signature recovery" in figures["included"]
    assert "no translation is taken from disk" in figures["included"]
    assert figures["translation_cache"] is False
    assert not list(cache.iterdir())
    assert runner.invoke(app, [*arguments, "--translation-cache"]).exit_code == 0
    assert list(cache.iterdir())


@pytest.mark.slow
def test_bench_of_single_transactions(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    arguments = ["bench", "erc20", "--txs", "4", "--blocks", "1", "--workers", "1", "--single"]
    result = runner.invoke(app, [*arguments, "--json", str(file)])
    assert result.exit_code == 0, result.output
    (figures,) = json.loads(file.read_text())
    assert {"call", "estimate", "pending"} < figures["single"].keys()
    assert "single transactions" in result.output
    folder = ["bench", "--mainnet", str(tmp_path), "--single"]
    result = runner.invoke(app, folder)
    assert result.exit_code == 2
    assert "--single is for workloads" in result.output


@pytest.mark.slow
def test_bench_without_something_says_so(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    arguments = ["bench", "hot-pool", "--txs", "8", "--blocks", "2", "--workers", "2"]
    arguments += ["--backend", "thread", "--without", "lanes", "--without", "overlap"]
    result = runner.invoke(app, [*arguments, "--json", str(file)])
    assert result.exit_code == 0, result.output
    (figures,) = json.loads(file.read_text())
    full, *others = figures["sides"]
    assert [side["without"] for side in (full, *others)] == [None, "lanes", "overlap"]
    assert others[0]["reexecuted"] > full["reexecuted"] == others[1]["reexecuted"]
    assert full["cold_ratio"] > 0
    assert [side["cold_ratio"] for side in others] == [None, None]
    assert "no lanes" in " ".join(result.output.split())


def test_bench_of_a_stream_says_so(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    arguments = ["bench", "transfers", "--txs", "8", "--blocks", "4", "--workers", "2"]
    result = runner.invoke(app, [*arguments, "--stream", "2", "--json", str(file)])
    assert result.exit_code == 0, result.output
    (figures,) = json.loads(file.read_text())
    assert (figures["blocks"], figures["stream"]) == (4, 2)
    assert figures["sides"][0]["warm_ratio"] > 0
    assert "streams of 2 warm blocks" in figures["included"]


def test_bench_without_what_there_is_not(tmp_path: Path) -> None:
    result = runner.invoke(app, ["bench", "erc20", "--without", "brakes"])
    assert result.exit_code == 2
    assert (
        "no 'brakes'; there are translate, assistant, direct, in_place, forecasts" in result.output
    )
    result = runner.invoke(app, ["bench", "--mainnet", str(tmp_path), "--without", "lanes"])
    assert result.exit_code == 2
    assert "--without is for workloads" in result.output


CASE = (
    Path(__file__).parents[1] / "conformance" / "cases" / "selfdestruct-to-itself-since-cancun.json"
)


@pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode present")
def test_bench_replays_recorded_blocks_and_no_workload(tmp_path: Path) -> None:
    file, folder = tmp_path / "figures.json", tmp_path / "blocks"
    folder.mkdir()
    shutil.copy(CASE, folder)
    arguments = ["bench", "--mainnet", str(folder), "--workers", "1", "--blocks", "2"]
    result = runner.invoke(app, [*arguments, "--warm-up", "3", "--json", str(file)])
    assert result.exit_code == 0, result.output
    assert "1 x serial, warm" in " ".join(result.output.split())
    assert "median of 2 replays after 3 more" in result.output
    assert "transfers" not in result.output
    (figures,) = json.loads(file.read_text())
    assert figures["workload"] == "mainnet"
    assert figures["warm_up"] == 3
    assert figures["sides"][0]["blocks"][0]["equal"] is True


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["bench", "--mainnet", "/no/such/folder"], "/no/such/folder"),
        (["bench", "--mainnet", "."], "no recorded block"),
        (["bench", "no-such-thing"], "no-such-thing"),
        (["bench", "transfers", "--workers", "1,two"], "two"),
        (["bench", "transfers", "--workers", "0"], "0"),
        (["bench", "transfers", "--stream", "0"], "--stream"),
        (["bench", "transfers", "--blocks", "5", "--stream", "2"], "no streams of 2"),
        (["bench", "--mainnet", ".", "--blocks", "2", "--stream", "2"], "--stream"),
        (["bench", "transfers", "--warm-up", "2"], "--warm-up is for --mainnet"),
        (["bench", "transfers", "--json", "/no/such/folder/x.json"], "/no/such/folder"),
        (["bench", "transfers", "--json", "."], ". is a folder"),
        (
            ["bench", "transfers", "--workers", "1025"],
            "'1025' is not a number of workers",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], culprit: str) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert culprit in result.output
    assert "Traceback" not in result.output


def test_bench_without_anvil_says_so_before_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise PeerUnusable("--peers: there is no anvil")

    monkeypatch.setattr(speed, "find_anvil", none)
    monkeypatch.setattr(speed, "measure", lambda *_, **__: pytest.fail("it worked"))
    result = runner.invoke(app, ["bench", "transfers", "--peers"])
    assert result.exit_code == 2
    assert result.output == "parallel-evm: --peers: there is no anvil\n"


def test_bench_shows_anvil_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "find_anvil", lambda: Path("anvil"))
    monkeypatch.setattr(
        speed, "measure_anvil", lambda *_, **__: Peer("anvil", "anvil/v1", 0.25, 0.125)
    )
    file = tmp_path / "figures.json"
    arguments = ["bench", "transfers", "--txs", "4", "--blocks", "1", "--workers", "1", "--peers"]
    result = runner.invoke(app, [*arguments, "--json", str(file)])
    assert result.exit_code == 0, result.output
    assert " anvil " in result.output
    assert "0.12" in result.output
    assert "anvil/v1: evm_mine alone" in result.output
    (figures,) = json.loads(file.read_text())
    assert figures["peers"][0]["warm_ms"] == 0.125
