"""Which cases there are: broken files, choosing by name, samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from parallel_evm.conformance.blocktests.discovery import discover, holds_cases
from parallel_evm.conformance.blocktests.results import Verdict
from parallel_evm.conformance.blocktests.run import run_conformance
from parallel_evm.conformance.subject import Stock
from tests.conformance.blocktests.conftest import Entry


def test_broken_files_do_not_stop_the_others(tmp_path: Path, entry: Entry) -> None:
    (tmp_path / "a.json").write_text('{"x": ')
    (tmp_path / "b.json").write_text("[]")
    (tmp_path / "c.json").write_text(json.dumps({"it": entry})[:-30])
    (tmp_path / "d.json").write_text(json.dumps({"it": entry}))
    conformance = run_conformance(discover([tmp_path]), Stock())
    verdicts = {result.case.file.name: result.verdict for result in conformance.results}
    assert verdicts == {
        "a.json": Verdict.ERROR,
        "b.json": Verdict.ERROR,
        "c.json": Verdict.ERROR,
        "d.json": Verdict.PASSED,
    }
    assert "expected an object, found a list" in conformance.results[1].detail


def test_paths_without_cases_spoil_only_themselves(tmp_path: Path, entry: Entry) -> None:
    good, empty, nothing = (tmp_path / name for name in ("good.json", "empty", "nothing"))
    good.write_text(json.dumps({"x": entry}))
    (empty / "a-folder.json").mkdir(parents=True)
    found = discover([nothing, good, empty])
    assert [case.name for case in found.cases] == ["x"]
    assert {(str(it.case.file), it.detail) for it in found.unusable} == {
        (str(nothing), "no such file or folder"),
        (str(empty), "no JSON file in this folder"),
    }
    conformance = run_conformance(found, Stock())
    assert conformance.count(Verdict.PASSED) == 1
    assert conformance.exit_code == 2


def test_a_path_that_nobody_may_look_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(path: Path, *_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refuse)
        found = discover([tmp_path / "secret" / "a.json"])
    assert [result.detail for result in found.unusable] == ["Permission denied"]


def test_whether_a_file_holds_cases(tmp_path: Path, entry: Entry) -> None:
    contents = {
        "case": {"x": entry},
        "block": {"block": {}, "prestate": {}},
        "none": {},
        "list": [],
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "broken").write_text("{")
    assert [name for name in (*contents, "broken") if holds_cases(tmp_path / name)] == ["case"]


def names(path: Path, **choice: Any) -> str:
    return "".join(case.name for case in discover([path], **choice).cases)


def test_match(folders: Path) -> None:
    assert names(folders) == "pqrtus"
    assert names(folders, match="stA") == "pqr"
    assert names(folders, match="::q") == "q"
    assert names(folders, match="*/stB/*::?") == "tus"
    assert names(folders, match="st?") == ""


def test_a_sample_spreads_over_folders_and_networks(folders: Path) -> None:
    for seed in range(5):
        chosen = names(folders, sample=3, seed=seed)
        assert len(chosen) == 3
        assert "t" in chosen
        assert set(chosen) & set("pqr")
        assert set(chosen) & set("us")
        assert chosen == names(folders, sample=3, seed=seed)
    assert names(folders, sample=100) == names(folders)
