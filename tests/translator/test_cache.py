"""Translations that outlive the process: used as they were made, elsewhere and later."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth.vm import forks, opcode_values
from eth.vm.logic import arithmetic
from eth.vm.opcode import as_opcode

import parallel_evm.translator.cache as cache_module
from parallel_evm import ParallelConfig, close, parallelize
from parallel_evm.speculation.rules import Liberties, speculative_state
from parallel_evm.translator import translating
from parallel_evm.translator.cache import Cache, folder_of, identity
from parallel_evm.translator.program import FREE_TRACES
from parallel_evm.translator.trace import Trace
from parallel_evm.workloads import build
from tests.strategies import mostly_slow

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT:DeprecationWarning")

# Counts slot 0 up, three times; then calls somebody, hashes and logs.
COUNTER = bytes.fromhex(
    "6003 5b 60005460010160005560019003 80600257"
    "6000600060006000600073" + "a2" * 20 + "5af1 31 3d 60005260206000 20 60206000a1"
    "5b60405160005500"
)
# Jumps to where its argument says; three ways through it, each for a selector of its own.
THREE_WAYS = bytes.fromhex("600435 56" + "5b6001600101600055 00" * 3)
WAYS = [bytes([number] * 4) + (4 + 10 * number).to_bytes(32, "big") for number in range(3)]
OTHER = bytes.fromhex("600035600757fe5b600180600d57fe5b60005260206000f3")


class Counting(Cache):
    """Knows how many functions were translated where it is used."""

    made = 0

    def remember(self, record: Any) -> None:
        self.made += 1
        super().remember(record)


class Process:
    """A fork's rules as a process of its own would have them: all that it shares is the folder."""

    def __init__(self, lab: Any, folder: Path, fork: str = "cancun", threshold: int = 1) -> None:
        self.cache = Counting(str(folder))
        self.twins = lab.Twins(fork, threshold)
        self.run_by(
            translating(
                lab.state_class_of(fork).computation_class, threshold=threshold, cache=self.cache
            )
        )

    def run_by(self, rules: Any) -> None:
        rules.programs.dialect.patience = 10**9  # blocks, which are easier to count than calls
        self.twins.programs = rules.programs
        self.twins.fast = type("Fast", (self.twins.fast,), {"computation_class": rules})

    def save(self) -> None:
        self.cache.save(5.0, last=True)

    @property
    def made(self) -> int:
        return self.cache.made

    def heat(self, world: Any, data: bytes = b"") -> None:
        """Run it until nothing is cold, by a threshold of 1."""
        for _ in range(4):
            assert not self.twins.differences(world, data=data)


@pytest.fixture
def process(lab: Any, tmp_path: Path) -> Callable[..., Process]:
    return lambda *arguments: Process(lab, tmp_path / "translations", *arguments)


def world_of(lab: Any, code: bytes) -> Any:
    return lab.World({lab.ADDRESSES[0]: code, lab.ADDRESSES[1]: bytes.fromhex("3360005500")}, {})


