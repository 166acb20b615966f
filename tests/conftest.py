"""Lets tests import what they share (`tests.strategies`) under a bare ``pytest``, too."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

sys.path.insert(0, str(Path(__file__).parents[1]))

# A mutant has to fail, not to fail with the smallest example; and every time in the same way.
settings.register_profile(
    "mutation", derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
)


@pytest.fixture(scope="session", autouse=True)
def _translations_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests neither use nor fill the user's translation cache; nor do processes that they start."""
    os.environ["PARALLEL_EVM_CACHE"] = str(tmp_path_factory.mktemp("translations"))


@pytest.fixture(scope="session", autouse=True)
def _no_workers_left() -> Iterator[None]:
    """Worker pools are shared by the tests of a session; afterwards there are none."""
    from parallel_evm import close

    yield
    close()
