"""conform, replay and fuzz: what they print and write, their exit codes, bad input, Ctrl-C."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from parallel_evm.cli import app, conformance
from parallel_evm.conformance.chains import blockchain_test
from parallel_evm.conformance.parallel import Parallel
from parallel_evm.conformance.scenario import scenario

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT opcode present")
DATA = Path(__file__).parents[1] / "conformance"
BLOCK = DATA / "cases" / "selfdestruct-to-itself-since-cancun.json"
SERIAL = ["--backend", "serial", "--workers", "1"]
runner = CliRunner()

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def chain() -> dict[str, Any]:
    """A BlockchainTest with valid blocks, the first of them not empty, and an invalid one."""
    for index in itertools.count():
        found = blockchain_test(scenario(0, index))
        first = found["blocks"][0].get("blockHeader")
        complete = any("expectException" in block for block in found["blocks"])
        recent = found["network"] in ("London", "Paris", "Shanghai", "Cancun", "Prague")
        if first and first["gasUsed"] != "0x0" and complete and recent:
            return found
    raise AssertionError


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write content to a file; what is not text becomes JSON."""

    def to(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return to


class GivesAway(Parallel):
    """The executor with a planted error: every block with transactions creates a wei."""

    def transform(self, vm_class: Any) -> Any:
        class WrongVM(super().transform(vm_class)):  # type: ignore[misc]
            def apply_all_transactions(self, transactions: Any, base_header: Any) -> Any:
                done = super().apply_all_transactions(transactions, base_header)
                if transactions:
                    self.state.delta_balance(b"\x77" * 20, 1)
                return done

        return WrongVM


@pytest.fixture
def wrong_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "Parallel", GivesAway)


# -- conform -----------------------------------------------------------------------------------


def test_conform_passes_a_case_and_writes_json(chain: Any, write: Write, tmp_path: Path) -> None:
    file, written = write("folder/chain.json", {"good": chain}), tmp_path / "result.json"
    result = runner.invoke(app, ["conform", str(file.parent), *SERIAL, "--json", str(written)])
    assert result.exit_code == 0, result.output
    assert "1 cases" in result.stdout
    assert "1 passed, 0 failed" in result.stdout
    assert result.stderr == "", "progress is for terminals"
    found = json.loads(written.read_text())
    assert found["subject"] == "serial backend, 1 workers"
    assert found["totals"]["passed"] == 1
    assert found["folders"] == {"folder": {"passed": 1}}
    assert found["networks"] == {chain["network"]: {"passed": 1}}
    assert found["cases"][0]["case"] == "good"
    assert found["execution"]["parallel"] == found["execution"]["blocks"] > 0


@pytest.mark.slow
def test_conform_runs_files_side_by_side(chain: Any, write: Write) -> None:
    files = [str(write(f"{index}.json", {f"case {index}": chain})) for index in range(2)]
    result = runner.invoke(app, ["conform", *files, *SERIAL, "--jobs", "2"])
    assert result.exit_code == 0, result.output
    assert "2 passed, 0 failed" in result.stdout


def test_conform_matches_and_samples(chain: Any, write: Write) -> None:
    file = str(write("chain.json", {f"case {index}": chain for index in range(4)}))
    matched = runner.invoke(app, ["conform", file, *SERIAL, "--match", "case 2"])
    assert (matched.exit_code, "1 passed" in matched.stdout) == (0, True), matched.output
    sampled = runner.invoke(app, ["conform", file, *SERIAL, "--sample", "3"])
    assert (sampled.exit_code, "3 passed" in sampled.stdout) == (0, True), sampled.output


def test_what_stock_py_evm_fails_is_named_and_not_counted(chain: Any, write: Write) -> None:
    impossible = {**chain, "lastblockhash": "0x" + "11" * 32}
    file = write("chain.json", {"good": chain, "impossible": impossible})
    result = runner.invoke(app, ["conform", str(file), *SERIAL])
    assert result.exit_code == 0, result.output
    assert f"stock fails: {file}::impossible ({chain['network']}): lastblockhash:" in result.stdout
    assert "1 passed, 0 failed, 1 stock fails" in result.stdout


