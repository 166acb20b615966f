"""Lets tests import what they share (`tests.strategies`) under a bare ``pytest``, too."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture(scope="session", autouse=True)
def _no_workers_left() -> Iterator[None]:
    """Worker pools are shared by the tests of a session; afterwards there are none."""
    from parallel_evm import close

    yield
    close()
