"""One contract's code at run time: what is translated, what is still cold, how often it ran.

Cold code is run block by block (`steps`), and by py-evm's own opcodes where that may fail. A kind
of call (function selector and size of the call data) that has come often enough is recorded once
and translated as a whole, along the path that it took; a block that was entered often enough all
the same is translated by itself, for whoever leaves such a path. `Programs` keeps the programs of
one opcode table, by code, a bounded number of them.
"""

from __future__ import annotations

import builtins
import logging
import marshal
from collections.abc import Callable
from functools import partial
from threading import Thread
from types import CodeType
from typing import Any, Final

from eth.exceptions import Halt, Revert, VMError
from eth.vm import opcode_values
from eth.vm.logic.invalid import InvalidOpcode

from parallel_evm.translator.cache import Key
from parallel_evm.translator.code import Code
from parallel_evm.translator.dialect import Dialect
from parallel_evm.translator.machine import only_numbers
from parallel_evm.translator.orders import Order
from parallel_evm.translator.recording import MAX_BLOCKS, Kind, Recording
from parallel_evm.translator.steps import ColdCode
from parallel_evm.translator.trace import NoWayOn
from parallel_evm.translator.translation import (
    Made,
    Trail,
    Wanted,
    name_of,
    translate,
)

FREE_TRACES: Final = 8
VISITS_PER_TRACE: Final = 4
"""A program may have so many traces, and one more for so many times the threshold of visits to its
cold blocks: whoever writes code to be translated and never run again at most doubles its time."""

FREE_BLOCKS: Final = 256
"""The same for paths of calls, in blocks; every second visit to a cold block earns another one."""

MAX_KINDS: Final = 256
MAX_RECORDINGS: Final = 16
"""Of one program: calls that are told apart, and paths that wait for being translated."""

MAX_ONWARD: Final = 8
"""How often a trace may go on from a way out of one that goes on from a way out."""

MAX_PROGRAMS: Final = 1024

_LOGGER: Final = logging.getLogger(__name__)

PADDING: Final = 32
"""Zero bytes behind the call data, so that words that reach beyond it can be cut out."""

Function = Callable[[Any, list[int], Any, Any, bytes, bytes], int]
"""A trace: (computation, stack, gas meter, memory, padded call data, storage address) -> the
position to go on at, or -1 when the computation has halted."""


class NotRecorded(Exception):
    """A call that runs on linear values should be recorded, which takes one that does not.

    Raised once; if no such call comes, it goes without.
    """


