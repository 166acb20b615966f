"""`ParallelConfig`: a wrong value raises where it is given, and names the field."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from parallel_evm import ConfigurationError, ParallelConfig, ParallelEVMError


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("workers", 0),
        ("workers", -1),
        ("workers", 1025),
        ("workers", 2.0),
        ("workers", "2"),
        ("workers", True),
        ("workers", None),
        ("backend", "ray"),
        ("backend", None),
        ("backend", "Process"),
        ("backend", ["process"]),
        ("min_transactions", 0),
        ("min_transactions", 1.5),
        ("min_transactions", False),
        ("on_block", "print"),
        ("on_block", 7),
        ("accesses", 1),
        ("in_place", "never"),
        ("start_method", "threads"),
        ("start_method", 3),
        ("start_method", ["fork"]),
        ("worker_deadline", 0),
        ("worker_deadline", -1.0),
        ("worker_deadline", "soon"),
        ("worker_deadline", None),
        ("worker_deadline", True),
        ("worker_deadline", float("nan")),
        ("worker_deadline", float("inf")),
        ("translation_cache", None),
        ("translation_cache", ""),
        ("translation_cache", 1),
        ("translation_cache", b"folder"),
        ("translation_cache", "nul\0"),
    ],
)
def test_a_wrong_value_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"ParallelConfig\.{field} ") as raised:
        ParallelConfig(**{field: value})
    assert repr(value) in str(raised.value)


def test_errors_can_be_caught_as_value_errors_and_as_ours() -> None:
    for caught in (ValueError, ParallelEVMError):
        with pytest.raises(caught):
            ParallelConfig(workers=0)


def test_an_unknown_field_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        ParallelConfig(wrokers=2)  # type: ignore[call-arg]


def test_it_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ParallelConfig().workers = 3  # type: ignore[misc]


def test_defaults() -> None:
    config = ParallelConfig()
    assert config.workers == len(os.sched_getaffinity(0))
    assert config.backend == "auto"
    assert config.min_transactions >= 1
    assert config.on_block is None
    assert config == ParallelConfig()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_every_start_method_of_the_platform(method: str) -> None:
    assert ParallelConfig(start_method=method).start_method == method


def test_a_replaced_value_is_validated_too() -> None:
    config = ParallelConfig(workers=2)
    assert dataclasses.replace(config, workers=3).workers == 3
    with pytest.raises(ConfigurationError, match="workers"):
        dataclasses.replace(config, workers=0)


def test_a_translation_cache_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigurationError, match=r"translation_cache: .*file.* is not a folder"):
        ParallelConfig(translation_cache=file)
    for value in (True, False, tmp_path, str(tmp_path / "to come"), "~"):
        assert ParallelConfig(translation_cache=value).translation_cache == value
