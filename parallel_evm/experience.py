"""Forecasts kept: what one process learned of contracts, for another one to begin with.

A chain that was parallelized learns, block by block, what its contracts' functions touch. These two
functions write that to a file and read it back. The file is JSON, to be read by people as well: it
says of every function which slots it reads and writes, in terms of caller and arguments.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from parallel_evm.engine import engines_of
from parallel_evm.errors import ConfigurationError
from parallel_evm.inputs import read_json
from parallel_evm.scheduling.learned import from_json


def save_forecasts(chain_class: Any, path: str | os.PathLike[str]) -> int:
    """Write what ``chain_class`` has learned to ``path``, at once or not at all.

    Returns how many functions are in it. Raises `ConfigurationError` for a chain class that was not
    parallelized, does not forecast (one worker has nothing to forecast for) or has learned nothing
    yet, and OSError, with ``path`` in it, where the file cannot be written.
    """
    data = engines_of(chain_class)[0].learned()
    if not data["contracts"]:
        raise ConfigurationError(
            "nothing has been learned yet: blocks teach whose transactions other processes run "
            "(BlockReport.backend is 'process'; with the backend 'auto' that is not every block)"
        )
    file = Path(path)
    try:
        _write(file, data)
    except OSError as error:  # of another file, perhaps, which nobody knows
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    return sum(len(contract["functions"]) for contract in data["contracts"])


def load_forecasts(chain_class: Any, path: str | os.PathLike[str]) -> int:
    """Let ``chain_class`` begin with what `save_forecasts` wrote, in place of what it learned.

    Returns how many functions that was. Raises `ConfigurationError` as `save_forecasts` does,
    and `InputError`, which names the file and the place in it, for one that cannot be read, is of
    another kind or damaged; everything is then as it was. A file that is wrong about contracts
    costs time until the chain has learned better; it cannot make a block wrong.
    """
    engine = engines_of(chain_class)[0]
    engine.forecaster()  # refuses before anything is read
    forecaster = from_json(read_json(Path(path)))
    engine.start_with(forecaster)
    return sum(len(functions) for _, functions in forecaster.templates())


def _write(file: Path, data: Any) -> None:
    descriptor, unfinished = tempfile.mkstemp(dir=file.parent, prefix=file.name, suffix=".part")
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            json.dump(data, stream, separators=(",", ":"))
        os.replace(unfinished, file)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