class Program:
    """The code of one contract, partly translated."""

    def __init__(self, content: bytes, dialect: Dialect) -> None:
        self.functions: dict[int, Function] = {}
        """What is translated, by the position where it starts."""
        self.calls: dict[Kind, Function] = {}
        """What is translated of whole calls, by their kind."""
        self.blocks: dict[int, Function] = {}
        """What runs on linear values (`state.linear`), which py-evm's opcodes do not know:
        `functions`, and of cold code every block by itself."""
        self._content = content
        self.dialect = dialect
        self.code = Code(content, dialect.meanings)
        self._cold = ColdCode(self.code, dialect.steps, self.interpret)
        self._visits: dict[int, int] = {}
        """0: it is translated. So in all counts."""
        self._cold_visits = 0
        self._made = 0
        """How many functions were translated here; others come from the cache."""
        self._calls: dict[Kind, int] = {}
        self._recordings: dict[Kind, Recording] = {}
        self._followed = 0
        """Blocks of all paths that were translated here."""
        self._awaited: Recording | None = None
        """What `leave` is to record, when it is called next."""
        self._ordered: set[Key] = set()
        """What an assistant is translating."""
        self.seen: dict[int, int] = {}
        """Where the block at a position went when it was last interpreted."""
        self._names: dict[str, Any] = {}
        """The names that all functions see; each has a namespace of its own for its ways out."""
        self._record = dialect.record(content, self.seen, _Both(self.functions, self.calls))
        self._ways: dict[Key, int] = {}
        """Visits to ways out that lead to nothing translated, as `_visits` are to blocks."""
        self._earlier = dialect.visits(content, (self._visits, self._calls, self._ways))

    def needed(self, key: Key, usually: int) -> int:
        """Visits before that is translated: with those that earlier processes have made."""
        return min(usually, max(2, usually - self._earlier.get(key, 0)))

    # -- calls -------------------------------------------------------------------------------

    def call(self, kind: Kind) -> Function:
        """What a call of this kind, of which nothing is translated yet, is to begin with.

        The function returned runs the call, or returns 0: the code is then to be run from there.
        """
        visits = self._calls[kind] = self._calls.get(kind, 0) + 1
        if visits == 1:
            if len(self._calls) > MAX_KINDS:
                self._calls.pop(next(iter(list(self._calls))), None)
            function = self._kept(kind, False)
            if function is not None:
                self.calls[kind] = function
                self._calls[kind] = 0
                return function
        needed = self.needed(kind, self.dialect.patience)
        if visits < needed or kind in self._ordered or len(self.calls) >= MAX_KINDS:
            return _from_the_start
        try:
            function = self._kept(kind, True)
            if function is None:
                recording = self._recordings.pop(kind, None)
                if recording is None:
                    return self._recorded
                function = self._translated_call(kind, recording)
        except RecursionError:  # deep in calls of calls: another time
            self._calls[kind] = 0
            return _from_the_start
        if function is None:
            return _from_the_start
        self._install_call(kind, function)
        return function

    def _install_call(self, kind: Kind, function: Function | None) -> None:
        self.calls[kind] = function or _from_the_start
        self._calls[kind] = 0

    def recorded(self, selector: bytes) -> Recording | None:
        """What a call of this function did that was recorded and not translated yet."""
        found = [kept for kind, kept in self._recordings.items() if kind[1] == selector]
        return found[0] if found else None

    def _recorded(
        self, computation: Any, stack: Any, meter: Any, memory: Any, data: bytes, address: bytes
    ) -> int:
        """Run a whole call by py-evm's opcodes, and remember what it did."""
        kind = len(data) - PADDING, data[:-PADDING][:4]
        if computation.state._account_db.linear:
            if self._calls.get(kind) == self.needed(kind, self.dialect.patience):
                raise NotRecorded
            return 0
        recording = Recording(*kind)
        try:
            pc = self._follow(computation, 0, recording)
        except (Halt, Revert):
            self._keep(kind, recording)
            raise
        except VMError:  # no path worth following
            self._calls[kind] = -self.dialect.threshold
            raise
        self._keep(kind, recording)
        return pc

    def _follow(self, computation: Any, pc: int, recording: Recording) -> int:
        while pc >= 0 and len(recording.path) < MAX_BLOCKS:
            recording.path.append(pc)
            self._cold_visits += 1
            pc = self.seen[pc] = self.leave(computation, pc, recording)
        return pc

    def _keep(self, kind: Kind, recording: Recording) -> None:
        if len(self._recordings) < MAX_RECORDINGS and kind not in self.calls:
            self._recordings[kind] = recording

    def _translated_call(self, kind: Kind, recording: Recording) -> Function | None:
        """None: it will come."""
        if not self._may_follow(self._followed + len(recording.path)):
            return _from_the_start
        self._followed += len(recording.path)
        wanted = Wanted(kind, (recording.packed(),))
        if self._order(wanted, partial(self._install_call, kind), len(recording.path)):
            return None
        return self._along(wanted) or _from_the_start

    def _along(self, wanted: Wanted) -> Function | None:
        try:
            return self._translated(wanted)
        except NoWayOn:
            return None

    # -- ways out of calls -------------------------------------------------------------------

    def note_visits(self, way: WayOut, visits: int) -> None:
        """So often it was taken, and nothing translated goes on from it. 0: that is settled."""
        self._ways[way.key] = visits

    def onward_kept(self, way: WayOut) -> Function | None:
        """The trace that goes on from that way out, as another process has translated it."""
        return self._kept(way.key, False)

    def onward_recorded(self, way: WayOut, leave: Function, arguments: Any) -> int:
        """Take the way out by py-evm's opcodes, and remember what is done from there on."""
        computation = arguments[0]
        if computation.state._account_db.linear:
            if way.visits == way.patience + 1:
                raise NotRecorded
            return leave(*arguments)
        recording = way.recording = Recording(*Recording.unpacked(way.trail[0]).kind)
        self._awaited = recording
        try:
            pc = leave(*arguments)
            self._awaited = None
            return self._follow(computation, pc, recording)
        except (Halt, Revert):
            raise
        except VMError:
            way.give_up()
            raise
        finally:
            self._awaited = None

    def awaits(self, way: WayOut) -> bool:
        """Is an assistant translating what goes on from there?"""
        return way.key in self._ordered

    def translate_onward(self, way: WayOut) -> None:
        """Have a trace made that goes on from that way out, where that can be and is worth it."""
        assert way.recording is not None and way.rest is not None
        self._followed += len(way.recording.path)
        if not self._may_follow(self._followed) or len(way.trail) > MAX_ONWARD:
            way.settle(None)
            return
        went = way.key[-1], way.rest, way.recording.packed()
        wanted = Wanted(way.key, (*way.trail, went))
        if self._order(wanted, way.settle, len(way.recording.path)):
            way.recording = None
        else:
            way.settle(self._along(wanted))

    # -- blocks ------------------------------------------------------------------------------

    def cold(self, computation: Any, pc: int) -> int:
        """Run blocks from ``pc`` on until one is translated; where that is, or -1.

        Raises what py-evm's opcodes raise.
        """
        is_linear = computation.state._account_db.linear
        if is_linear and self._may_follow(len(self.blocks)):
            function = self.functions.get(pc) or self._kept(pc, False)
            if function is not None:
                self.functions[pc] = function
            self.blocks[pc] = function or self._counted(pc)
            return pc
        run = self.interpret if is_linear else self._cold.run
        functions = self.blocks if is_linear else self.functions
        counts, seen = self._visits, self.seen
        usually, earlier = self.dialect.threshold, self._earlier
        while pc >= 0 and pc not in functions:
            visits = counts[pc] = counts.get(pc, 0) + 1
            self._cold_visits += 1
            threshold = self.needed(pc, usually) if pc in earlier else usually
            if visits == 1 or (
                visits >= threshold and pc not in self._ordered and self._may_translate()
            ):
                try:
                    function = self._kept(pc, visits > 1)
                    if function is None and visits >= threshold and self._may_translate():
                        function = self._translated_block(pc)
                    if function is not None:
                        self._install_block(pc, function)
                        break
                except RecursionError:  # deep in calls of calls: another time
                    pass
            following = seen[pc] = run(computation, pc)
            pc = following
        return pc

    def _translated_block(self, pc: int) -> Function | None:
        """None: it will come."""
        self._made += 1
        wanted = Wanted(pc)
        if self._order(wanted, partial(self._install_block, pc)):
            return None
        return self._translated(wanted)

    def _install_block(self, pc: int, function: Function | None) -> None:
        if function is None:  # it cannot be: not to be asked for soon
            self._visits[pc] = -self.dialect.threshold
        else:
            self.functions[pc] = self.blocks[pc] = function
            self._visits[pc] = 0

    def _counted(self, pc: int) -> Function:
        """The block by itself; entered often enough, it gives way to a longer trace."""
        block = self._translated(Wanted(pc, repeats=0), is_kept=False)

        def run(c: Any, S: list[int], G: Any, M: Any, D: bytes, A: bytes) -> int:
            visits = self._visits[pc] = self._visits.get(pc, 0) + 1
            self._cold_visits += 1
            if (
                visits >= self.needed(pc, self.dialect.threshold)
                and pc not in self._ordered
                and self._may_translate()
            ):
                self._made += 1
                self._install_block(pc, self._translated(Wanted(pc)))
                return pc
            following = self.seen[pc] = block(c, S, G, M, D, A)
            return following

        return run

    def _may_follow(self, blocks: int) -> bool:
        return blocks <= FREE_BLOCKS + self._cold_visits // 2

    def _may_translate(self) -> bool:
        earned = self._cold_visits // (VISITS_PER_TRACE * self.dialect.threshold)
        return self._made < FREE_TRACES + earned

    def leave(self, computation: Any, pc: int, recording: Recording | None = None) -> int:
        """Run what is not translated, from ``pc`` to the end of the block; where to go on, or -1.

        Raises what py-evm's opcodes raise. Afterwards there are only numbers on the stack.
        """
        if self._awaited is not None:
            recording, self._awaited = self._awaited, None
            recording.path.append(pc)
        if recording is None and not computation.state._account_db.linear:
            return self._cold.run(computation, pc)
        return self.interpret(computation, pc, recording)

    def interpret(self, computation: Any, pc: int, recording: Recording | None = None) -> int:
        """The same by py-evm's opcodes alone."""
        content, opcodes, code = self._content, self.dialect.opcodes, computation.code
        length = len(content)
        if computation.state._account_db.linear:
            only_numbers(computation._stack.values)
        while pc < length:
            value = content[pc]
            code.program_counter = pc + 1
            operation = opcodes.get(value)
            if operation is None:
                operation = InvalidOpcode(value)
            if recording is not None:
                recording.look(pc, value, computation._stack.values)
            operation(computation=computation)
            pc = code.program_counter
            if (
                value == opcode_values.JUMPI
                or value == opcode_values.JUMP
                or (pc < length and content[pc] == opcode_values.JUMPDEST)
            ):
                only_numbers(computation._stack.values)
                return pc
        code.program_counter = pc
        end = opcodes.get(opcode_values.STOP) or InvalidOpcode(opcode_values.STOP)
        end(computation=computation)
        return -1

    def entries(self) -> list[int]:
        """Where blocks start that no other block falls into or branches past: 0 and JUMPDESTs."""
        return sorted({0} | self.code.jumpdests)

    # -- functions ---------------------------------------------------------------------------

    def _kept(self, key: Key, look_again: bool) -> Function | None:
        """The function as another process has translated it."""
        if self._record is None:
            return None
        if look_again:
            self._record.look_again()
        kept = self._record.take(key)
        if kept is None or not all(name in self.dialect.namespace for name in kept[0]):
            return None
        return self._defined(key, kept[1])

    def _order(
        self, wanted: Wanted, install: Callable[[Function | None], None], followed: int = 0
    ) -> bool:
        """Let the assistant translate that, if there is one, and ``install`` it when it comes.
        ``followed``: blocks of its path, which were counted already; 0: it is a block itself."""
        assistant = self.dialect.assistant
        table = None if assistant is None else self.dialect.description
        if assistant is None or table is None:
            return False
        key = wanted.key

        def deliver(made: Made | None) -> None:
            try:
                function = None if made is None else self._defined_of(key, made)
            except RecursionError:  # deep in calls of calls: another time
                lost()
            except Exception as error:
                _LOGGER.warning("An assistant's translation is not used, nor any other: %r", error)
                self.dialect.assistant = None
                lost()
            else:
                self._ordered.discard(key)
                install(function)

        def lost() -> None:
            self._ordered.discard(key)
            if followed:
                self._followed -= followed
            else:
                self._made -= 1

        self._ordered.add(key)
        try:
            order = Order(table, self._content, dict(self.seen), wanted)
            is_taken = assistant.order(order, deliver, lost)
        except BaseException:
            if key in self._ordered:
                lost()
            raise
        if not is_taken:
            self._ordered.discard(key)
        return is_taken

    def _translated(self, wanted: Wanted, is_kept: bool = True) -> Function:
        """Raises `NoWayOn` where a trail cannot be followed."""
        made = translate(self.code, self.seen, self.dialect.notes_sha3, wanted)
        return self._defined_of(wanted.key, made, is_kept)

    def _defined_of(self, key: Key, made: Made, is_kept: bool = True) -> Function:
        function = self._defined(key, made.code)
        if self._record is not None and is_kept:
            self._record.add(key, made.operations, made.code)
        return function

    def _defined(self, key: Key, code: CodeType) -> Function:
        if not self._names:
            self._names = {
                **vars(builtins),
                **self.dialect.namespace,
                "CODE": self._content,
                "jumpdests": self.code.jumpdests,
                "leave": self.leave,
                "unpacked": marshal.loads,
            }
        # What was translated before from the same place may still run: it keeps its ways out.
        namespace: dict[str, Any] = {"__builtins__": self._names}
        namespace["way_out"] = partial(WayOut, self, namespace)
        exec(code, namespace)
        function: Function = namespace[name_of(key)]
        return function