def test_where_the_executor_fails_a_case_otherwise_than_stock_py_evm_it_says_so(
    wrong_executor: None, chain: Any, write: Write
) -> None:
    impossible = {**chain, "lastblockhash": "0x" + "11" * 32}
    result = runner.invoke(
        app, ["conform", str(write("a.json", {"impossible": impossible})), *SERIAL]
    )
    assert result.exit_code == 0, result.output
    assert "stock fails, and the executor otherwise: " in result.stdout
    assert "1 stock fails (1 of them and the executor otherwise)" in result.stdout


def test_a_failed_case_is_named_and_exits_with_1(
    wrong_executor: None, chain: Any, write: Write
) -> None:
    file = write("chain.json", {"good": chain})
    broken = write("broken.json", "{")
    result = runner.invoke(app, ["conform", str(broken), str(file), *SERIAL])
    assert result.exit_code == 1, "a difference says more than bad input beside it"
    assert f"failed: {file}::good ({chain['network']}): blocks[0]: refused: " in result.stdout
    assert "0 passed, 1 failed" in result.stdout
    assert f"parallel-evm: {broken}: not valid JSON" in result.stderr


def test_bad_cases_have_a_line_each_and_the_others_still_run(
    chain: Any, write: Write, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    spoilt = json.loads(json.dumps(chain))
    spoilt["blocks"][0]["blockHeader"]["hash"] = "0x12"
    bad = {
        empty: "no JSON file in this folder",
        tmp_path / "nowhere": "no such file or folder",
        write("broken.json", "{"): "not valid JSON",
        write("truncated.json", json.dumps({"a": chain})[:-100]): "not valid JSON",
    }
    cases = {
        write("no-network.json", {"a": {"blocks": []}}): "network: missing",
        write("unknown.json", {"a": {**chain, "network": "Atlantis"}}): "network: py-evm has no",
        write("short.json", {"a": spoilt}): "blocks[0].blockHeader.hash: expected 32 bytes",
    }
    lines = [f"parallel-evm: {path}: {reason}" for path, reason in bad.items()]
    lines += [f"parallel-evm: {path}::a: {reason}" for path, reason in cases.items()]
    good = write("good.json", {"good": chain})
    result = runner.invoke(app, ["conform", *map(str, [*bad, *cases, good]), *SERIAL])
    assert result.exit_code == 2
    assert "1 passed, 0 failed, 1 unknown network, 6 unusable" in result.stdout
    told = result.stderr.splitlines()
    assert len(told) == len(lines)
    for line in lines:
        assert any(other.startswith(line) for other in told), (line, told)


def test_no_case_at_all_is_bad_input(chain: Any, write: Write) -> None:
    file = str(write("chain.json", {"good": chain}))
    result = runner.invoke(app, ["conform", file, "--match", "no such case"])
    assert result.exit_code == 2
    assert result.stderr == f"parallel-evm: no case to run that matches 'no such case' in {file}\n"


# -- replay ------------------------------------------------------------------------------------


def test_replay_says_identical_and_writes_json(tmp_path: Path) -> None:
    written = tmp_path / "result.json"
    result = runner.invoke(app, ["replay", str(BLOCK), *SERIAL, "--json", str(written)])
    assert result.exit_code == 0, result.output
    assert "identical" in result.stdout
    assert "not compared with the header: state root" in result.stdout
    found = json.loads(written.read_text())
    assert found["equal"] is True
    (block,) = found["blocks"]
    assert set(block["seconds"]) == {"sequential", "cold", "warm"}
    assert block["cold"]["parallel"] == block["warm"]["parallel"] == 1
    assert block["cold"]["re_executions"] >= 0
    assert all(check["equal"] for check in block["against_sequential"])


def test_replay_takes_both_kinds_of_found_cases(chain: Any, write: Write, tmp_path: Path) -> None:
    """They are told apart by their content, whatever their names are."""
    written, file = tmp_path / "result.json", write("block-0-1.json", {"good": chain})
    result = runner.invoke(app, ["replay", str(file), str(BLOCK), *SERIAL, "--json", str(written)])
    assert result.exit_code == 0, result.output
    assert result.stdout.count("identical") == 1
    assert "1 passed, 0 failed" in result.stdout
    found = json.loads(written.read_text())
    assert len(found["blocks"]) == 1
    assert found["chains"]["totals"]["passed"] == 1

    alone = runner.invoke(app, ["replay", str(file), *SERIAL])
    assert alone.exit_code == 0, alone.output
    assert "not compared with the header" not in alone.stdout


def test_a_chain_that_differs_or_cannot_be_used_shows_in_the_exit_code_of_replay(
    wrong_executor: None, chain: Any, write: Write, tmp_path: Path
) -> None:
    file, written = write("chain.json", {"good": chain}), tmp_path / "result.json"
    options = [*SERIAL, "--json", str(written)]
    result = runner.invoke(app, ["replay", str(tmp_path / "nowhere"), str(file), *options])
    assert result.exit_code == 1
    assert json.loads(written.read_text())["equal"] is False
    assert f"failed: {file}::good" in result.stdout
    assert "nowhere: No such file or directory" in result.stderr
    spoilt = write("spoilt.json", {"bad": {**chain, "pre": 7}})
    result = runner.invoke(app, ["replay", str(spoilt), *SERIAL])
    assert result.exit_code == 2
    told = f"parallel-evm: {spoilt}::bad: pre: expected an object, found a number\n"
    assert result.stderr == told


def test_a_difference_is_named_and_exits_with_1(wrong_executor: None, tmp_path: Path) -> None:
    result = runner.invoke(app, ["replay", str(tmp_path / "nowhere"), str(BLOCK), *SERIAL])
    assert result.exit_code == 1
    assert f"DIFFERENT: {BLOCK}: state root, warm: 0x" in result.stdout
    assert "nowhere: No such file or directory" in result.stderr


def test_bad_blocks_have_a_line_each_and_the_others_still_run(write: Write, tmp_path: Path) -> None:
    whole = json.loads(BLOCK.read_text())
    sender = whole["block"]["transactions"][0]["from"]
    lacking = {address: it for address, it in whole["prestate"].items() if address != sender}
    (tmp_path / "empty").mkdir()
    bad = [
        (tmp_path / "empty", "empty/block.json: No such file or directory"),
        (write("broken.json", "{"), "broken.json: not valid JSON"),
        (write("a.json", whole | {"prestate": lacking}), f"a.json: {sender}: missing account"),
        (write("b.json", whole | {"fork": "atlantis"}), "b.json: fork: unknown fork 'atlantis'"),
        (
            write("c.json", whole | {"block": whole["block"] | {"gasUsed": "0x5208"}}),
            "c.json: block.hash: ",
        ),
    ]
    result = runner.invoke(app, ["replay", *(str(path) for path, _ in bad), str(BLOCK), *SERIAL])
    assert result.exit_code == 2
    assert result.stdout.count("identical") == 1
    told = result.stderr.splitlines()
    assert len(told) == len(bad)
    for line, (_, culprit) in zip(told, bad, strict=True):
        assert line.startswith("parallel-evm: /")
        assert culprit in line


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["replay", "x", "--fork", "atlantis"], "--fork: unknown fork 'atlantis'; one of fronti"),
        (["replay", "x", "--save", "y"], "--save: there is nothing to save without --rpc"),
        (["replay", "1", "2", "--rpc", "http://127.0.0.1:9"], "--rpc: takes one block NUMBER"),
        (["replay", "-1", "--rpc", "http://127.0.0.1:9"], "-1"),
        (["replay", "six", "--rpc", "http://127.0.0.1:9"], "--rpc: 'six' is not a block number"),
        (["replay", "6", "--rpc", "http://127.0.0.1:9"], "127.0.0.1:9: eth_getBlockByNumber: no a"),
        (["fuzz", "--save", __file__], "is not a folder"),
        (["fuzz", "--seconds", "0"], "--seconds"),
        (["fuzz", "--draws", "0"], "--draws"),
        (["fuzz", "--workers", "0"], "--workers"),
        (["fuzz", "--workers", "1000000000"], "--workers"),
        (["conform", "x", "--jobs", "0"], "--jobs"),
        (["conform", "x", "--backend", "quantum"], "--backend"),
        (["fuzz", "--save", __file__ + "/x/y"], "cannot be made in " + __file__),
        (["conform", "x", "--json", "/no/such/folder/x.json"], "/no/such/folder"),
    ],
)
def test_wrong_options(arguments: list[str], culprit: str) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert culprit in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [["conform", "x", "--json", "y.json"], ["replay", "x", "--json", "y.json"], ["fuzz"]],
)
def test_what_cannot_be_written_is_told_before_the_work(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    option = "--save: differences" if arguments == ["fuzz"] else "--json: y.json"
    assert result.stderr.startswith(f"parallel-evm: {option}")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do anything")
def test_folders_that_may_not_be_searched(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    inside = str(closed / "x")
    for arguments in (["conform", inside], ["replay", inside], ["fuzz", "--save", inside]):
        result = runner.invoke(app, [*arguments, *SERIAL])
        assert result.exit_code == 2, result.exception
        assert "closed" in result.stderr
        assert len(result.stderr.splitlines()) <= 2  # conform: and there is no case to run
    result = runner.invoke(app, ["conform", inside, "--json", inside])
    assert (result.exit_code, "--json: " in result.stderr) == (2, True), result.exception


def test_names_that_no_terminal_can_show(chain: Any, write: Write) -> None:
    file = write("a.json", {"\ud800": {**chain, "network": "\udfff"}})
    result = runner.invoke(app, ["conform", str(file), *SERIAL])
    assert result.exit_code == 2, result.exception
    assert "network: py-evm has no rules for network" in result.stderr
    assert "\\udfff" in result.stdout


@pytest.fixture
def node(serve_json: Any) -> str:
    """A node on loopback that serves what anvil served for its block 6."""

    def answer(method: str, params: list[Any]) -> Any:
        if method == "debug_traceBlockByNumber":
            return json.loads((DATA / "data" / "anvil_traces.json").read_text())["result"]
        if params == ["0x6", True]:
            return json.loads((DATA / "data" / "anvil_block.json").read_text())["result"]
        hashes = json.loads((DATA / "data" / "anvil_block_hashes.json").read_text())
        found = hashes.get(str(int(params[0], 16)))
        return found and {"hash": found}

    def respond(asked: Any) -> bytes:
        result = answer(asked["method"], asked["params"])
        return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()

    url: str = serve_json(respond)
    return url


def test_a_block_is_fetched_replayed_and_kept(node: str, tmp_path: Path) -> None:
    kept = tmp_path / "6"
    fetched = runner.invoke(app, ["replay", "--rpc", node, "6", "--save", str(kept), *SERIAL])
    assert fetched.exit_code == 0, fetched.output
    assert "identical" in fetched.stdout
    not_kept = runner.invoke(app, ["replay", "--rpc", node, "6", *SERIAL])
    assert not_kept.exit_code == 0, not_kept.output
    assert "identical" in not_kept.stdout
    assert sorted(path.name for path in kept.iterdir()) == [
        "block.json",
        "block_hashes.json",
        "prestate.json",
    ]
    again = runner.invoke(app, ["replay", str(kept), "--fork", "prague", *SERIAL])
    assert again.exit_code == 0, again.output
    unknown = runner.invoke(app, ["replay", "--rpc", node, "99", "--save", str(tmp_path / "99")])
    assert unknown.exit_code == 2
    assert "eth_getBlockByNumber(0x63): the node knows no such block" in unknown.stderr


def test_a_block_that_is_not_kept_is_named_by_its_node(
    wrong_executor: None, node: str, tmp_path: Path
) -> None:
    written = tmp_path / "result.json"
    result = runner.invoke(app, ["replay", "--rpc", node, "6", *SERIAL, "--json", str(written)])
    assert result.exit_code == 1
    assert f"DIFFERENT: {node} block 6: state root, cold: " in result.stdout
    assert json.loads(written.read_text())["blocks"][0]["source"] == f"{node} block 6"


# -- fuzz --------------------------------------------------------------------------------------


def test_fuzz_finds_nothing_and_writes_json(tmp_path: Path) -> None:
    written, save = tmp_path / "result.json", tmp_path / "differences"
    options = ["--seed", "3", "--save", str(save), "--json", str(written)]
    result = runner.invoke(app, ["fuzz", "--seconds", "0.5", *SERIAL, *options])
    assert result.exit_code == 0, result.output
    assert "none" in result.stdout
    found = json.loads(written.read_text())
    assert found["seed"] == 3
    assert found["blocks"] > 0
    assert found["findings"] == []
    assert not save.exists()


def test_fuzz_makes_as_many_draws_as_it_is_told(tmp_path: Path) -> None:
    written = tmp_path / "result.json"
    result = runner.invoke(app, ["fuzz", "--draws", "2", *SERIAL, "--json", str(written)])
    assert result.exit_code == 0, result.output
    assert json.loads(written.read_text())["draws"] == 2


@pytest.mark.slow
def test_what_fuzz_finds_can_be_run_again(
    wrong_executor: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    save = tmp_path / "differences"
    result = runner.invoke(app, ["fuzz", "--draws", "2", *SERIAL, "--save", str(save)])
    assert result.exit_code == 1, result.output
    case, *_ = save.glob("block-*.json")
    assert f"DIFFERENT: {case}: " in result.stdout
    assert runner.invoke(app, ["replay", str(case), *SERIAL]).exit_code == 1
    monkeypatch.setattr(conformance, "Parallel", Parallel)
    assert runner.invoke(app, ["replay", str(case), *SERIAL]).exit_code == 0


# -- Ctrl-C ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_an_interrupt_ends_it_and_all_of_its_workers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "parallel_evm", "fuzz", "--seconds", "600"]
    running = subprocess.Popen(
        [*command, "--backend", "process", "--workers", "2", "--save", str(tmp_path / "found")],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while len(_session(running.pid)) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(_session(running.pid)) == 3, "the coordinator and two workers"
        os.killpg(running.pid, signal.SIGINT)
        output, _ = running.communicate(timeout=30)
        assert running.returncode == 130
        assert output == ""
        assert _session(running.pid) == []
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)


def _session(leader: int) -> list[int]:
    """The living processes of a session, by proc(5): pid (name) state ppid pgrp session."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            members.append(int(stat.parent.name))
    return members


def test_a_file_in_the_current_folder_goes_by_that_folder(
    chain: Any, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("chain.json", {"good": chain})
    monkeypatch.chdir(file.parent)
    result = runner.invoke(app, ["conform", file.name, *SERIAL])
    assert result.exit_code == 0
    assert file.parent.name in result.stdout
    assert "unreadable" not in result.stdout


def test_an_empty_path_is_not_the_current_folder() -> None:
    result = runner.invoke(app, ["conform", ""])
    assert (result.exit_code, result.stderr) == (2, "parallel-evm: a PATH is empty\n")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "parallel_evm", *arguments]


@pytest.mark.slow
def test_json_is_written_where_nobody_reads_on(chain: Any, write: Write, tmp_path: Path) -> None:
    file, told = write("chain.json", {"good": chain}), tmp_path / "told.json"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command("conform", str(file), *SERIAL, "--json", str(told)),
        stdout=writer, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
    assert json.loads(told.read_text())


@pytest.mark.slow
def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"import os; os.rmdir({str(gone)!r}); from parallel_evm.cli import main; main()"
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", script, "fuzz", "--seconds", "0.1"],
        cwd=gone, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "parallel-evm: the current folder: No such file or directory\n"
