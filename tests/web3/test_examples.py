"""The examples of the documentation run, and the snippets of the web3 guide."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", (DOCS / "guide-web3.md").read_text(), re.M | re.S)


@pytest.mark.slow
def test_deploy_amm(capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(DOCS / "examples" / "deploy_amm.py"))
    example["main"](traders=100, workers=2)
    output = capsys.readouterr().out
    assert "5 pools, with liquidity" in output
    assert "100 of 100 swaps succeeded" in output
    assert re.search(r"transactions\W+100\b", output)
    assert re.search(r"executed by\W+2 workers \(process\)", output)
    assert "ran sequentially" not in output


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippets_of_the_guide(snippet: str) -> None:
    exec(compile(snippet, "guide-web3.md", "exec"), {})


def test_the_guide_has_snippets() -> None:
    assert len(SNIPPETS) == 6
