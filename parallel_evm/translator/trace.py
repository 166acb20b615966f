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
whoever leaves in the middle gets the rest back (`draft`). All this is the `writer`'s business, and
single opcodes that of `instructions`; calls are here, and what py-evm's own opcodes have to do.

The function takes ``(c, S, G, M, D, A)``: py-evm's computation, the list of its stack (numbers
only), its gas meter, its memory, the call data with 32 zero bytes behind it, and the address whose
storage it uses. It returns the position to go on at, or -1 when the computation has halted.

Wherever something is irregular (gas or stack do not suffice, a jump leads nowhere, memory cannot
be paid) it calls ``leave(c, pc)`` with stack, memory and gas exactly as they are before the opcode
at ``pc``: py-evm's own opcodes go on from there, so that failures are py-evm's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from parallel_evm.translator.calls import has_direct_form
from parallel_evm.translator.code import Code, Instruction
from parallel_evm.translator.instructions import (
    ENVIRONMENT,
    OWN,
    computed,
    environmental,
)
from parallel_evm.translator.machine import STACK_LIMIT
from parallel_evm.translator.operations import (
    ARITY,
    ENDINGS,
    net_metering,
)
from parallel_evm.translator.recording import Recording
from parallel_evm.translator.values import Value
from parallel_evm.translator.words import FOLD
from parallel_evm.translator.writer import Left, Onward, Writer

MAX_INSTRUCTIONS: Final = 400
MAX_PATH: Final = 4000
"""Instructions of a trace, and of one that follows a recorded path."""
MAX_REPEATS: Final = 12
"""How often one block may come up in a trace: small functions are called again and again."""

MAX_SPILLED: Final = 20_000
"""Words that all ways out of a trace may put in their places: they are written down for each."""

_FOLDED: Final = {name: FOLD[name].__code__.co_argcount for name in FOLD}
_CALLS: Final = frozenset({"CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"})
_PUSHES_NUMBER: Final = _CALLS | {"BASEFEE", "BLOBBASEFEE", "CHAINID", "GASLIMIT"}
_SEES_MEMORY: Final = _CALLS | {"CREATE", "CREATE2", "EXTCODECOPY"}


class NoWayOn(Exception):
    """What a trace would need to know to go on is not there any more."""


