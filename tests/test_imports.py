"""Imports go in one direction, between rooms (folders, or modules at the top) and within them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import parallel_evm

PACKAGE = Path(parallel_evm.__file__).parent
MODULES = {
    ".".join(("parallel_evm", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in PACKAGE.rglob("*.py")
}


def imported(module: str) -> Iterator[str]:
    """Modules of ours that this one imports, in whatever place."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative imports are not followed here"
            if node.module not in MODULES:
                continue
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in below)


def room_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def test_what_is_imported_is_found() -> None:
    assert {"parallel_evm.block.flow", "parallel_evm.merkle.update"} <= MODULES.keys()
    assert "parallel_evm.block" in imported("parallel_evm.engine")
    assert "parallel_evm.workers.wire" in imported("parallel_evm.workers.worker")


def test_rooms_are_entered_from_one_side() -> None:
    rooms: dict[str, set[str]] = {}
    for module in MODULES:
        rooms.setdefault(room_of(module), set()).update(map(room_of, imported(module)))
    for room, others in rooms.items():
        others.discard(room)
    TopologicalSorter(rooms).prepare()  # raises CycleError, which names the circle


def test_modules_import_nobody_who_imports_them() -> None:
    TopologicalSorter({module: {*imported(module)} for module in MODULES}).prepare()
