"""One trace of bytecode, written down as one Python function.

A trace starts where a basic block starts and goes on through fall-throughs, jumps to known
places and branches in the direction seen last; the other direction leaves the function. One that
starts where a call starts follows the *path* that such a call took (`recording`): it knows the
function selector and how long the call data is, that the stack and memory are empty, and from
what was recorded, where memory is used (a guard makes sure that it is so again). All that is known
is not computed again: the dispatcher vanishes, memory becomes locals. Where many calls leave such
a path, a trace goes on from there (`Onward`): it knows all that was known, and follows what such
a call did.

The stack is symbolic (`values`), and so is memory as far as it is known (`memory`); the real ones
are brought up to date only where somebody else looks at them. Gas is charged once per segment;
whoever leaves in the middle gets the rest back (`draft`).

The function takes ``(c, S, G, M, D, A)``: py-evm's computation, the list of its stack (numbers
only), its gas meter, its memory, the call data with 32 zero bytes behind it, and the address whose
storage it uses. It returns the position to go on at, or -1 when the computation has halted.

Wherever something is irregular (gas or stack do not suffice, a jump leads nowhere, memory cannot
be paid) it calls ``leave(c, pc)`` with stack, memory and gas exactly as they are before the opcode
at ``pc``: py-evm's own opcodes go on from there, so that failures are py-evm's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from eth.constants import GAS_COPY, GAS_LOGDATA, GAS_LOGTOPIC, GAS_SHA3WORD
from eth.vm.forks.berlin.constants import WARM_STORAGE_READ_COST

from parallel_evm.translator.calls import has_direct_form
from parallel_evm.translator.code import Code, Instruction
from parallel_evm.translator.draft import Draft
from parallel_evm.translator.machine import NAMESPACE, expansion_gas
from parallel_evm.translator.memory import KnownMemory, Piece
from parallel_evm.translator.operations import (
    ARITY,
    ENDINGS,
    charges_cold_accounts,
    charges_cold_slots,
    exponent_byte_gas,
    net_metering,
)
from parallel_evm.translator.recording import Recording
from parallel_evm.translator.values import Value, apply, constant
from parallel_evm.translator.words import FOLD

MAX_INSTRUCTIONS: Final = 400
MAX_PATH: Final = 4000
"""Instructions of a trace, and of one that follows a recorded path."""
MAX_REPEATS: Final = 12
"""How often one block may come up in a trace: small functions are called again and again."""

MAX_SPILLED: Final = 20_000
"""Words that all ways out of a trace may put in their places: they are written down for each."""

_MEMORY_LIMIT: Final = 2**32
_CALL_DATA: Final = 'from_bytes(D[{0}:{0} + 32], "big")'

# Opcodes whose value stays the same for as long as the computation runs.
_ENVIRONMENT: Final[dict[str, tuple[str, int]]] = {
    "ADDRESS": ('from_bytes(A, "big")', 160),
    "ORIGIN": ('from_bytes(c.transaction_context.origin, "big")', 160),
    "CALLER": ('from_bytes(c.msg.sender, "big")', 160),
    "CALLVALUE": ("c.msg.value", 256),
    "CALLDATASIZE": ("len(D) - 32", 48),
    "GASPRICE": ("c.transaction_context.gas_price", 256),
    "TIMESTAMP": ("c.state.timestamp", 256),
    "NUMBER": ("c.state.block_number", 256),
}


@dataclass(frozen=True, slots=True)
class Onward:
    """Where a trace begins that goes on where another one was left."""

    number: int
    """Of the way out."""
    rest: int
    """Gas that is to be given back there."""
    recording: Recording
    """What a call did from there on."""


class NoWayOn(Exception):
    """What a trace would need to know to go on is not there any more."""


class _Left(Exception):
    """The way out has been reached from which on the trace is wanted."""

    def __init__(self, number: int, pc: int, popping: int) -> None:
        self.number = number
        self.pc = pc
        self.popping = popping


_FOLDED: Final = {name: FOLD[name].__code__.co_argcount for name in FOLD}


class Trace:
    """Translates from one position on. Use once."""

    def __init__(
        self,
        code: Code,
        entry: int,
        seen: Mapping[int, int],
        notes_sha3: bool,
        recording: Recording | None = None,
        onward: Sequence[Onward] = (),
        repeats: int = MAX_REPEATS,
    ) -> None:
        """``seen``: where the block at a position went when it was last interpreted.

        ``recording``: of a call; ``entry`` is then 0, and the trace follows it. ``onward``: only
        to that way out, and on from there; and so forth. What comes before is not written.

        ``repeats``: how often one block may come up; 0 makes a trace of one block.
        """
        self._code = code
        self._entry = entry
        self._seen = seen
        self._notes_sha3 = notes_sha3
        self._recording = recording
        self.operations: dict[str, None] = {}
        """The names by which the function calls opcodes."""

        self._draft = Draft()
        # Segments of gas: what was spent of the current one, now and before the instruction
        self._spent = 0
        self._before = 0
        # The top of the stack as it is meant to be
        self._stack: list[Value] = []
        self._needs = 0
        self._height = 0
        self._highest = 0
        self._memory = KnownMemory(fresh=recording is not None)
        self._has_m = False
        self._environment: dict[str, Value] = {}
        self._computations: dict[tuple[Any, ...], Value] = {}
        self._nonzero: set[Value] = set()
        self._warm: set[Value | int] = set()
        self._uses: set[str] = set()
        self._block = entry
        self._entered: int | None = entry
        self._step = 0
        self._visits: dict[int, int] = {}
        self._spilled = 0
        self._repeats = repeats
        self._pc = entry
        self._recorded: tuple[int, ...] | None = None
        self._looks = iter(recording.operands) if recording is not None else iter(())
        self._onward = list(onward)

    # -- the whole ---------------------------------------------------------------------------

    def functions(self, name: str) -> dict[str, str]:
        """The source of the function ``name`` and of its ways out, by their names.

        Raises `NoWayOn` where a way out cannot be gone on from, and for a path on which the stack
        does not suffice.
        """
        self._start_segment(self._entry)
        at: int | None = self._entry
        count = 0
        while at is not None:
            instruction = self._code.at(at)
            if count and self._ends_here(instruction, count):
                self._go(at)
                break
            count += 1
            try:
                at = self._translate(instruction)
            except _Left as left:
                self._go_on(left)
                at = left.pc
                count = 0
        if self._onward:
            raise NoWayOn
        if self._recording is not None and (self._needs or self._highest > 1024):
            raise NoWayOn
        self._write_head()
        return self._draft.functions(name)

    def rest(self, number: int) -> int | None:
        """Gas given back by a way out from which a trace can go on; None: none can."""
        return self._draft.rest(number)

    def python(self, name: str) -> str:
        """The same as one text, to be read."""
        return "\n".join(self.functions(name).values())

    def _ends_here(self, instruction: Instruction, count: int) -> bool:
        if self._spilled > MAX_SPILLED:
            return True
        if self._recording is not None:
            return count >= MAX_PATH
        if count >= MAX_INSTRUCTIONS:
            return True
        if instruction.name == "JUMPDEST" or instruction.pc == self._block:
            if instruction.pc == self._entry:
                return True
            visits = self._visits[instruction.pc] = self._visits.get(instruction.pc, 0) + 1
            return visits > self._repeats
        return False

    def _translate(self, instruction: Instruction) -> int | None:
        """Write one instruction; where to go on, or None at the end of the trace."""
        pc = self._pc = instruction.pc
        self._before = self._spent
        name = instruction.name
        if self._entered == pc:
            self._entered = None
        elif name == "JUMPDEST":
            self._enter(pc)
            self._entered = None
        if name is None:
            if instruction.operation is None or pc >= len(self._code.content):
                self._leave()
            else:
                self._call_foreign(instruction)
            return None
        self._recorded = None
        if self._recording is not None and instruction.value in Recording.LOOKED_AT:
            seen = next(self._looks, None)
            if seen is not None and seen[0] == pc:
                self._recorded = seen[1]
        if name in _CALLS and has_direct_form(instruction.operation):
            return self._call_directly(instruction)
        if name == "EXTCODESIZE" and charges_cold_accounts(instruction.operation):
            return self._extcodesize(instruction)
        if name in ARITY and (name != "SSTORE" or net_metering(instruction.operation) is None):
            return self._call_stock(instruction)
        self._spend(instruction.operation.gas_cost)
        if name in _FOLDED:
            self._push(self._computed(name, *self._pop(_FOLDED[name])))
            return instruction.following
        if name in _ENVIRONMENT:
            self._push(self._environmental(name))
            return instruction.following
        following = _OWN[name](self, instruction)
        return instruction.following if following is True else following

    def _write_head(self) -> None:
        head = self._draft.head
        low, high = self._needs, 1024 - self._highest
        room = []
        if low > 0 and self._highest > 0:
            room = [f"    if not {low} <= len(S) <= {high}:"]
        elif low > 0:
            room = [f"    if len(S) < {low}:"]
        elif self._highest > 0 and self._recording is None:  # the stack of a call is empty
            room = [f"    if len(S) > {high}:"]
        if room:
            head += [*room, f"        return leave(c, {self._entry})"]
        if "accounts" in self._uses:
            head.append("    accounts = c.state._account_db")

    # -- going on from a way out -------------------------------------------------------------

    @contextmanager
    def _way_out(self, condition: str, spent: int, pc: int, popping: int) -> Iterator[None]:
        """A way out that leads to ``pc``, from which another trace may go on.

        ``popping``: the words that the instruction has still to take from the stack.
        """
        draft = self._draft
        number = draft.exits
        with draft.exit(condition):
            yield
        if self._recording is not None and not draft.in_exit:
            draft.note_rest(number, spent)
            if self._onward and self._onward[0].number == number:
                raise _Left(number, pc, popping)

    def _go_on(self, left: _Left) -> None:
        """All that was written so far is another function's; what is known is known here too."""
        onward = self._onward.pop(0)
        self._pop(left.popping)
        names = self._draft.locals_of(left.number)
        self._draft.restart(names)
        self._keep_only(set(names))
        self._recording = onward.recording
        self._looks = iter(onward.recording.operands)
        self._step = 0
        self._block = self._entered = left.pc
        self._has_m = False
        self._spilled = 0
        self._computations.clear()  # where a value was given a name, that may be gone
        self._write(f"G.gas_remaining = g + {onward.rest}")
        self._start_segment(left.pc)

    def _keep_only(self, names: set[str]) -> None:
        """Only these locals are left of all that the other function had."""
        seen: dict[Value, bool] = {}

        def is_left(value: Value) -> bool:
            """Is it still there, or can it be computed again?"""
            if value.constant is not None or value.name in names:
                return True
            if value not in seen:
                seen[value] = bool(value.template) and all(map(is_left, value.operands))
                if seen[value]:
                    value.name = None
            return seen[value]

        if not all(map(is_left, [*self._stack, *self._memory.waiting.values()])):
            raise NoWayOn
        self._memory.keep_only(is_left)
        self._environment = {
            key: value for key, value in self._environment.items() if is_left(value)
        }

    # -- directions --------------------------------------------------------------------------

    def _enter(self, pc: int) -> None:
        """A block begins at ``pc``, which comes next."""
        self._block = self._entered = pc
        self._step += 1

    def _expected(self) -> int | None:
        """Where the present block goes to."""
        if self._recording is None:
            return self._seen.get(self._block)
        path = self._recording.path
        step = self._step
        if step + 1 < len(path) and path[step] == self._block:
            return path[step + 1]
        return None

    # -- gas ---------------------------------------------------------------------------------

    def _start_segment(self, pc: int) -> None:
        """A segment from ``pc`` on; the gas meter is up to date."""
        self._draft.start_segment()
        self._spent = self._before = 0
        with self._draft.exit("g < 0"):
            self._materialise()
            self._write(f"return leave(c, {pc})")

    def _spend(self, gas: int) -> None:
        self._spent += gas
        self._draft.totals[-1] += gas

    def _return_gas(self, spent: int) -> None:
        self._write(f"G.gas_remaining = {self._draft.gas(spent)}")

    def _try(self, call: str) -> None:
        """``call`` returns the gas that it leaves; where that is negative, py-evm takes over."""
        self._write(f"t = {call}")
        with self._draft.exit("t < 0"):
            self._leave()
        self._write("g = t")

    # -- values ------------------------------------------------------------------------------

    def _write(self, line: str) -> None:
        self._draft.write(line)

    def _use(self, value: Value) -> str:
        return self._draft.use(value)

    def _number(self, value: Value) -> str:
        """The same where it has to be a number: what is linear collapses (`state.linear`)."""
        text = self._use(value)
        return f"(+{text})" if value.linear and value.constant is None else text

    def _known(self, width: int, text: str) -> Value:
        return self._draft.known(width, text)

    def _computed(self, name: str, *operands: Value) -> Value:
        """The result of a pure opcode; of the first word of the call data the selector is known."""
        if self._recording is not None and len(self._recording.selector) == 4:
            first = self._environment.get("CALLDATALOAD 0")
            if first is not None:
                selector = int.from_bytes(self._recording.selector, "big")
                a, b = operands[0], operands[-1]
                if name == "SHR" and b is first and a.constant == 224:
                    return constant(selector)
                if name == "DIV" and a is first and b.constant == 2**224:
                    return constant(selector)
        if name == "ISZERO" and operands[0] in self._nonzero:
            return constant(0)
        return self._once((name, *operands), lambda: apply(name, *operands))

    def _once(self, key: tuple[Any, ...], make: Callable[[], Value]) -> Value:
        """What has been computed before is not computed again."""
        same = tuple(part.constant if _is_constant(part) else part for part in key)
        found = self._computations.get(same)
        if found is None:
            found = self._computations[same] = make()
        return found

    def _passed(self, test: Value, was_true: bool) -> None:
        """A branch was not taken: what its condition says is true (or false) from here on."""
        if was_true and not test.negation:
            self._nonzero.add(test)
        condition = test.template if was_true else test.negation
        if condition == "{0} != 0":
            self._nonzero.add(test.operands[0])
        elif condition == "{0} == {1}":  # a number that a mask does not change has its width
            for whole, masked in (test.operands, test.operands[::-1]):
                if masked.template == "{0} & {1}" and whole in masked.operands:
                    whole.width = min(whole.width, masked.width)

    def _environmental(self, name: str) -> Value:
        if name == "CALLDATASIZE" and self._recording is not None:
            return constant(self._recording.size)
        if name not in self._environment:
            template, width = _ENVIRONMENT[name]
            self._environment[name] = Value(template, (), width)
        return self._environment[name]

    def _settle(self, value: Value, place: int) -> Value:
        """A place or size in memory, made a constant where a recording says what it is.

        ``place``: the operand's position from the top of the stack. Where it is something else
        than it was, py-evm takes over.
        """
        if _folded(value) is None and self._recorded is not None:
            number = self._recorded[place]
            with self._way_out(f"{self._use(value)} != {number}", self._before, self._pc, 0):
                self._leave()
            value.constant = number
        return value

    # -- the stack ---------------------------------------------------------------------------

    def _reach_down(self, count: int) -> None:
        while len(self._stack) < count:
            below = Value(linear=True)
            self._stack.insert(0, below)
            self._draft.real.insert(0, below)
            self._needs += 1

    def _peek(self, count: int) -> list[Value]:
        """The top words, topmost first."""
        self._reach_down(count)
        return self._stack[: -count - 1 : -1]

    def _pop(self, count: int) -> list[Value]:
        words = self._peek(count)
        del self._stack[len(self._stack) - count :]
        self._height -= count
        return words

    def _push(self, value: Value) -> None:
        self._stack.append(value)
        self._height += 1
        self._highest = max(self._highest, self._height)

    def _spill(self) -> None:
        """Bring the real stack up to date."""
        real, meant = self._draft.real, self._stack
        same = 0
        for left, right in zip(real, meant, strict=False):
            if left is not right:
                break
            same += 1
        drop = len(real) - same
        words = [self._use(value) for value in meant[same:]]
        self._spilled += len(words)
        if drop == len(words) == 1:
            self._write(f"S[-1] = {words[0]}")
        elif drop and words:
            self._write(f"S[-{drop}:] = {', '.join(words)}{',' if len(words) == 1 else ''}")
        elif drop == 1:
            self._write("del S[-1]")
        elif drop:
            self._write(f"del S[-{drop}:]")
        elif len(words) == 1:
            self._write(f"S.append({words[0]})")
        elif words:
            self._write(f"S += {', '.join(words)}")
        if not self._draft.in_exit:
            self._draft.real = list(meant)

    # -- ways out ----------------------------------------------------------------------------

    def _materialise(self) -> None:
        """Real stack and memory as they are meant to be."""
        has_m, self._has_m = self._has_m, False
        self._write_memory()
        self._has_m = has_m
        self._spill()

    def _go(self, pc: int) -> None:
        """Leave the function after the present instruction, towards ``pc``."""
        self._return_gas(self._spent)
        self._materialise()
        self._write(f"return {pc}")

    def _go_where(self, target: Value) -> None:
        """The same, towards a computed position that is known to be a valid destination."""
        text = self._number(target)
        self._return_gas(self._spent)
        self._materialise()
        self._write(f"return {text}")

    def _leave(self) -> None:
        """Give the present instruction to py-evm. Its operands must still be on the stack."""
        self._return_gas(self._before)
        self._materialise()
        self._write(f"return leave(c, {self._pc})")

    # -- opcodes that py-evm runs ------------------------------------------------------------

    def _call_foreign(self, instruction: Instruction) -> None:
        """Call, and end the trace: nothing is known of what it does, or where it goes."""
        self._return_gas(self._spent)
        self._materialise()
        self._operate(instruction)
        self._write("only_numbers(S)")
        self._write("return c.code.program_counter")

    def _operate(self, instruction: Instruction) -> None:
        name = f"op_{instruction.value:02x}"
        self.operations[name] = None
        self._write(f"c.code.program_counter = {instruction.pc + 1}")
        self._write(f"{name}(computation=c)")

    def _call_stock(self, instruction: Instruction) -> int | None:
        """Have py-evm run an opcode: its operands are put on the real stack for it alone."""
        assert instruction.name is not None
        taken, left = ARITY[instruction.name]
        words = [self._number(value) for value in self._peek(taken)]
        if instruction.name in _SEES_MEMORY:
            self._update_memory()
        self._return_gas(self._before)
        if len(words) == 1:
            self._write(f"S.append({words[0]})")
        elif words:
            self._write(f"S += {', '.join(reversed(words))}")
        self._operate(instruction)
        if instruction.name in ENDINGS:
            self._write("return -1")
            return None
        self._pop(taken)
        if instruction.name in _SEES_MEMORY:
            self._lose_memory()
        if left:
            if instruction.name in _PUSHES_NUMBER:
                self._push(self._known(256, "S.pop()"))
            else:
                self._push(self._known(256, "number(S.pop())"))
        self._start_segment(instruction.following)
        return instruction.following

    def _lose_memory(self) -> None:
        """Somebody else may have changed it, and may hold a view of it."""
        self._memory.forget_all()
        self._memory.exact = False
        self._has_m = False

    def _call_directly(self, instruction: Instruction) -> int | None:
        assert instruction.name is not None
        name = instruction.name
        has_value = name in ("CALL", "CALLCODE")
        count = 7 if has_value else 6
        operands = self._peek(count)
        start, size, out, room = operands[-4:]
        for span, length, place in ((start, size, count - 4), (out, room, count - 2)):
            self._settle(length, place + 1)
            if length.constant != 0:
                self._settle(span, place)
        if not self._reach(start, size) or not self._reach(out, room):
            return None
        data = self._content(start, size, keep=True)
        if room.constant != 0:
            self._before_write(out, room)
        called = name.lower()
        self.operations[called] = None
        self._return_gas(self._before)
        words = [self._number(value) for value in operands[: count - 4]]
        listed = ", ".join([data, self._number(out), self._number(room), *words])
        result = self._known(1, f"{called}(c, G, M, {listed})")
        self._has_m = False
        with self._draft.exit(f"{result.name} < 0"):
            self._leave_after_call()
        self._pop(count)
        self._forget(out, room)
        self._push(result)
        self._start_segment(instruction.following)
        return instruction.following

    def _leave_after_call(self) -> None:
        """A call that was refused has changed nothing, and the meter is exact."""
        self._materialise()
        self._write(f"return leave(c, {self._pc})")

    # -- stack and flow ----------------------------------------------------------------------

    def _push_constant(self, instruction: Instruction) -> bool:
        self._push(constant(instruction.argument))
        return True

    def _dup(self, instruction: Instruction) -> bool:
        self._push(self._peek(instruction.number)[-1])
        return True

    def _swap(self, instruction: Instruction) -> bool:
        self._reach_down(instruction.number + 1)
        stack, other = self._stack, -instruction.number - 1
        stack[-1], stack[other] = stack[other], stack[-1]
        return True

    def _drop(self, instruction: Instruction) -> bool:
        self._pop(1)
        return True

    def _nothing(self, instruction: Instruction) -> bool:
        return True

    def _position(self, instruction: Instruction) -> bool:
        self._push(constant(instruction.pc))
        return True

    def _gas_left(self, instruction: Instruction) -> bool:
        self._push(self._known(256, self._draft.gas(self._spent)))
        return True

    def _stop(self, instruction: Instruction) -> None:
        self._return_gas(self._spent)
        self._write("return -1")

    def _jump(self, instruction: Instruction) -> int | None:
        (target,) = self._peek(1)
        if target.constant is not None:
            if target.constant not in self._code.jumpdests:
                self._leave()
                return None
            self._pop(1)
            self._enter(target.constant)
            return target.constant
        expected = self._expected()
        text = self._use(target)
        if expected in self._code.jumpdests:
            with self._draft.exit(f"{text} != {expected}"):
                self._jump_anywhere(target)
            self._pop(1)
            self._enter(expected)
            return expected
        self._jump_anywhere(target)
        return None

    def _jump_anywhere(self, target: Value) -> None:
        """To a computed destination; the stack still holds it, and the condition of a JUMPI."""
        with self._draft.exit(f"{self._use(target)} not in jumpdests"):
            self._leave()
        stack, height = list(self._stack), self._height
        self._pop(1)
        self._go_where(target)
        self._stack, self._height = stack, height

    def _jumpi(self, instruction: Instruction) -> int | None:
        target, test = self._peek(2)
        valid = target.constant in self._code.jumpdests
        following = instruction.following
        expected = self._expected()
        if test.constant is not None and (test.constant == 0 or target.constant is not None):
            if test.constant == 0:
                self._pop(2)
                self._enter(following)
                return following
            if not valid:
                self._leave()
                return None
            self._pop(2)
            assert target.constant is not None
            self._enter(target.constant)
            return target.constant
        if target.constant is None:
            self._use(target)
        holds, fails = self._draft.condition(test)
        if valid and expected == target.constant:
            assert target.constant is not None
            if test not in self._nonzero:
                with self._way_out(fails, self._spent, following, 2):
                    self._go_popping(2, following)
                self._passed(test, True)
            self._pop(2)
            self._enter(target.constant)
            return target.constant
        if valid and target.constant is not None:
            with self._way_out(holds, self._spent, target.constant, 2):
                self._go_popping(2, target.constant)
        else:
            with self._draft.exit(holds):
                self._jump_if_valid(target)
        self._passed(test, False)
        self._pop(2)
        if expected != following:
            self._go(following)
            return None
        self._enter(following)
        return following

    def _jump_if_valid(self, target: Value) -> None:
        """A JUMPI that jumps, to where nobody can, or to a place that is not known."""
        if target.constant is not None:
            self._leave()
            return
        with self._draft.exit(f"{self._use(target)} not in jumpdests"):
            self._leave()
        stack, height = list(self._stack), self._height
        self._pop(2)
        self._go_where(target)
        self._stack, self._height = stack, height

    def _go_popping(self, count: int, pc: int) -> None:
        stack, height = list(self._stack), self._height
        self._pop(count)
        self._go(pc)
        self._stack, self._height = stack, height

    # -- memory ------------------------------------------------------------------------------

    def _m(self) -> str:
        """The real memory's bytes."""
        if not self._has_m:
            self._write("m = M._bytes")
            self._has_m = True
        return "m"

    def _write_memory(self) -> None:
        """Write down what makes the real memory what it is meant to be."""
        self._extend()
        for start, word in self._memory.waiting.items():
            self._write_word(start, word)

    def _extend(self) -> None:
        memory = self._memory
        if memory.exact and memory.real < memory.length:
            self._write(f"m = extend(M, {memory.length})")
            self._has_m = True

    def _write_word(self, start: int, word: Value) -> None:
        self._spilled += 1
        span = f"{self._m()}[{start}:{start + 32}]"
        if word.constant is not None:
            self._write(f"{span} = {_literal(word.constant)}")
        else:
            self._write(f'{span} = {self._use(word)}.to_bytes(32, "big")')

    def _update_memory(self) -> None:
        """Make the real memory what it is meant to be, here and from now on."""
        self._write_memory()
        self._memory.written()

    def _before_write(self, start: Value, size: Value) -> None:
        """Somebody is about to write there: what waits to be written there must come before."""
        if start.constant is None or size.constant is None:
            self._update_memory()
            return
        memory = self._memory
        self._extend()
        memory.real = memory.length
        for word in memory.waiting_at(start.constant, size.constant):
            self._write_word(word, memory.waiting.pop(word))

    def _reach(self, start: Value, size: Value) -> bool:
        """Pay for an access to memory. False: that much exists for nobody; the trace has ended."""
        memory = self._memory
        if size.constant == 0:
            return True
        if size.constant is not None and size.constant > _MEMORY_LIMIT:
            self._leave()
            return False
        if start.constant is not None and size.constant is not None:
            end = start.constant + size.constant
            if end > _MEMORY_LIMIT:
                self._leave()
                return False
            if end <= memory.length:
                return True
            if memory.exact:
                gas = expansion_gas(memory.length, end)
                self._spend(gas)
                self._before += gas  # paid: whoever leaves from here on leaves with longer memory
            else:
                m = self._m()
                with self._draft.branch(f"len({m}) < {end}"):
                    self._try(f"grow({m}, g, {end})")
            memory.length = (end + 31) & ~31
            return True
        self._extend()
        memory.real = memory.length
        memory.exact = False
        m = self._m()
        if size.constant is not None:
            end_text = f"{self._use(start)} + {size.constant}"
            with self._draft.branch(f"len({m}) < {end_text}"):
                self._try(f"grow({m}, g, {end_text})")
        else:
            self._try(f"reach({m}, g, {self._use(start)}, {self._use(size)})")
        return True

    def _span(self, start: Value, size: Value) -> str:
        """The Python of a stretch of the real memory, which has been paid for."""
        m = self._m()
        if start.constant is not None and size.constant is not None:
            return f"{m}[{start.constant}:{start.constant + size.constant}]"
        first = self._use(start)
        return f"{m}[{first}:{first} + {self._use(size)}]"

    def _content(self, start: Value, size: Value, keep: bool) -> str:
        """The Python of the bytes that lie there. ``keep``: memory is needed afterwards."""
        if size.constant == 0:
            return 'b""'
        if start.constant is not None and size.constant is not None:
            pieces = self._memory.pieces(start.constant, size.constant)
            if pieces is not None:
                return self._joined(pieces)
        if keep:
            self._update_memory()
        else:
            self._write_memory()
        return f"bytes({self._span(start, size)})"

    def _joined(self, pieces: list[Piece]) -> str:
        texts: list[str] = []
        literal = b""
        for value, first, last in pieces:
            assert value is not None
            if value.constant is not None:
                literal += value.constant.to_bytes(32, "big")[first:last]
                continue
            if literal:
                texts.append(repr(literal))
                literal = b""
            text = f'{self._number(value)}.to_bytes(32, "big")'
            texts.append(text if last - first == 32 else f"{text}[{first}:{last}]")
        if literal:
            texts.append(repr(literal))
        return " + ".join(texts)

    def _forget(self, start: Value, size: Value) -> None:
        """What lies there changes in a way that is not known."""
        if size.constant == 0:
            return
        if start.constant is None or size.constant is None:
            self._memory.forget_all()
        else:
            self._memory.forget(start.constant, size.constant)

    def _mload(self, instruction: Instruction) -> bool | None:
        (start,) = self._peek(1)
        self._settle(start, 0)
        if not self._reach(start, _WORD):
            return None
        if start.constant is None:
            self._update_memory()
            self._pop(1)
            self._push(self._known(256, f'from_bytes({self._span(start, _WORD)}, "big")'))
            return True
        word = self._memory.word(start.constant)
        if word is None:
            pieces = self._memory.pieces(start.constant, 32)
            if pieces is not None:
                word = self._known(256, f'from_bytes({self._joined(pieces)}, "big")')
            else:
                self._update_memory()
                word = self._known(256, f'from_bytes({self._span(start, _WORD)}, "big")')
            self._memory.learn(start.constant, word)
        self._pop(1)
        self._push(word)
        return True

    def _mstore(self, instruction: Instruction) -> bool | None:
        start, word = self._peek(2)
        self._settle(start, 0)
        if not self._reach(start, _WORD):
            return None
        content = self._use(word)
        self._pop(2)
        if start.constant is not None:
            self._memory.store(start.constant, word)
            return True
        self._update_memory()
        if word.constant is not None:
            self._write(f"{self._span(start, _WORD)} = {_literal(word.constant)}")
        else:
            self._write(f'{self._span(start, _WORD)} = {content}.to_bytes(32, "big")')
        self._memory.forget_all()
        return True

    def _mstore8(self, instruction: Instruction) -> bool | None:
        start, word = self._peek(2)
        self._settle(start, 0)
        if not self._reach(start, _BYTE):
            return None
        content = self._use(word)
        self._pop(2)
        self._before_write(start, _BYTE)
        self._write(f"{self._m()}[{self._use(start)}] = {content} & 255")
        self._forget(start, _BYTE)
        return True

    def _msize(self, instruction: Instruction) -> bool:
        if self._memory.exact:
            self._push(constant(self._memory.length))
        else:
            self._push(self._known(64, f"len({self._m()})"))
        return True

    def _copy(
        self, source: str, mode: Literal["copy", "copy_returned", "move"] = "copy"
    ) -> bool | None:
        """To memory, from ``source`` (Python of bytes); ``move``: from memory itself."""
        operands = self._peek(3)
        target, start, size = operands
        self._settle(size, 2)
        if size.constant != 0:
            self._settle(target, 0)
            if mode == "move":
                self._settle(start, 1)
        if mode == "copy_returned":  # beyond the end it fails (EIP-211)
            with self._draft.exit(f"{self._use(start)} + {self._use(size)} > len({source})"):
                self._leave()
        if size.constant is not None:
            self._spend(GAS_COPY * ((size.constant + 31) // 32))
            if mode != "move":
                is_there = self._reach(target, size)
            elif target.constant is None or start.constant is None:
                is_there = True
                self._reach_by("reach", target, size, start)
            else:  # in one step, as py-evm does: what it fails with tells how far it had come
                furthest = target if target.constant >= start.constant else start
                is_there = self._reach(furthest, size)
            if not is_there:
                return None
        else:
            self._reach_by("reach_to_copy", target, size, start if mode == "move" else None)
        self._pop(3)
        if size.constant == 0:
            return True
        if mode == "move":
            self._update_memory()
            self._write(f"{self._span(target, size)} = {self._span(start, size)}")
        else:
            self._before_write(target, size)
            words = f"{self._use(target)}, {source}, {self._use(start)}, {self._use(size)}"
            self._write(f"copy({self._m()}, {words})")
        self._forget(target, size)
        return True

    def _reach_by(
        self, function: str, start: Value, size: Value, also: Value | None = None
    ) -> None:
        """Pay, at run time and in one go, for an access of a size that is not known."""
        self._extend()
        self._memory.real = self._memory.length
        self._memory.exact = False
        words = [self._use(start), self._use(size)]
        if also is not None:
            words[0] = f"max({words[0]}, {self._use(also)})"
        self._try(f"{function}({self._m()}, g, {', '.join(words)})")

    def _calldatacopy(self, instruction: Instruction) -> bool | None:
        return self._copy("D")

    def _codecopy(self, instruction: Instruction) -> bool | None:
        return self._copy("CODE")

    def _returndatacopy(self, instruction: Instruction) -> bool | None:
        return self._copy("c.return_data", "copy_returned")

    def _mcopy(self, instruction: Instruction) -> bool | None:
        return self._copy("", "move")

    def _sha3(self, instruction: Instruction) -> bool | None:
        start, size = self._peek(2)
        self._settle_span(start, size)
        if size.constant is None:
            self._reach_by("reach_to_hash", start, size)
        else:
            if size.constant < _MEMORY_LIMIT:
                self._spend(GAS_SHA3WORD * ((size.constant + 31) // 32))
            if not self._reach(start, size):
                return None
        prefix = "noted_" if self._notes_sha3 else ""
        pair = self._pair(start, size)
        if pair is not None:
            first, second = pair
            digest = self._once(
                ("SHA3", first, second),
                lambda: self._known(
                    256,
                    f"{prefix}sha3_of_pair(c, {self._number(first)}, {self._number(second)})",
                ),
            )
        else:
            digest = self._known(256, f"{prefix}sha3(c, {self._content(start, size, keep=True)})")
        self._pop(2)
        self._push(digest)
        return True

    def _pair(self, start: Value, size: Value) -> tuple[Value, Value] | None:
        """Two words that are hashed together, as for a slot of a mapping."""
        if start.constant is None or size.constant != 64:
            return None
        first = self._memory.word(start.constant)
        second = self._memory.word(start.constant + 32)
        return None if first is None or second is None else (first, second)

    def _settle_span(self, start: Value, size: Value) -> None:
        self._settle(size, 1)
        if size.constant != 0:
            self._settle(start, 0)

    def _end_with(self, instruction: Instruction) -> bool:
        """Hand over the output. False: the trace has ended."""
        start, size = self._peek(2)
        self._settle_span(start, size)
        if size.constant is None:
            self._reach_by("reach", start, size)
        elif not self._reach(start, size):
            return False
        self._write(f"c._output = {self._content(start, size, keep=False)}")
        self._return_gas(self._spent)
        return True

    def _return(self, instruction: Instruction) -> None:
        if self._end_with(instruction):
            self._write("return -1")

    def _revert(self, instruction: Instruction) -> None:
        if self._end_with(instruction):
            self._write("raise Revert(c._output)")

    def _log(self, instruction: Instruction) -> bool | None:
        start, size, *topics = self._peek(2 + instruction.number)
        self._settle_span(start, size)
        if "may write" not in self._uses:
            self._uses.add("may write")
            with self._draft.exit("c.msg.is_static"):
                self._leave()
        self._spend(GAS_LOGTOPIC * instruction.number)
        if size.constant is None:
            self._reach_by("reach_to_log", start, size)
        else:
            if size.constant < _MEMORY_LIMIT:
                self._spend(GAS_LOGDATA * size.constant)
            if not self._reach(start, size):
                return None
        listed = "".join(f"{self._number(topic)}, " for topic in topics).rstrip()
        self._write(f"log(c, ({listed}), {self._content(start, size, keep=True)})")
        self._pop(2 + instruction.number)
        return True

    # -- environment and storage -------------------------------------------------------------

    def _calldataload(self, instruction: Instruction) -> bool:
        (start,) = self._pop(1)
        if start.constant is None:
            self._push(Value(_CALL_DATA, (start,)))
        else:
            key = f"CALLDATALOAD {start.constant}"
            if key not in self._environment:
                span = f"D[{start.constant}:{start.constant + 32}]"
                self._environment[key] = Value(f'from_bytes({span}, "big")')
            self._push(self._environment[key])
        return True

    def _codesize(self, instruction: Instruction) -> bool:
        self._push(constant(len(self._code.content)))
        return True

    def _returndatasize(self, instruction: Instruction) -> bool:
        self._push(self._known(64, "len(c.return_data)"))
        return True

    def _extcodesize(self, instruction: Instruction) -> int:
        (word,) = self._peek(1)
        text = self._number(word)
        self._try(f"warm_up_account(c, g, {text})")
        self._pop(1)
        self._push(self._known(32, f"code_size(c, {text})"))
        return instruction.following

    def _exp(self, instruction: Instruction) -> bool:
        base, exponent = self._peek(2)
        per_byte = exponent_byte_gas(instruction.operation)
        if exponent.constant is not None:
            self._spend(per_byte * ((exponent.constant.bit_length() + 7) // 8))
            if base.constant is not None:
                self._pop(2)
                self._push(constant(pow(base.constant, exponent.constant, 2**256)))
                return True
        else:
            text = self._use(exponent)
            self._try(f"g - {per_byte} * (({text}.bit_length() + 7) // 8)")
        self._pop(2)
        self._push(Value("pow({0}, {1}, CEILING)", (base, exponent)))
        return True

    def _sload(self, instruction: Instruction) -> bool:
        (slot,) = self._peek(1)
        text = self._number(slot)
        self._uses.add("accounts")
        if charges_cold_slots(instruction.operation):
            self._warm_up(slot, text)
        self._pop(1)
        word = self._known(256, f"accounts.load(A, {text})")
        word.linear = True
        self._push(word)
        return True

    def _warm_up(self, slot: Value, text: str) -> None:
        """EIP-2929. A slot that was warmed here stays warm as long as this computation runs."""
        key = slot if slot.constant is None else slot.constant
        if key in self._warm:
            self._spend(WARM_STORAGE_READ_COST)
            return
        self._try(f"warm_up(accounts, g, A, {text})")
        self._warm.add(key)

    def _sstore(self, instruction: Instruction) -> bool:
        place, word = self._peek(2)
        slot, content = self._number(place), self._use(word)
        self._uses.add("accounts")
        exact = self._draft.gas(self._spent)
        self._try(f"sstore(c, accounts, g, A, {slot}, {content}, {exact})")
        rules = net_metering(instruction.operation)
        if rules is not None and rules[2]:
            self._warm.add(place if place.constant is None else place.constant)
        self._pop(2)
        return True


def _is_constant(part: Any) -> bool:
    return isinstance(part, Value) and part.constant is not None


def _literal(number: int) -> str:
    """32 bytes as Python source."""
    return repr(number.to_bytes(32, "big"))


def _folded(value: Value) -> int | None:
    """The number that a value is, if what it is made of has become constant since."""
    if value.constant is None and value.operands and value.template != _CALL_DATA:
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


_WORD: Final = constant(32)
_BYTE: Final = constant(1)

_CALLS: Final = frozenset({"CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"})
_PUSHES_NUMBER: Final = _CALLS | {"EXTCODESIZE", "BASEFEE", "BLOBBASEFEE", "CHAINID", "GASLIMIT"}
_SEES_MEMORY: Final = _CALLS | {"CREATE", "CREATE2", "EXTCODECOPY"}

_OWN: Final[dict[str, Callable[[Trace, Instruction], Any]]] = {
    "PUSH": Trace._push_constant,
    "DUP": Trace._dup,
    "SWAP": Trace._swap,
    "POP": Trace._drop,
    "JUMPDEST": Trace._nothing,
    "PC": Trace._position,
    "GAS": Trace._gas_left,
    "STOP": Trace._stop,
    "JUMP": Trace._jump,
    "JUMPI": Trace._jumpi,
    "MLOAD": Trace._mload,
    "MSTORE": Trace._mstore,
    "MSTORE8": Trace._mstore8,
    "MSIZE": Trace._msize,
    "CALLDATALOAD": Trace._calldataload,
    "CALLDATACOPY": Trace._calldatacopy,
    "CODESIZE": Trace._codesize,
    "CODECOPY": Trace._codecopy,
    "RETURNDATASIZE": Trace._returndatasize,
    "RETURNDATACOPY": Trace._returndatacopy,
    "MCOPY": Trace._mcopy,
    "SHA3": Trace._sha3,
    "RETURN": Trace._return,
    "REVERT": Trace._revert,
    "LOG": Trace._log,
    "EXP": Trace._exp,
    "SLOAD": Trace._sload,
    "SSTORE": Trace._sstore,
}