def test_what_one_has_translated_the_next_one_runs_at_once(
    lab: Any, process: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = process("cancun", 16)
    world = world_of(lab, COUNTER)
    for _ in range(40):
        assert not first.twins.differences(world)
    assert first.made >= 2
    first.save()

    def never(*arguments: Any) -> None:
        raise AssertionError("translated again")

    monkeypatch.setattr(Trace, "__init__", never)
    second = process("cancun", 16)
    assert not second.twins.differences(world)
    assert second.twins.translated > 0
    for program in second.twins.programs:  # asked for once each, and nothing was interpreted
        assert program._cold_visits <= len(program.functions)


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from parallel_evm.translator import translating
from parallel_evm.translator.cache import cache_at
from parallel_evm.translator.trace import Trace
from tests.translator import conftest as lab
twins = lab.Twins("cancun", 1)
rules = lab.state_class_of("cancun").computation_class
rules = translating(rules, threshold=1, cache=cache_at({folder!r}))
twins.fast = type("Fast", (twins.fast,), {{"computation_class": rules}})
twins.programs = rules.programs
made = []
first = Trace.__init__
Trace.__init__ = lambda *arguments, **named: made.append(first(*arguments, **named))
code, callee = bytes.fromhex({code!r}), bytes.fromhex("3360005500")
world = lab.World({{lab.ADDRESSES[0]: code, lab.ADDRESSES[1]: callee}}, {{}})
for data in {inputs!r} * 4:
    assert not twins.differences(world, data=data)
facts = twins.run(twins.fast, world, data=data, gas=30_000).facts
facts["warm"] = sorted(facts["warm"], key=repr)
print(len(made), twins.translated, facts)
"""


# Branches on two bits of its argument, stores at the place that it names and hashes all that.
LEAVING = bytes.fromhex(
    "600435 80 6001 16 600f 57 6007 6000 52 5b 80 6002 16 601c 57 6009 6003 55 5b 429052 59 6000 20"
    "6001 55 60206000f3"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "inputs"),
    [
        (COUNTER, [b""]),
        (LEAVING, [bytes(4) + place.to_bytes(32, "big") for place in (0, 1, 2, 3, 0, 35)]),
    ],
    ids=["a loop", "ways out that others go on from"],
)
def test_from_one_python_process_to_another(
    lab: Any, tmp_path: Path, code: bytes, inputs: list[bytes]
) -> None:
    """Written at exit, without anybody asking for it."""
    root = str(Path(__file__).parents[2])
    script = SCRIPT.format(root=root, folder=str(tmp_path / "kept"), code=code.hex(), inputs=inputs)
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", "-c", script],
            capture_output=True,
            text=True,
            cwd=root,
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        said.append(done.stdout.split(" ", 2))
    assert int(said[0][0]) >= 2
    assert said[1][0] == "0" < said[1][1]
    assert said[1][2] == said[0][2]


def check_cold_and_loaded(lab: Any, process: Callable[..., Process], fork: str, seeds: int) -> None:
    """The same programs in two processes; the second one loads what the first one has made."""
    processes = []
    for _ in range(2):
        one = process(fork)
        for seed in range(seeds):
            codes, chance = lab.some_programs(fork, seed)
            lab.check(one.twins, codes[0], chance, codes[1:])
        one.save()
        processes.append(one)
    first, second = processes
    assert first.made > seeds
    # Some: branches are known from the start now, so that functions begin and end elsewhere.
    assert second.made < 0.2 * first.made
    assert second.twins.translated - second.made > 0.5 * first.made


@pytest.mark.parametrize(
    "fork", mostly_slow(("frontier", "byzantium", "istanbul", "london", "prague"), "prague")
)
def test_random_programs_cold_and_loaded(
    lab: Any, process: Callable[..., Process], fork: str
) -> None:
    check_cold_and_loaded(lab, process, fork, 8)


@pytest.mark.slow
def test_many_random_programs_cold_and_loaded(lab: Any, process: Callable[..., Process]) -> None:
    for fork in lab.FORKS:
        check_cold_and_loaded(lab, process, fork, 30)


def opcodes_of(fork: str) -> dict[int, Any]:
    vm: Any = getattr(forks, f"{fork}VM")
    opcodes: dict[int, Any] = vm.get_state_class().computation_class.opcodes
    return opcodes


def test_every_opcode_table_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [opcodes_of(fork) for fork in ("Frontier", "Istanbul", "Berlin", "London", "Prague")]
    speculative = speculative_state(
        forks.PragueVM.get_state_class(), Liberties()
    ).computation_class.opcodes
    noted = {**speculative, opcode_values.SHA3: tables[-1][opcode_values.SHA3]}
    names = [identity(table, table, False) for table in tables]
    names += [identity(tables[-1], tables[-1], True)]
    names += [identity(speculative, speculative, False), identity(speculative, noted, True)]
    assert None not in names
    assert len(set(names)) == len(names)
    assert names == [
        *(identity(table, table, False) for table in tables),
        identity(tables[-1], tables[-1], True),
        identity(speculative, speculative, False),
        identity(speculative, noted, True),
    ]
    monkeypatch.setattr(cache_module, "VERSION", b"another")
    assert identity(tables[0], tables[0], False) not in names


@pytest.mark.parametrize(
    ("value", "operation"),
    [
        (opcode_values.ADD, as_opcode(arithmetic.add, "ADD", 3)),
        (0x0C, as_opcode(arithmetic.add, "MORE", 3)),
        (opcode_values.ADD, opcodes_of("Cancun")[opcode_values.MUL]),
        (opcode_values.SELFDESTRUCT, lambda computation: None),
    ],
)
def test_an_opcode_that_is_not_py_evms_keeps_away_from_the_disk(
    lab: Any, tmp_path: Path, value: int, operation: Any
) -> None:
    table = {**opcodes_of("Cancun"), value: operation}
    assert identity(table, table, False) is None
    one = Process(lab, tmp_path / "translations")
    custom = type("Custom", (lab.state_class_of("cancun").computation_class,), {"opcodes": table})
    fast = translating(custom, threshold=1, cache=one.cache)
    one.run_by(fast)
    for _ in range(4):
        one.twins.run(one.twins.fast, world_of(lab, COUNTER))
    assert one.twins.translated >= 2
    one.save()
    assert not (tmp_path / "translations").exists()


def test_the_version_follows_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path(cache_module.__file__).parent
    copy = tmp_path / "translator"
    shutil.copytree(home, copy)
    monkeypatch.setattr(cache_module, "__file__", str(copy / "cache.py"))
    assert cache_module._version() == cache_module.VERSION is not None
    trace = copy / "trace.py"
    trace.write_text(trace.read_text() + "\n# another remark\n")
    assert cache_module._version() not in (cache_module.VERSION, None)
    monkeypatch.setattr(cache_module, "__file__", str(tmp_path / "no sources" / "cache.pyc"))
    assert cache_module._version() is None


def test_another_version_translates_for_itself(
    lab: Any, process: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(lab, COUNTER)
    first = process()
    first.heat(world)
    first.save()
    monkeypatch.setattr(cache_module, "VERSION", b"another")
    second = process()
    second.heat(world)
    assert second.made == first.made > 0
    monkeypatch.setattr(cache_module, "VERSION", None)
    assert identity(opcodes_of("Cancun"), opcodes_of("Cancun"), False) is None


def test_a_damaged_file_is_translated_again(
    lab: Any, process: Callable[..., Process], tmp_path: Path
) -> None:
    world = world_of(lab, COUNTER)
    first = process()
    first.heat(world)
    first.save()
    for file in (tmp_path / "translations").iterdir():
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0x10
        file.write_bytes(content)
    second = process()
    second.heat(world)
    assert second.made == first.made > 0
    second.save()
    third = process()
    third.heat(world)
    assert third.made == 0 < third.twins.translated


def test_hot_code_asks_whether_another_process_was_faster(
    lab: Any, process: Callable[..., Process]
) -> None:
    world = world_of(lab, OTHER)
    slow, fast = process("cancun", 3), process("cancun", 1)
    slow.twins.run(slow.twins.fast, world, data=b"\1" * 32)
    fast.heat(world, data=b"\1" * 32)
    fast.save()
    assert slow.twins.translated == 0
    slow.heat(world, data=b"\1" * 32)
    assert slow.made == 0 < slow.twins.translated
    assert fast.made > 0


def test_translations_of_several_processes_come_together(
    lab: Any, process: Callable[..., Process]
) -> None:
    """Three ways through one contract, each taken in a process of its own at the same time."""
    world = world_of(lab, THREE_WAYS)
    processes = [process() for _ in WAYS]
    for one, way in zip(processes, WAYS, strict=True):
        one.heat(world, way)
    for one in processes:
        one.save()
    later = process()
    for way in WAYS:
        later.heat(world, way)
    assert later.made == 0
    assert later.twins.translated > max(one.twins.translated for one in processes)


def test_processes_that_write_at_once_lose_nothing(
    lab: Any, process: Callable[..., Process]
) -> None:
    world = world_of(lab, THREE_WAYS)
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(len(WAYS))

    def translate_and_save(way: bytes) -> None:
        one = process()
        one.heat(world, way)
        ready.wait(60)
        one.save()

    running = [context.Process(target=translate_and_save, args=(way,)) for way in WAYS]
    for each in running:
        each.start()
    for each in running:
        each.join()
        assert each.exitcode == 0
    later = process()
    for way in WAYS:
        later.heat(world, way)
    assert later.made == 0


def test_only_what_goes_on_from_this_very_function_is_used(tmp_path: Path) -> None:
    """Two processes followed different paths of the same kind of call, and went on from there."""

    def record() -> Any:
        return Cache(str(tmp_path / "kept")).record(b"dialect", b"code", {}, ())

    def code(text: str) -> Any:
        return compile(text, "code", "exec")

    call: Any = (36, b"abcd")
    onward, further = (*call, 3), (*call, 3, 0)
    ours, theirs = record(), record()
    for one, name in ((ours, "ours"), (theirs, "theirs")):
        one.add(call, (), code(f"{name}_call"))
        one.add(onward, (), code(f"{name}_onward"))
        one.add(further, (), code(f"{name}_further"))
    theirs.add((*call, 4), (), code("theirs_another"))
    assert ours.save()
    theirs.look_again()
    for key in (onward, further):
        assert theirs.take(key) is None
    assert theirs.save()  # the first ones stay; what goes on from others is of no use to anybody
    late = record()
    assert late.take(onward) is None  # before the call itself is in use
    late = record()
    names = [late.take(key)[1].co_names for key in (call, onward, further)]
    assert names == [("ours_call",), ("ours_onward",), ("ours_further",)]
    assert late.take((*call, 4)) is None
    other = record()
    other.add(call, (), code("other_call"))
    assert other.take(onward) is None


def test_a_loaded_program_may_translate_as_little_as_any(
    lab: Any, process: Callable[..., Process]
) -> None:
    """Three hundred blocks that come by once hot: FREE_TRACES of them, and no more."""
    blocks = 300
    world = world_of(lab, bytes.fromhex("60003556") + b"\x5b\x00" * blocks)
    made = []
    for start in (0, 100, 200):
        one = process("cancun", 2)
        for block in range(start, start + 100):
            for _ in range(2):
                one.twins.run(one.twins.fast, world, data=(4 + 2 * block).to_bytes(32, "big"))
        one.save()
        made.append(one.made)
        visits = sum(program._cold_visits for program in one.twins.programs)
        assert one.made <= FREE_TRACES + visits // (4 * 2) + 1 < 100
    assert min(made) >= FREE_TRACES
    last = process("cancun", 2)
    for block in range(blocks):
        last.twins.run(last.twins.fast, world, data=(4 + 2 * block).to_bytes(32, "big"))
    assert last.twins.translated > made[0] + 10  # some of each process's


def test_a_program_is_kept_only_so_far(
    lab: Any, process: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "MAX_TRANSLATIONS", 2)
    made = []
    for _ in range(2):
        one = process()
        for way in WAYS:
            one.heat(world_of(lab, THREE_WAYS), way)
        made.append(one.made)
        one.save()
    assert made[0] > 2
    assert made[1] == made[0] - 2


def test_when_new_translations_are_written(
    lab: Any, process: Callable[..., Process], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    one = process()
    assert one.cache.pause() is None
    one.heat(world_of(lab, COUNTER))
    assert one.cache.pause() == cache_module.SAVE_SECONDS
    one.cache.save(1.0)
    assert not (tmp_path / "translations").exists()  # too early
    now[0] += cache_module.SAVE_SECONDS
    assert one.cache.pause() == 0
    one.cache.save(-1.0)  # no time at all: one program is written all the same
    assert len(list((tmp_path / "translations").iterdir())) == 1
    assert one.cache.pause() == 0  # the other one is still to be written
    one.cache.save(-1.0)
    assert one.cache.pause() is None
    assert len(list((tmp_path / "translations").iterdir())) == 2


def test_nobody_waits_for_another_writer_but_at_the_end(
    lab: Any, process: Callable[..., Process], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cache_module, "SAVE_SECONDS", 0.0)
    one, other = process(), process()
    one.heat(world_of(lab, OTHER))
    folder = tmp_path / "translations"
    with other.cache.store.locked() as is_alone:
        assert is_alone
        one.cache.save(1.0)
        assert not list(folder.iterdir())
        assert one.cache.pause() is not None
        started = time.monotonic()
        one.cache.save(0.1, last=True)
        assert 0.1 <= time.monotonic() - started < 5
    one.cache.save(0.1, last=True)
    assert one.cache.pause() is None
    assert list(folder.iterdir())


def test_what_cannot_be_written_is_forgotten(
    lab: Any, process: Callable[..., Process], tmp_path: Path
) -> None:
    (tmp_path / "translations").write_text("in the way")
    one = process()
    one.heat(world_of(lab, COUNTER))
    assert one.made > 0
    one.save()
    assert one.cache.pause() is None


# -- chains and settings -------------------------------------------------------------------------


def import_blocks(
    folder: Any, backend: str = "serial", leave_open: bool = False, **settings: Any
) -> None:
    """A few blocks; their hashes are what stock py-evm says."""
    scene = build("erc20", transactions=100, accounts=12, blocks=2)
    builder = scene.open()
    config = ParallelConfig(
        backend=backend, workers=2, min_transactions=1, translation_cache=folder, **settings
    )
    chain = scene.open(parallelize(scene.chain_class, config=config))
    for batch in scene.blocks:
        block = builder.mine_all(batch)[0].imported_block
        assert chain.import_block(block).imported_block.hash == block.hash
    if leave_open:
        return
    if backend == "process":
        close()
    else:
        for cached in (folder, folder_of(True)):
            if isinstance(cached, str | Path):
                cache_module.cache_at(str(cached)).save(5.0, last=True)


@pytest.mark.parametrize("backend", mostly_slow(("serial", "thread", "process"), "serial"))
def test_chains_keep_and_use_translations(
    tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "kept"
    import_blocks(folder, backend)
    files = {file: file.stat().st_mtime_ns for file in folder.glob("*.traces")}
    assert files
    if backend == "serial":  # nothing is left to be translated

        def never(*arguments: Any) -> None:
            raise AssertionError("translated again")

        cache_module.cache_at.cache_clear()
        monkeypatch.setattr(Trace, "__init__", never)
    for file in folder.glob("*.visits"):  # else it would go on where the first one ended
        file.unlink()
    import_blocks(folder, backend)
    assert files.items() <= {file: file.stat().st_mtime_ns for file in folder.iterdir()}.items()


@pytest.mark.slow
def test_workers_write_while_nobody_calls_them(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    import_blocks(folder, "process", leave_open=True)
    until = time.monotonic() + 30
    while not list(folder.glob("*.traces")):
        assert time.monotonic() < until
        time.sleep(0.05)
    close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "settings"), [(False, {}), (True, {"translate": False})], ids=("cache", "translate")
)
def test_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: bool, settings: dict[str, bool]
) -> None:
    folder = tmp_path / "kept"
    monkeypatch.setenv("PARALLEL_EVM_CACHE", str(folder))
    for backend in ("serial", "process"):
        import_blocks(setting, backend, **settings)
        assert not folder.exists()
    import_blocks(True)
    assert list(folder.iterdir())


def test_which_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("PARALLEL_EVM_CACHE", str(tmp_path / "own"))
    assert folder_of(False) is None
    assert folder_of(tmp_path / "given") == str(tmp_path / "given")
    assert folder_of("~/given") == str(tmp_path / "home" / "given")
    assert folder_of(True) == str(tmp_path / "own")
    monkeypatch.setenv("PARALLEL_EVM_CACHE", "")
    assert folder_of(True) == str(tmp_path / "xdg" / "parallel-evm" / "translations")
    for useless in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", useless)
        usual = tmp_path / "home" / ".cache" / "parallel-evm" / "translations"
        assert folder_of(True) == str(usual)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_safe_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "open to all"
    folder.mkdir()
    folder.chmod(0o777)
    with caplog.at_level(logging.WARNING):
        import_blocks(folder)
        import_blocks(folder)
    assert [record.getMessage() for record in caplog.records] == [
        f"the translation cache {folder} is not used: others may write to it (mode 777)"
    ]
    assert not list(folder.iterdir())
