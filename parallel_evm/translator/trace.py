"""One trace of bytecode, written down as one Python function.

A trace starts where a basic block starts and goes on through fall-throughs, jumps to known
places and branches in the direction seen last; the other direction leaves the function. Within
it the stack is symbolic (`values`): words become Python locals, and the real stack is brought up
to date only where somebody else looks at it. Gas is charged once per *segment*, the stretch
between two opcodes that py-evm runs itself; whoever leaves in the middle gets the rest back.

The function takes ``(c, S, G, M, D, A)``: py-evm's computation, the list of its stack (numbers
only), its gas meter, its memory, the call data with 32 zero bytes behind it, and the address whose
storage it uses. It returns the position to go on at, or -1 when the computation has halted.

Wherever something is irregular (gas or stack do not suffice, a jump leads nowhere, memory cannot
be paid) it calls ``leave(c, pc)`` with stack, memory and gas exactly as they are before the opcode
at ``pc``: py-evm's own opcodes go on from there, so that failures are py-evm's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from eth.constants import GAS_SHA3WORD

from parallel_evm.translator.calls import direct_call, has_direct_form
from parallel_evm.translator.code import Code, Instruction
from parallel_evm.translator.operations import (
    ARITY,
    ENDINGS,
    charges_cold_slots,
    exponent_byte_gas,
    net_metering,
)
from parallel_evm.translator.values import Value, apply, constant, local
from parallel_evm.translator.words import FOLD

MAX_INSTRUCTIONS: Final = 400
MAX_REPEATS: Final = 12
"""How often one block may come up in a trace: small functions are called again and again."""

_MEMORY_LIMIT: Final = 2**32
_REST: Final = re.compile(r"<rest (\d+) (\d+)>")

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

_FOLDED: Final = {name: FOLD[name].__code__.co_argcount for name in FOLD}


class _Header:
    """The lines that charge a segment; written when it is known what the segment costs."""

    def __init__(self, segment: int, pc: int) -> None:
        self.segment = segment
        self.pc = pc


class Trace:
    """Translates from one position on. Use once: `Trace(...).python()`."""

    def __init__(self, code: Code, entry: int, seen: Mapping[int, int], notes_sha3: bool) -> None:
        """``seen``: where the block at a position went when it was last interpreted."""
        self._code = code
        self._entry = entry
        self._seen = seen
        self._notes_sha3 = notes_sha3
        self.operations: dict[str, Any] = {}
        """Opcodes that the function calls, by the names it has for them."""

        self._lines: list[tuple[int, str | _Header]] = []
        self._indent = 1
        self._names = 0
        self._in_branch: list[Value] | None = None
        # Segments of gas: what each costs in all; what was spent of the current one
        self._totals: list[int] = []
        self._spent = 0
        self._before = 0
        # The top of the stack as it is meant to be, and as it really is
        self._stack: list[Value] = []
        self._real: list[Value] = []
        self._needs = 0
        self._height = 0
        self._highest = 0
        # Memory: known to be this long; words known by position
        self._length = 0
        self._words: dict[int, Value] = {}
        self._environment: dict[str, Value] = {}
        self._uses: set[str] = set()
        self._block = entry
        self._visits: dict[int, int] = {}
        self._pc = entry

    # -- the whole ---------------------------------------------------------------------------

    def python(self, name: str) -> str:
        """The source of the function."""
        self._start_segment(self._entry)
        at: int | None = self._entry
        count = 0
        while at is not None:
            instruction = self._code.at(at)
            if count and self._ends_here(instruction, count):
                self._go(at)
                break
            count += 1
            at = self._translate(instruction)
        return self._assembled(name)

    def _ends_here(self, instruction: Instruction, count: int) -> bool:
        if count >= MAX_INSTRUCTIONS:
            return True
        if instruction.name == "JUMPDEST" or instruction.pc == self._block:
            if instruction.pc == self._entry:
                return True
            visits = self._visits[instruction.pc] = self._visits.get(instruction.pc, 0) + 1
            return visits > MAX_REPEATS
        return False

    def _translate(self, instruction: Instruction) -> int | None:
        """Write one instruction; where to go on, or None at the end of the trace."""
        self._pc = instruction.pc
        self._before = self._spent
        name = instruction.name
        if name is None:
            if instruction.operation is None or instruction.pc >= len(self._code.content):
                self._leave()
            else:
                self._call_foreign(instruction)
            return None
        if name == "JUMPDEST":
            self._block = instruction.pc
        if name in ARITY and (name != "SSTORE" or net_metering(instruction.operation) is None):
            return self._call_stock(instruction)
        self._spend(instruction.operation.gas_cost)
        if name in _FOLDED:
            self._push(apply(name, *self._pop(_FOLDED[name])))
            return instruction.following
        if name in _ENVIRONMENT:
            if name not in self._environment:
                template, width = _ENVIRONMENT[name]
                self._environment[name] = Value(template, (), width)
            self._push(self._environment[name])
            return instruction.following
        following = _OWN[name](self, instruction)
        return instruction.following if following is True else following

    def _assembled(self, name: str) -> str:
        head = [f"def {name}(c, S, G, M, D, A):"]
        low, high = self._needs, 1024 - self._highest
        room = []
        if low > 0 and self._highest > 0:
            room = [f"    if not {low} <= len(S) <= {high}:"]
        elif low > 0:
            room = [f"    if len(S) < {low}:"]
        elif self._highest > 0:
            room = [f"    if len(S) > {high}:"]
        if room:
            head += [*room, f"        return leave(c, {self._entry})"]
        if "m" in self._uses:
            head.append("    m = M._bytes")
        if "accounts" in self._uses:
            head.append("    accounts = c.state._account_db")
        body: list[str] = []
        for indent, line in self._lines:
            if isinstance(line, str):
                body.append("    " * indent + line)
                continue
            total = self._totals[line.segment]
            if total == 0:
                body.append("    g = G.gas_remaining")
            else:
                body += [f"    g = G.gas_remaining - {total}", "    if g < 0:"]
                body.append(f"        return leave(c, {line.pc})")
        return _REST.sub(self._rest, "\n".join(head + body)) + "\n"

    def _rest(self, match: re.Match[str]) -> str:
        rest = self._totals[int(match[1])] - int(match[2])
        return f"g + {rest}" if rest else "g"

    # -- lines and names ---------------------------------------------------------------------

    def _write(self, line: str) -> None:
        self._lines.append((self._indent, line))

    @contextmanager
    def _branch(self, condition: str) -> Iterator[None]:
        """Lines that run only if ``condition`` holds; what gets a name there loses it again."""
        self._write(f"if {condition}:")
        outer, self._in_branch = self._in_branch, []
        self._indent += 1
        yield
        self._indent -= 1
        for value in self._in_branch:
            value.name = None
        self._in_branch = outer

    def _fresh(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def _use(self, value: Value) -> str:
        """A Python atom for a value: a number or the name of a local."""
        if value.constant is not None:
            return str(value.constant) if value.constant < 4096 else hex(value.constant)
        if value.name is None:
            text = self._expression(value)
            value.name = self._fresh()
            if self._in_branch is not None:
                self._in_branch.append(value)
            self._write(f"{value.name} = {text}")
        return value.name

    def _expression(self, value: Value) -> str:
        if not value.template:
            return f"S[{self._real.index(value) - len(self._real)}]"
        text = value.template.format(*map(self._use, value.operands))
        return f"1 if {text} else 0" if value.negation else text

    def _name(self, value: Value) -> None:
        """Make sure that a value has its local before a branch is written that needs it."""
        self._use(value)

    def _condition(self, value: Value) -> tuple[str, str]:
        """Python conditions: the word is not zero, and the opposite."""
        if value.name is None and value.negation:
            operands = [self._use(operand) for operand in value.operands]
            return value.template.format(*operands), value.negation.format(*operands)
        text = self._use(value)
        return text, f"not {text}"

    def _known(self, width: int, text: str) -> Value:
        """A value that is computed here and now."""
        name = self._fresh()
        self._write(f"{name} = {text}")
        return local(name, width)

    # -- gas ---------------------------------------------------------------------------------

    def _start_segment(self, pc: int) -> None:
        """A segment from ``pc`` on; stack and gas meter are up to date."""
        self._totals.append(0)
        self._spent = self._before = 0
        self._lines.append((self._indent, _Header(len(self._totals) - 1, pc)))

    def _spend(self, gas: int) -> None:
        self._spent += gas
        self._totals[-1] += gas

    def _gas(self, spent: int) -> str:
        """Gas left for py-evm's eyes when ``spent`` of the segment is really gone."""
        return f"<rest {len(self._totals) - 1} {spent}>"

    def _return_gas(self, spent: int) -> None:
        self._write(f"G.gas_remaining = {self._gas(spent)}")

    def _try(self, call: str) -> None:
        """``call`` returns the gas that it leaves; where that is negative, py-evm takes over."""
        self._write(f"t = {call}")
        with self._branch("t < 0"):
            self._leave()
        self._write("g = t")

    # -- the stack ---------------------------------------------------------------------------

    def _reach_down(self, count: int) -> None:
        while len(self._stack) < count:
            below = Value()
            self._stack.insert(0, below)
            self._real.insert(0, below)
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
        real, meant = self._real, self._stack
        same = 0
        for left, right in zip(real, meant, strict=False):
            if left is not right and (left.constant is None or left.constant != right.constant):
                break
            same += 1
        drop = len(real) - same
        words = [self._use(value) for value in meant[same:]]
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
        if self._in_branch is None:
            self._real = list(meant)

    # -- ways out ----------------------------------------------------------------------------

    def _go(self, pc: int) -> None:
        """Leave the function after the present instruction, towards ``pc``."""
        self._return_gas(self._spent)
        self._spill()
        self._write(f"return {pc}")

    def _go_where(self, target: Value) -> None:
        """The same, towards a computed position that is known to be a valid destination."""
        text = self._use(target)
        self._return_gas(self._spent)
        self._spill()
        self._write(f"return {text}")

    def _leave(self) -> None:
        """Give the present instruction to py-evm. Its operands must still be on the stack."""
        self._return_gas(self._before)
        self._spill()
        self._write(f"return leave(c, {self._pc})")

    # -- opcodes that py-evm runs ------------------------------------------------------------

    def _call(self, instruction: Instruction) -> None:
        self._return_gas(self._spent)
        self._spill()
        if instruction.name in _CALLS and has_direct_form(instruction.operation):
            name = instruction.name.lower()
            self.operations[name] = direct_call(instruction.name, instruction.operation)
            self._write(f"{name}(c, S, G, M)")
            return
        name = f"op_{instruction.value:02x}"
        self.operations[name] = instruction.operation
        self._write(f"c.code.program_counter = {instruction.pc + 1}")
        self._write(f"{name}(computation=c)")

    def _call_foreign(self, instruction: Instruction) -> None:
        """Call, and end the trace: nothing is known of what it does, or where it goes."""
        self._call(instruction)
        self._write("only_numbers(S)")
        self._write("return c.code.program_counter")

    def _call_stock(self, instruction: Instruction) -> int | None:
        assert instruction.name is not None
        taken, left = ARITY[instruction.name]
        self._peek(taken)
        self._call(instruction)
        if instruction.name in ENDINGS:
            self._write("return -1")
            return None
        del self._stack[len(self._stack) - taken :]
        self._height -= taken
        self._real = list(self._stack)
        self._words.clear()
        if "m" in self._uses:
            self._write("m = M._bytes")
        if left:
            name = self._fresh()
            self._write(f"{name} = S[-1]")
            if instruction.name not in _PUSHES_NUMBER:
                with self._branch(f"isinstance({name}, bytes)"):
                    self._write(f'{name} = S[-1] = from_bytes({name}, "big")')
            result = local(name, 1 if instruction.name in _CALLS else 256)
            self._push(result)
            self._real.append(result)
        self._start_segment(instruction.following)
        return instruction.following

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
        self._push(self._known(256, self._gas(self._spent)))
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
            return target.constant
        expected = self._seen.get(self._block)
        text = self._use(target)
        if expected in self._code.jumpdests:
            with self._branch(f"{text} != {expected}"):
                self._jump_anywhere(target)
            self._pop(1)
            return expected
        self._jump_anywhere(target)
        return None

    def _jump_anywhere(self, target: Value) -> None:
        """To a computed destination; the stack still holds it, and the condition of a JUMPI."""
        with self._branch(f"{self._use(target)} not in jumpdests"):
            self._leave()
        stack, height = list(self._stack), self._height
        self._pop(1)
        self._go_where(target)
        self._stack, self._height = stack, height

    def _jumpi(self, instruction: Instruction) -> int | None:
        target, test = self._peek(2)
        valid = target.constant in self._code.jumpdests
        if test.constant is not None and (test.constant == 0 or target.constant is not None):
            if test.constant == 0:
                self._pop(2)
                self._block = instruction.following
                return instruction.following
            if not valid:
                self._leave()
                return None
            self._pop(2)
            return target.constant
        if target.constant is None:
            self._name(target)
        holds, fails = self._condition(test)
        expected = self._seen.get(self._block)
        if valid and expected == target.constant:
            with self._branch(fails):
                self._go_popping(2, instruction.following)
            self._pop(2)
            return target.constant
        with self._branch(holds):
            if valid and target.constant is not None:
                self._go_popping(2, target.constant)
            elif target.constant is not None:
                self._leave()
            else:
                with self._branch(f"{self._use(target)} not in jumpdests"):
                    self._leave()
                stack, height = list(self._stack), self._height
                self._pop(2)
                self._go_where(target)
                self._stack, self._height = stack, height
        self._pop(2)
        self._block = instruction.following
        if expected != instruction.following:
            self._go(instruction.following)
            return None
        return instruction.following

    def _go_popping(self, count: int, pc: int) -> None:
        stack, height = list(self._stack), self._height
        self._pop(count)
        self._go(pc)
        self._stack, self._height = stack, height

    # -- memory ------------------------------------------------------------------------------

    def _m(self) -> str:
        self._uses.add("m")
        return "m"

    def _touch(self, start: Value, size: int) -> tuple[str, str] | None:
        """Pay for an access to ``size`` bytes; the Python of its start and its end.

        None: that much memory exists for nobody, and the trace ends by leaving.
        """
        memory = self._m()
        if start.constant is not None:
            end = start.constant + size
            if end > _MEMORY_LIMIT:
                self._leave()
                return None
            if end > self._length:
                with self._branch(f"len({memory}) < {end}"):
                    self._try(f"grow({memory}, g, {end})")
                self._length = (end + 31) // 32 * 32
            return self._use(start), str(end)
        first = self._use(start)
        last = self._known(256, f"{first} + {size}").name
        assert last is not None
        with self._branch(f"len({memory}) < {last}"):
            self._try(f"grow({memory}, g, {last})")
        return first, last

    def _forget(self, start: Value, size: int) -> None:
        """Words that a write changes are no longer known."""
        if start.constant is None:
            self._words.clear()
            return
        first, last = start.constant, start.constant + size
        for position in [p for p in self._words if first - 32 < p < last]:
            del self._words[position]

    def _mload(self, instruction: Instruction) -> bool | None:
        (start,) = self._peek(1)
        if start.constant is not None and start.constant in self._words:
            self._pop(1)
            self._push(self._words[start.constant])
            return True
        span = self._touch(start, 32)
        if span is None:
            return None
        self._pop(1)
        word = self._known(256, f'from_bytes(m[{span[0]}:{span[1]}], "big")')
        if start.constant is not None:
            self._words[start.constant] = word
        self._push(word)
        return True

    def _mstore(self, instruction: Instruction) -> bool | None:
        start, word = self._peek(2)
        content = self._use(word)
        span = self._touch(start, 32)
        if span is None:
            return None
        self._pop(2)
        if word.constant is not None:
            self._write(f"m[{span[0]}:{span[1]}] = {_literal(word.constant)}")
        else:
            self._write(f'm[{span[0]}:{span[1]}] = {content}.to_bytes(32, "big")')
        self._forget(start, 32)
        if start.constant is not None:
            self._words[start.constant] = word
        return True

    def _mstore8(self, instruction: Instruction) -> bool | None:
        start, word = self._peek(2)
        content = self._use(word)
        span = self._touch(start, 1)
        if span is None:
            return None
        self._pop(2)
        self._write(f"m[{span[0]}] = {content} & 255")
        self._forget(start, 1)
        return True

    def _msize(self, instruction: Instruction) -> bool:
        self._push(self._known(64, f"len({self._m()})"))
        return True

    def _copy(self, function: str, source: str) -> bool:
        operands = self._peek(3)
        target, start, size = map(self._use, operands)
        self._try(f"{function}({self._m()}, g, {target}, {source}{start}, {size})")
        self._pop(3)
        length = operands[2].constant
        if length is None:
            self._words.clear()
        else:
            self._forget(operands[0], length)
        return True

    def _calldatacopy(self, instruction: Instruction) -> bool:
        return self._copy("copy", "D, ")

    def _codecopy(self, instruction: Instruction) -> bool:
        return self._copy("copy", "CODE, ")

    def _returndatacopy(self, instruction: Instruction) -> bool:
        return self._copy("copy_returned", "c.return_data, ")

    def _mcopy(self, instruction: Instruction) -> bool:
        return self._copy("move", "")

    def _sha3(self, instruction: Instruction) -> bool | None:
        start, size = self._peek(2)
        if size.constant is not None and 0 < size.constant < _MEMORY_LIMIT:
            self._spend(GAS_SHA3WORD * ((size.constant + 31) // 32))
            span = self._touch(start, size.constant)
            if span is None:
                return None
            first, last = span
        else:
            first, length = self._use(start), self._use(size)
            self._try(f"reach_to_hash({self._m()}, g, {first}, {length})")
            last = f"{first} + {length}"
        self._pop(2)
        function = "noted_sha3" if self._notes_sha3 else "sha3"
        self._push(self._known(256, f"{function}(c, m[{first}:{last}])"))
        return True

    def _return(self, instruction: Instruction) -> None:
        start, size = self._peek(2)
        if size.constant is not None and 0 < size.constant < _MEMORY_LIMIT:
            span = self._touch(start, size.constant)
            if span is None:
                return
            first, last = span
        else:
            first, length = self._use(start), self._use(size)
            self._try(f"reach({self._m()}, g, {first}, {length})")
            last = f"{first} + {length}"
        self._write(f"c.output = bytes(m[{first}:{last}])")
        self._return_gas(self._spent)
        self._write("return -1")

    def _log(self, instruction: Instruction) -> bool:
        start, size, *topics = map(self._use, self._peek(2 + instruction.number))
        listed = "".join(f"{topic}, " for topic in topics)
        self._try(f"log(c, {self._m()}, g, {start}, {size}, ({listed.rstrip()}))")
        self._pop(2 + instruction.number)
        return True

    # -- environment and storage -------------------------------------------------------------

    def _calldataload(self, instruction: Instruction) -> bool:
        (start,) = self._pop(1)
        if start.constant is None:
            self._push(Value('from_bytes(D[{0}:{0} + 32], "big")', (start,)))
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
        text = self._use(slot)
        self._uses.add("accounts")
        if charges_cold_slots(instruction.operation):
            self._try(f"warm_up(accounts, g, A, {text})")
        self._pop(1)
        self._push(self._known(256, f"accounts.get_storage(A, {text})"))
        return True

    def _sstore(self, instruction: Instruction) -> bool:
        slot, word = map(self._use, self._peek(2))
        self._uses.add("accounts")
        exact = self._gas(self._spent)
        self._try(f"sstore(c, accounts, g, A, {slot}, {word}, {exact})")
        self._pop(2)
        return True


def _literal(number: int) -> str:
    """32 bytes as Python source."""
    return repr(number.to_bytes(32, "big"))


_CALLS: Final = frozenset({"CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"})
_PUSHES_NUMBER: Final = _CALLS | {"EXTCODESIZE", "BASEFEE", "BLOBBASEFEE", "CHAINID", "GASLIMIT"}

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
    "LOG": Trace._log,
    "EXP": Trace._exp,
    "SLOAD": Trace._sload,
    "SSTORE": Trace._sstore,
}
