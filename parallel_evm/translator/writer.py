"""What a trace has written so far, and all that is known at the place where it is.

Responsible for: `Writer`, with the means by which instructions are written down: the symbolic
stack, values, memory as far as it is known, gas by segments, and the ways out of the function,
which bring the real stack, memory and gas meter up to date first.
Talks to: `draft`, the text; `values` and `memory`, what is known.
Never: knows an instruction (`instructions`), or where a trace ends (`trace`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from parallel_evm.translator.code import Code
from parallel_evm.translator.draft import Draft
from parallel_evm.translator.machine import NAMESPACE, expansion_gas
from parallel_evm.translator.memory import KnownMemory, Piece
from parallel_evm.translator.recording import Recording
from parallel_evm.translator.values import Value

MEMORY_LIMIT: Final = 2**32
"""So much memory exists for nobody."""
CALL_DATA: Final = 'from_bytes(D[{0}:{0} + 32], "big")'


@dataclass(frozen=True, slots=True)
class Onward:
    """Where a trace begins that goes on where another one was left."""

    number: int
    """Of the way out."""
    rest: int
    """Gas that is to be given back there."""
    recording: Recording
    """What a call did from there on."""


class Left(Exception):
    """The way out has been reached from which on the trace is wanted."""

    def __init__(self, number: int, pc: int, popping: int) -> None:
        self.number = number
        self.pc = pc
        self.popping = popping


class Writer:
    """One trace as far as it is written. Use once."""

    def __init__(
        self,
        code: Code,
        entry: int,
        seen: Mapping[int, int],
        notes_sha3: bool,
        recording: Recording | None,
        onward: Sequence[Onward],
    ) -> None:
        """``seen``: where the block at a position went when it was last interpreted.

        ``recording``: of a call; ``entry`` is then 0, and the trace follows it. ``onward``: only
        to that way out, and on from there; and so forth. What comes before is not written.
        """
        self.code = code
        self.notes_sha3 = notes_sha3
        self.operations: dict[str, None] = {}
        """The names by which the function calls opcodes."""
        self.draft = Draft()

        # Where it is, and where it goes
        self.pc = entry
        self.block = entry
        self.entered: int | None = entry
        """A block that has been entered already when its JUMPDEST comes."""
        self.step = 0
        self.seen = seen
        self.recording = recording
        self.recorded: tuple[int, ...] | None = None
        """Operands that the present instruction had in the recording."""
        self.onward = list(onward)
        """Ways out that are still ahead, at which it is to go on."""

        # Segments of gas: what was spent of the current one, now and before the instruction
        self.spent = 0
        self.before = 0

        # The top of the stack as it is meant to be
        self.stack: list[Value] = []
        self.needs = 0
        """Words that have to be on the real stack at the beginning."""
        self.height = 0
        self.highest = 0
        """Words more than at the beginning, now and at most."""
        self.spilled = 0
        """Words that were put in their places, for all ways out together."""

        # What is known
        self.memory = KnownMemory(fresh=recording is not None)
        self.has_m = False
        """Does ``m`` name the real memory's bytes here?"""
        self.environment: dict[str, Value] = {}
        self.computations: dict[tuple[Any, ...], Value] = {}
        self.nonzero: set[Value] = set()
        self.warm: set[Value | int] = set()
        self.uses: set[str] = set()
        """What the head of the function has to see to."""

    # -- directions ----------------------------------------------------------------------------

    def enter(self, pc: int) -> None:
        """A block begins at ``pc``, which comes next."""
        self.block = self.entered = pc
        self.step += 1

    def expected(self) -> int | None:
        """Where the present block goes to."""
        if self.recording is None:
            return self.seen.get(self.block)
        path = self.recording.path
        step = self.step
        if step + 1 < len(path) and path[step] == self.block:
            return path[step + 1]
        return None

    # -- gas -----------------------------------------------------------------------------------

    def start_segment(self, pc: int) -> None:
        """A segment from ``pc`` on; the gas meter is up to date."""
        self.draft.start_segment()
        self.spent = self.before = 0
        with self.draft.exit("g < 0"):
            self.materialise()
            self.write(f"return leave(c, {pc})")

    def spend(self, gas: int) -> None:
        self.spent += gas
        self.draft.totals[-1] += gas

    def return_gas(self, spent: int) -> None:
        self.write(f"G.gas_remaining = {self.draft.gas(spent)}")

    def charge(self, call: str) -> None:
        """``call`` returns the gas that it leaves; where that is negative, py-evm takes over."""
        self.write(f"t = {call}")
        with self.draft.exit("t < 0"):
            self.leave()
        self.write("g = t")

    # -- values --------------------------------------------------------------------------------

    def write(self, line: str) -> None:
        self.draft.write(line)

    def use(self, value: Value) -> str:
        return self.draft.use(value)

    def number(self, value: Value) -> str:
        """The same where it has to be a number: what is linear collapses (`state.linear`)."""
        text = self.use(value)
        return f"(+{text})" if value.linear and value.constant is None else text

    def known(self, width: int, text: str) -> Value:
        return self.draft.known(width, text)

    def once(self, key: tuple[Any, ...], make: Callable[[], Value]) -> Value:
        """What has been computed before is not computed again."""
        same = tuple(part.constant if _is_constant(part) else part for part in key)
        found = self.computations.get(same)
        if found is None:
            found = self.computations[same] = make()
        return found

    def passed(self, test: Value, was_true: bool) -> None:
        """A branch was not taken: what its condition says is true (or false) from here on."""
        if was_true and not test.negation:
            self.nonzero.add(test)
        condition = test.template if was_true else test.negation
        if condition == "{0} != 0":
            self.nonzero.add(test.operands[0])
        elif condition == "{0} == {1}":  # a number that a mask does not change has its width
            for whole, masked in (test.operands, test.operands[::-1]):
                if masked.template == "{0} & {1}" and whole in masked.operands:
                    whole.width = min(whole.width, masked.width)

    def settle(self, value: Value, place: int) -> Value:
        """A place or size in memory, made a constant where a recording says what it is.

        ``place``: the operand's position from the top of the stack. Where it is something else
        than it was, py-evm takes over.
        """
        if _folded(value) is None and self.recorded is not None:
            number = self.recorded[place]
            with self.way_out(f"{self.use(value)} != {number}", self.before, self.pc, 0):
                self.leave()
            value.constant = number
        return value

    def settle_span(self, start: Value, size: Value) -> None:
        self.settle(size, 1)
        if size.constant != 0:
            self.settle(start, 0)

    # -- the stack -----------------------------------------------------------------------------

    def reach_down(self, count: int) -> None:
        while len(self.stack) < count:
            below = Value(linear=True)
            self.stack.insert(0, below)
            self.draft.real.insert(0, below)
            self.needs += 1

    def peek(self, count: int) -> list[Value]:
        """The top words, topmost first."""
        self.reach_down(count)
        return self.stack[: -count - 1 : -1]

    def pop(self, count: int) -> list[Value]:
        words = self.peek(count)
        del self.stack[len(self.stack) - count :]
        self.height -= count
        return words

    def push(self, value: Value) -> None:
        self.stack.append(value)
        self.height += 1
        self.highest = max(self.highest, self.height)

    def spill(self) -> None:
        """Bring the real stack up to date."""
        real, meant = self.draft.real, self.stack
        same = 0
        for left, right in zip(real, meant, strict=False):
            if left is not right:
                break
            same += 1
        drop = len(real) - same
        words = [self.use(value) for value in meant[same:]]
        self.spilled += len(words)
        if drop == len(words) == 1:
            self.write(f"S[-1] = {words[0]}")
        elif drop and words:
            self.write(f"S[-{drop}:] = {', '.join(words)}{',' if len(words) == 1 else ''}")
        elif drop == 1:
            self.write("del S[-1]")
        elif drop:
            self.write(f"del S[-{drop}:]")
        elif len(words) == 1:
            self.write(f"S.append({words[0]})")
        elif words:
            self.write(f"S += {', '.join(words)}")
        if not self.draft.in_exit:
            self.draft.real = list(meant)

    # -- ways out ------------------------------------------------------------------------------

    def materialise(self) -> None:
        """Real stack and memory as they are meant to be."""
        has_m, self.has_m = self.has_m, False
        self.write_memory()
        self.has_m = has_m
        self.spill()

    @contextmanager
    def way_out(self, condition: str, spent: int, pc: int, popping: int) -> Iterator[None]:
        """A way out that leads to ``pc``, from which another trace may go on.

        ``popping``: the words that the instruction has still to take from the stack.
        """
        draft = self.draft
        number = draft.exits
        with draft.exit(condition):
            yield
        if self.recording is not None and not draft.in_exit:
            draft.note_rest(number, spent)
            if self.onward and self.onward[0].number == number:
                raise Left(number, pc, popping)

    def go(self, pc: int) -> None:
        """Leave the function after the present instruction, towards ``pc``."""
        self.return_gas(self.spent)
        self.materialise()
        self.write(f"return {pc}")

    def go_where(self, target: Value) -> None:
        """The same, towards a computed position that is known to be a valid destination."""
        text = self.number(target)
        self.return_gas(self.spent)
        self.materialise()
        self.write(f"return {text}")

    def go_popping(self, count: int, pc: int) -> None:
        stack, height = list(self.stack), self.height
        self.pop(count)
        self.go(pc)
        self.stack, self.height = stack, height

    def leave(self) -> None:
        """Give the present instruction to py-evm. Its operands must still be on the stack."""
        self.return_gas(self.before)
        self.materialise()
        self.write(f"return leave(c, {self.pc})")

    # -- memory --------------------------------------------------------------------------------

    def real_memory(self) -> str:
        """The real memory's bytes."""
        if not self.has_m:
            self.write("m = M._bytes")
            self.has_m = True
        return "m"

    def write_memory(self) -> None:
        """Write down what makes the real memory what it is meant to be."""
        self.extend()
        for start, word in self.memory.waiting.items():
            self.write_word(start, word)

    def extend(self) -> None:
        memory = self.memory
        if memory.exact and memory.real < memory.length:
            self.write(f"m = extend(M, {memory.length})")
            self.has_m = True

    def write_word(self, start: int, word: Value) -> None:
        self.spilled += 1
        span = f"{self.real_memory()}[{start}:{start + 32}]"
        if word.constant is not None:
            self.write(f"{span} = {literal(word.constant)}")
        else:
            self.write(f'{span} = {self.use(word)}.to_bytes(32, "big")')

    def update_memory(self) -> None:
        """Make the real memory what it is meant to be, here and from now on."""
        self.write_memory()
        self.memory.written()

    def lose_memory(self) -> None:
        """Somebody else may have changed it, and may hold a view of it."""
        self.memory.forget_all()
        self.memory.exact = False
        self.has_m = False

    def before_write(self, start: Value, size: Value) -> None:
        """Somebody is about to write there: what waits to be written there must come before."""
        if start.constant is None or size.constant is None:
            self.update_memory()
            return
        memory = self.memory
        self.extend()
        memory.real = memory.length
        for word in memory.waiting_at(start.constant, size.constant):
            self.write_word(word, memory.waiting.pop(word))

    def reach(self, start: Value, size: Value) -> bool:
        """Pay for an access to memory. False: that much exists for nobody; the trace has ended."""
        memory = self.memory
        if size.constant == 0:
            return True
        if size.constant is not None and size.constant > MEMORY_LIMIT:
            self.leave()
            return False
        if start.constant is not None and size.constant is not None:
            end = start.constant + size.constant
            if end > MEMORY_LIMIT:
                self.leave()
                return False
            if end <= memory.length:
                return True
            if memory.exact:
                gas = expansion_gas(memory.length, end)
                self.spend(gas)
                self.before += gas  # paid: whoever leaves from here on leaves with longer memory
            else:
                m = self.real_memory()
                with self.draft.branch(f"len({m}) < {end}"):
                    self.charge(f"grow({m}, g, {end})")
            memory.length = (end + 31) & ~31
            return True
        self.extend()
        memory.real = memory.length
        memory.exact = False
        m = self.real_memory()
        if size.constant is not None:
            end_text = f"{self.use(start)} + {size.constant}"
            with self.draft.branch(f"len({m}) < {end_text}"):
                self.charge(f"grow({m}, g, {end_text})")
        else:
            self.charge(f"reach({m}, g, {self.use(start)}, {self.use(size)})")
        return True

    def reach_by(self, function: str, start: Value, size: Value, also: Value | None = None) -> None:
        """Pay, at run time and in one go, for an access of a size that is not known."""
        self.extend()
        self.memory.real = self.memory.length
        self.memory.exact = False
        words = [self.use(start), self.use(size)]
        if also is not None:
            words[0] = f"max({words[0]}, {self.use(also)})"
        self.charge(f"{function}({self.real_memory()}, g, {', '.join(words)})")

    def span(self, start: Value, size: Value) -> str:
        """The Python of a stretch of the real memory, which has been paid for."""
        m = self.real_memory()
        if start.constant is not None and size.constant is not None:
            return f"{m}[{start.constant}:{start.constant + size.constant}]"
        first = self.use(start)
        return f"{m}[{first}:{first} + {self.use(size)}]"

    def content(self, start: Value, size: Value, keep: bool) -> str:
        """The Python of the bytes that lie there. ``keep``: memory is needed afterwards."""
        if size.constant == 0:
            return 'b""'
        if start.constant is not None and size.constant is not None:
            pieces = self.memory.pieces(start.constant, size.constant)
            if pieces is not None:
                return self.joined(pieces)
        if keep:
            self.update_memory()
        else:
            self.write_memory()
        return f"bytes({self.span(start, size)})"

    def joined(self, pieces: list[Piece]) -> str:
        texts: list[str] = []
        fixed = b""
        for value, first, last in pieces:
            assert value is not None
            if value.constant is not None:
                fixed += value.constant.to_bytes(32, "big")[first:last]
                continue
            if fixed:
                texts.append(repr(fixed))
                fixed = b""
            text = f'{self.number(value)}.to_bytes(32, "big")'
            texts.append(text if last - first == 32 else f"{text}[{first}:{last}]")
        if fixed:
            texts.append(repr(fixed))
        return " + ".join(texts)

    def pair(self, start: Value, size: Value) -> tuple[Value, Value] | None:
        """Two words that are hashed together, as for a slot of a mapping."""
        if start.constant is None or size.constant != 64:
            return None
        first = self.memory.word(start.constant)
        second = self.memory.word(start.constant + 32)
        return None if first is None or second is None else (first, second)

    def forget(self, start: Value, size: Value) -> None:
        """What lies there changes in a way that is not known."""
        if size.constant == 0:
            return
        if start.constant is None or size.constant is None:
            self.memory.forget_all()
        else:
            self.memory.forget(start.constant, size.constant)


def _is_constant(part: Any) -> bool:
    return isinstance(part, Value) and part.constant is not None


def literal(number: int) -> str:
    """32 bytes as Python source."""
    return repr(number.to_bytes(32, "big"))


def _folded(value: Value) -> int | None:
    """The number that a value is, if what it is made of has become constant since."""
    if value.constant is None and value.operands and value.template != CALL_DATA:
        numbers = []
        for operand in value.operands:
            number = _folded(operand)
            if number is None:  # at once: there are many ways through values that share operands
                return None
            numbers.append(number)
        text = value.template.format(*numbers)
        text = f"1 if {text} else 0" if value.negation else text
        value.constant = eval(text, dict(NAMESPACE))
    return value.constant
