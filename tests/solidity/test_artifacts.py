"""The committed artifacts are what their sources compile to, and have the agreed form."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOLIDITY = ROOT / "solidity"
ARTIFACTS = sorted((ROOT / "fixtures" / "artifacts").glob("*.json"))
KEYS = {
    "abi",
    "bytecode",
    "compiler",
    "contractName",
    "deployedBytecode",
    "sourceName",
    "storageLayout",
}


@pytest.mark.parametrize("path", ARTIFACTS, ids=lambda path: path.stem)
def test_an_artifact_has_the_agreed_form(path: Path) -> None:
    text = path.read_text()
    artifact = json.loads(text)
    assert set(artifact) == KEYS
    assert artifact["contractName"] == path.stem
    assert (SOLIDITY / artifact["sourceName"]).is_file()
    assert re.fullmatch(r"0x([0-9a-f]{2})+", artifact["bytecode"])
    assert re.fullmatch(r"0x([0-9a-f]{2})+", artifact["deployedBytecode"])
    assert len(artifact["deployedBytecode"]) // 2 - 1 <= 24_576  # EIP-170
    pinned = json.loads((SOLIDITY / "package.json").read_text())["dependencies"]["solc"]
    assert artifact["compiler"]["version"].startswith(f"{pinned}+")
    assert artifact["compiler"]["settings"]["evmVersion"] == "london"
    assert text == json.dumps(artifact, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    """Recompile and compare; skips where that is not possible without the network."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    if not (SOLIDITY / "node_modules" / "solc").is_dir():
        pytest.skip('solc is not installed: run "npm ci" in solidity/')
    command = [node, str(SOLIDITY / "compile.mjs"), "--check", "--out", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_recompiling_gives_the_committed_artifacts() -> None:
    result = check(ROOT / "fixtures" / "artifacts")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_the_check_names_what_differs(tmp_path: Path) -> None:
    for path in ARTIFACTS:
        shutil.copy(path, tmp_path)
    (tmp_path / "Pair.json").unlink()
    (tmp_path / "Ghost.json").write_text("{}\n")
    router = tmp_path / "Router.json"
    router.write_text(router.read_text().replace("london", "berlin"))
    result = check(tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[:3] == [
        "Ghost.json: no such contract any more",
        "Pair.json: missing",
        "Router.json: differs from its source",
    ]
