"""The examples in docs/examples run, and show what they are there to show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"


def test_py_evm_chain() -> None:
    script = EXAMPLES / "py_evm_chain.py"
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "20 receipts, 420000 gas" in done.stdout
    assert "fallback: None" in done.stdout


def test_many_blocks() -> None:
    script = EXAMPLES / "many_blocks.py"
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("senders ") == 4
    assert "the same chain: True" in done.stdout


@pytest.mark.slow
def test_one_by_one() -> None:
    script = EXAMPLES / "one_by_one.py"
    done = subprocess.run(
        [sys.executable, str(script), "--times", "1"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the same balances" in done.stdout
    assert "ratio " in done.stdout