class Trace(Writer):
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
        """``repeats``: how often one block may come up; 0 makes a trace of one block. The rest as
        for a `Writer`."""
        super().__init__(code, entry, seen, notes_sha3, recording, onward)
        self._entry = entry
        self._repeats = repeats
        self._visits: dict[int, int] = {}
        self._looks = iter(recording.operands) if recording is not None else iter(())

    # -- the whole -----------------------------------------------------------------------------

    def functions(self, name: str) -> dict[str, str]:
        """The source of the function ``name`` and of its ways out, by their names.

        Raises `NoWayOn` where a way out cannot be gone on from, and for a path on which the stack
        does not suffice.
        """
        self.start_segment(self._entry)
        at: int | None = self._entry
        count = 0
        while at is not None:
            instruction = self.code.at(at)
            if count and self._ends_here(instruction, count):
                self.go(at)
                break
            count += 1
            try:
                at = self._translate(instruction)
            except Left as left:
                self._go_on(left)
                at = left.pc
                count = 0
        if self.onward:
            raise NoWayOn
        if self.recording is not None and (self.needs or self.highest > STACK_LIMIT):
            raise NoWayOn
        self._write_head()
        return self.draft.functions(name)

    def rest(self, number: int) -> int | None:
        """Gas given back by a way out from which a trace can go on; None: none can."""
        return self.draft.rest(number)

    def python(self, name: str) -> str:
        """The same as one text, to be read."""
        return "\n".join(self.functions(name).values())

    def _ends_here(self, instruction: Instruction, count: int) -> bool:
        if self.spilled > MAX_SPILLED:
            return True
        if self.recording is not None:
            return count >= MAX_PATH
        if count >= MAX_INSTRUCTIONS:
            return True
        if instruction.name == "JUMPDEST" or instruction.pc == self.block:
            if instruction.pc == self._entry:
                return True
            visits = self._visits[instruction.pc] = self._visits.get(instruction.pc, 0) + 1
            return visits > self._repeats
        return False

    def _translate(self, instruction: Instruction) -> int | None:
        """Write one instruction; where to go on, or None at the end of the trace."""
        pc = self.pc = instruction.pc
        self.before = self.spent
        name = instruction.name
        if self.entered == pc:
            self.entered = None
        elif name == "JUMPDEST":
            self.enter(pc)
            self.entered = None
        if name is None:
            if instruction.operation is None or pc >= len(self.code.content):
                self.leave()
            else:
                self._call_foreign(instruction)
            return None
        self.recorded = None
        if self.recording is not None and instruction.value in Recording.LOOKED_AT:
            seen = next(self._looks, None)
            if seen is not None and seen[0] == pc:
                self.recorded = seen[1]
        if name in _CALLS and has_direct_form(instruction.operation):
            return self._call_directly(instruction)
        if name in ARITY and (name != "SSTORE" or net_metering(instruction.operation) is None):
            return self._call_stock(instruction)
        self.spend(instruction.operation.gas_cost)
        if name in _FOLDED:
            self.push(computed(self, name, *self.pop(_FOLDED[name])))
            return instruction.following
        if name in ENVIRONMENT:
            self.push(environmental(self, name))
            return instruction.following
        following = OWN[name](self, instruction)
        return instruction.following if following is True else following

    def _write_head(self) -> None:
        head = self.draft.head
        low, high = self.needs, STACK_LIMIT - self.highest
        room = []
        if low > 0 and self.highest > 0:
            room = [f"    if not {low} <= len(S) <= {high}:"]
        elif low > 0:
            room = [f"    if len(S) < {low}:"]
        elif self.highest > 0 and self.recording is None:  # the stack of a call is empty
            room = [f"    if len(S) > {high}:"]
        if room:
            head += [*room, f"        return leave(c, {self._entry})"]
        if "accounts" in self.uses:
            head.append("    accounts = c.state._account_db")

    # -- going on from a way out ---------------------------------------------------------------

    def _go_on(self, left: Left) -> None:
        """All that was written so far is another function's; what is known is known here too."""
        onward = self.onward.pop(0)
        self.pop(left.popping)
        names = self.draft.locals_of(left.number)
        self.draft.restart(names)
        self._keep_only(set(names))
        self.recording = onward.recording
        self._looks = iter(onward.recording.operands)
        self.step = 0
        self.block = self.entered = left.pc
        self.has_m = False
        self.spilled = 0
        self.computations.clear()  # where a value was given a name, that may be gone
        self.write(f"G.gas_remaining = g + {onward.rest}")
        self.start_segment(left.pc)

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

        if not all(map(is_left, [*self.stack, *self.memory.waiting.values()])):
            raise NoWayOn
        self.memory.keep_only(is_left)
        self.environment = {key: value for key, value in self.environment.items() if is_left(value)}

    # -- calls, and opcodes that py-evm runs ---------------------------------------------------

    def _call_foreign(self, instruction: Instruction) -> None:
        """Call, and end the trace: nothing is known of what it does, or where it goes."""
        self.return_gas(self.spent)
        self.materialise()
        self._operate(instruction)
        self.write("only_numbers(S)")
        self.write("return c.code.program_counter")

    def _operate(self, instruction: Instruction) -> None:
        name = f"op_{instruction.value:02x}"
        self.operations[name] = None
        self.write(f"c.code.program_counter = {instruction.pc + 1}")
        self.write(f"{name}(computation=c)")

    def _call_stock(self, instruction: Instruction) -> int | None:
        """Have py-evm run an opcode: its operands are put on the real stack for it alone."""
        assert instruction.name is not None
        taken, left = ARITY[instruction.name]
        words = [self.number(value) for value in self.peek(taken)]
        if instruction.name in _SEES_MEMORY:
            self.update_memory()
        self.return_gas(self.before)
        if len(words) == 1:
            self.write(f"S.append({words[0]})")
        elif words:
            self.write(f"S += {', '.join(reversed(words))}")
        self._operate(instruction)
        if instruction.name in ENDINGS:
            self.write("return -1")
            return None
        self.pop(taken)
        if instruction.name in _SEES_MEMORY:
            self.lose_memory()
        if left:
            if instruction.name in _PUSHES_NUMBER:
                self.push(self.known(256, "S.pop()"))
            else:
                self.push(self.known(256, "number(S.pop())"))
        self.start_segment(instruction.following)
        return instruction.following

    def _call_directly(self, instruction: Instruction) -> int | None:
        assert instruction.name is not None
        name = instruction.name
        has_value = name in ("CALL", "CALLCODE")
        count = 7 if has_value else 6
        operands = self.peek(count)
        self.spend(instruction.operation.gas_cost)  # before memory, as py-evm does
        start, size, out, room = operands[-4:]
        for span, length, place in ((start, size, count - 4), (out, room, count - 2)):
            self.settle(length, place + 1)
            if length.constant != 0:
                self.settle(span, place)
        if not self.reach(start, size) or not self.reach(out, room):
            return None
        data = self.content(start, size, keep=True)
        if room.constant != 0:
            self.before_write(out, room)
        called = name.lower()
        self.operations[called] = None
        self.return_gas(self.before)
        words = [self.number(value) for value in operands[: count - 4]]
        listed = ", ".join([data, self.number(out), self.number(room), *words])
        result = self.known(1, f"{called}(c, G, M, {listed})")
        self.has_m = False
        with self.draft.exit(f"{result.name} < 0"):
            self._leave_after_call()
        self.pop(count)
        self.forget(out, room)
        self.push(result)
        self.start_segment(instruction.following)
        return instruction.following

    def _leave_after_call(self) -> None:
        """A refused call has changed nothing but memory, which is paid for; the meter is exact."""
        self.materialise()
        self.write(f"return leave(c, {self.pc})")