class WayOut:
    """A way out of a function, compiled when somebody leaves there for the first time.

    Where ``rest`` is given, another trace may go on from there, once that has become hot.
    """

    __slots__ = (
        "_name",
        "_namespace",
        "_program",
        "_source",
        "key",
        "patience",
        "recording",
        "rest",
        "trail",
        "visits",
    )

    def __init__(
        self,
        program: Program,
        namespace: dict[str, Any],
        name: str,
        source: str,
        key: tuple[Any, ...] = (),
        rest: int | None = None,
        trail: Trail = (),
    ) -> None:
        self.key = key
        self.rest = rest
        self.trail = trail
        """What was recorded on the way here: of the call, then (way out, rest, recording) each."""
        self.recording: Recording | None = None
        self._program = program
        self.patience = program.needed(key, program.dialect.patience) if key else 0
        self._namespace = namespace
        self._name = name
        self._source: str | None = source
        self.visits = 0

    def __call__(self, *arguments: Any) -> Any:
        if self._source is not None:
            self._define(self._source)
        leave: Function = self._namespace[self._name + "_"]
        if self.rest is None:
            self.give_up()
            return leave(*arguments)
        self.visits += 1
        self._program.note_visits(self, self.visits)
        try:
            onward = self._onward()
        except RecursionError:  # deep in calls of calls: another time
            onward, self.visits = None, 0
        if onward is not None:
            return onward(*arguments)
        program = self._program
        if self.visits > self.patience and self.recording is None and not program.awaits(self):
            return program.onward_recorded(self, leave, arguments)
        return leave(*arguments)

    def _onward(self) -> Function | None:
        """The trace that goes on from here, if there is one, or enough is known to make it."""
        if self.visits == 1:
            kept = self._program.onward_kept(self)
            if kept is not None:
                self.settle(kept)
            return kept
        if self.visits > self.patience and self.recording is not None:
            self._program.translate_onward(self)
        now: Function = self._namespace[self._name]
        return None if now is self else now

    def settle(self, onward: Function | None) -> None:
        """From now on what leaves here goes on there; None: this is a way out and nothing else."""
        if onward is None:
            self.give_up()
        else:
            self._namespace[self._name] = onward
            self._program.note_visits(self, 0)

    def give_up(self) -> None:
        """From now on this is a way out and nothing else."""
        if self.key:
            self._program.note_visits(self, 0)
        self._namespace[self._name] = self._namespace[self._name + "_"]

    def _define(self, source: str) -> None:
        text = source.replace(f"def {self._name}(", f"def {self._name}_(", 1)

        def define() -> None:
            exec(compile(text, f"<EVM code, {self._name}>", "exec"), self._namespace)

        try:
            define()
        except RecursionError:  # deep in calls of calls: a thread has a stack of its own
            thread = Thread(target=define)
            thread.start()
            thread.join()
        self._source = None


class _Both:
    """Keys of two dictionaries."""

    def __init__(self, *dictionaries: Any) -> None:
        self._dictionaries = dictionaries

    def __contains__(self, key: object) -> bool:
        return any(key in dictionary for dictionary in self._dictionaries)


def _from_the_start(*arguments: Any) -> int:
    """Nothing is known of this kind of call."""
    return 0


class Programs:
    """The programs of one dialect; the oldest makes room when there are too many."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._programs: dict[bytes, Program] = {}

    def __getitem__(self, content: bytes) -> Program:
        program = self._programs.get(content)
        if program is None:
            program = Program(content, self.dialect)
            while len(self._programs) >= MAX_PROGRAMS:
                self._programs.pop(next(iter(list(self._programs))), None)
            self._programs[content] = program
        return program

    def __iter__(self) -> Any:
        return iter(list(self._programs.values()))
