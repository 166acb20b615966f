"""How instructions are written down.

Responsible for: `computed`, what pure opcodes make of words; `environmental`, what stays the same
while a computation runs; and a function for each other opcode, by `OWN`, which returns where the
trace goes on, True for the next instruction, or None at its end.
Talks to: the `Writer`, by whose means all is said. Never: writes what depends on more than the
instruction and what the writer knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from eth.constants import GAS_COPY, GAS_LOGDATA, GAS_LOGTOPIC, GAS_SHA3WORD
from eth.vm.forks.berlin.constants import WARM_STORAGE_READ_COST

from parallel_evm.translator.code import Instruction
from parallel_evm.translator.operations import (
    charges_cold_accounts,
    charges_cold_slots,
    exponent_byte_gas,
    exponent_gas,
    net_metering,
)
from parallel_evm.translator.values import Value, apply, constant
from parallel_evm.translator.words import power
from parallel_evm.translator.writer import CALL_DATA, MEMORY_LIMIT, Writer, literal

# Opcodes whose value stays the same for as long as the computation runs.
ENVIRONMENT: Final[dict[str, tuple[str, int]]] = {
    "ADDRESS": ('from_bytes(A, "big")', 160),
    "ORIGIN": ('from_bytes(c.transaction_context.origin, "big")', 160),
    "CALLER": ('from_bytes(c.msg.sender, "big")', 160),
    "CALLVALUE": ("c.msg.value", 256),
    "CALLDATASIZE": ("len(D) - 32", 48),
    "GASPRICE": ("c.transaction_context.gas_price", 256),
    "TIMESTAMP": ("c.state.timestamp", 256),
    "NUMBER": ("c.state.block_number", 256),
}

_WORD: Final = constant(32)
_BYTE: Final = constant(1)


# -- what an opcode's operands, or the computation, determine


def computed(writer: Writer, name: str, *operands: Value) -> Value:
    """The result of a pure opcode; of the first word of the call data the selector is known."""
    if writer.recording is not None and len(writer.recording.selector) == 4:
        first = writer.environment.get("CALLDATALOAD 0")
        if first is not None:
            selector = int.from_bytes(writer.recording.selector, "big")
            a, b = operands[0], operands[-1]
            if name == "SHR" and b is first and a.constant == 224:
                return constant(selector)
            if name == "DIV" and a is first and b.constant == 2**224:
                return constant(selector)
    if name == "ISZERO" and operands[0] in writer.nonzero:
        return constant(0)
    return writer.once((name, *operands), lambda: apply(name, *operands))


def environmental(writer: Writer, name: str) -> Value:
    if name == "CALLDATASIZE" and writer.recording is not None:
        return constant(writer.recording.size)
    if name not in writer.environment:
        template, width = ENVIRONMENT[name]
        writer.environment[name] = Value(template, (), width)
    return writer.environment[name]


# -- stack and flow


def push_constant(writer: Writer, instruction: Instruction) -> bool:
    writer.push(constant(instruction.argument))
    return True


def dup(writer: Writer, instruction: Instruction) -> bool:
    writer.push(writer.peek(instruction.number)[-1])
    return True


def swap(writer: Writer, instruction: Instruction) -> bool:
    writer.reach_down(instruction.number + 1)
    stack, other = writer.stack, -instruction.number - 1
    stack[-1], stack[other] = stack[other], stack[-1]
    return True


def drop(writer: Writer, instruction: Instruction) -> bool:
    writer.pop(1)
    return True


def nothing(writer: Writer, instruction: Instruction) -> bool:
    return True


def position(writer: Writer, instruction: Instruction) -> bool:
    writer.push(constant(instruction.pc))
    return True


def gas_left(writer: Writer, instruction: Instruction) -> bool:
    writer.push(writer.known(256, writer.draft.gas(writer.spent)))
    return True


def stop(writer: Writer, instruction: Instruction) -> None:
    writer.return_gas(writer.spent)
    writer.write("return -1")


def jump(writer: Writer, instruction: Instruction) -> int | None:
    (target,) = writer.peek(1)
    if target.constant is not None:
        if target.constant not in writer.code.jumpdests:
            writer.leave()
            return None
        writer.pop(1)
        writer.enter(target.constant)
        return target.constant
    expected = writer.expected()
    text = writer.use(target)
    if expected in writer.code.jumpdests:
        with writer.draft.exit(f"{text} != {expected}"):
            jump_anywhere(writer, target)
        writer.pop(1)
        writer.enter(expected)
        return expected
    jump_anywhere(writer, target)
    return None


def jump_anywhere(writer: Writer, target: Value) -> None:
    """To a computed destination; the stack still holds it, and the condition of a JUMPI."""
    with writer.draft.exit(f"{writer.use(target)} not in jumpdests"):
        writer.leave()
    stack, height = list(writer.stack), writer.height
    writer.pop(1)
    writer.go_where(target)
    writer.stack, writer.height = stack, height


def jumpi(writer: Writer, instruction: Instruction) -> int | None:
    target, test = writer.peek(2)
    valid = target.constant in writer.code.jumpdests
    following = instruction.following
    expected = writer.expected()
    if test.constant is not None and (test.constant == 0 or target.constant is not None):
        if test.constant == 0:
            writer.pop(2)
            writer.enter(following)
            return following
        if not valid:
            writer.leave()
            return None
        writer.pop(2)
        assert target.constant is not None
        writer.enter(target.constant)
        return target.constant
    if target.constant is None:
        writer.use(target)
    holds, fails = writer.draft.condition(test)
    if valid and expected == target.constant:
        assert target.constant is not None
        if test not in writer.nonzero:
            with writer.way_out(fails, writer.spent, following, 2):
                writer.go_popping(2, following)
            writer.passed(test, True)
        writer.pop(2)
        writer.enter(target.constant)
        return target.constant
    if valid and target.constant is not None:
        with writer.way_out(holds, writer.spent, target.constant, 2):
            writer.go_popping(2, target.constant)
    else:
        with writer.draft.exit(holds):
            jump_if_valid(writer, target)
    writer.passed(test, False)
    writer.pop(2)
    if expected != following:
        writer.go(following)
        return None
    writer.enter(following)
    return following


def jump_if_valid(writer: Writer, target: Value) -> None:
    """A JUMPI that jumps, to where nobody can, or to a place that is not known."""
    if target.constant is not None:
        writer.leave()
        return
    with writer.draft.exit(f"{writer.use(target)} not in jumpdests"):
        writer.leave()
    stack, height = list(writer.stack), writer.height
    writer.pop(2)
    writer.go_where(target)
    writer.stack, writer.height = stack, height


# -- memory


def mload(writer: Writer, instruction: Instruction) -> bool | None:
    (start,) = writer.peek(1)
    writer.settle(start, 0)
    if not writer.reach(start, _WORD):
        return None
    if start.constant is None:
        writer.update_memory()
        writer.pop(1)
        writer.push(writer.known(256, f'from_bytes({writer.span(start, _WORD)}, "big")'))
        return True
    word = writer.memory.word(start.constant)
    if word is None:
        pieces = writer.memory.pieces(start.constant, 32)
        if pieces is not None:
            word = writer.known(256, f'from_bytes({writer.joined(pieces)}, "big")')
        else:
            writer.update_memory()
            word = writer.known(256, f'from_bytes({writer.span(start, _WORD)}, "big")')
        writer.memory.learn(start.constant, word)
    writer.pop(1)
    writer.push(word)
    return True


def mstore(writer: Writer, instruction: Instruction) -> bool | None:
    start, word = writer.peek(2)
    writer.settle(start, 0)
    if not writer.reach(start, _WORD):
        return None
    content = writer.use(word)
    writer.pop(2)
    if start.constant is not None:
        writer.memory.store(start.constant, word)
        return True
    writer.update_memory()
    if word.constant is not None:
        writer.write(f"{writer.span(start, _WORD)} = {literal(word.constant)}")
    else:
        writer.write(f'{writer.span(start, _WORD)} = {content}.to_bytes(32, "big")')
    writer.memory.forget_all()
    return True


def mstore8(writer: Writer, instruction: Instruction) -> bool | None:
    start, word = writer.peek(2)
    writer.settle(start, 0)
    if not writer.reach(start, _BYTE):
        return None
    content = writer.use(word)
    writer.pop(2)
    writer.before_write(start, _BYTE)
    writer.write(f"{writer.real_memory()}[{writer.use(start)}] = {content} & 255")
    writer.forget(start, _BYTE)
    return True


def msize(writer: Writer, instruction: Instruction) -> bool:
    if writer.memory.exact:
        writer.push(constant(writer.memory.length))
    else:
        writer.push(writer.known(64, f"len({writer.real_memory()})"))
    return True


def copy(
    writer: Writer, source: str, mode: Literal["copy", "copy_returned", "move"] = "copy"
) -> bool | None:
    """To memory, from ``source`` (Python of bytes); ``move``: from memory itwriter."""
    operands = writer.peek(3)
    target, start, size = operands
    writer.settle(size, 2)
    if size.constant != 0:
        writer.settle(target, 0)
        if mode == "move":
            writer.settle(start, 1)
    if mode == "copy_returned":  # beyond the end it fails (EIP-211)
        with writer.draft.exit(f"{writer.use(start)} + {writer.use(size)} > len({source})"):
            writer.leave()
    if size.constant is not None:
        writer.spend(GAS_COPY * ((size.constant + 31) // 32))
        if mode != "move":
            is_there = writer.reach(target, size)
        elif target.constant is None or start.constant is None:
            is_there = True
            writer.reach_by("reach", target, size, start)
        else:  # in one step, as py-evm does: what it fails with tells how far it had come
            furthest = target if target.constant >= start.constant else start
            is_there = writer.reach(furthest, size)
        if not is_there:
            return None
    else:
        writer.reach_by("reach_to_copy", target, size, start if mode == "move" else None)
    writer.pop(3)
    if size.constant == 0:
        return True
    if mode == "move":
        writer.update_memory()
        writer.write(f"{writer.span(target, size)} = {writer.span(start, size)}")
    else:
        writer.before_write(target, size)
        words = f"{writer.use(target)}, {source}, {writer.use(start)}, {writer.use(size)}"
        writer.write(f"copy({writer.real_memory()}, {words})")
    writer.forget(target, size)
    return True


def calldatacopy(writer: Writer, instruction: Instruction) -> bool | None:
    return copy(writer, "D")


def codecopy(writer: Writer, instruction: Instruction) -> bool | None:
    return copy(writer, "CODE")


def returndatacopy(writer: Writer, instruction: Instruction) -> bool | None:
    return copy(writer, "c.return_data", "copy_returned")


def mcopy(writer: Writer, instruction: Instruction) -> bool | None:
    return copy(writer, "", "move")


def sha3(writer: Writer, instruction: Instruction) -> bool | None:
    start, size = writer.peek(2)
    writer.settle_span(start, size)
    if size.constant is None:
        writer.reach_by("reach_to_hash", start, size)
    else:
        if size.constant < MEMORY_LIMIT:
            writer.spend(GAS_SHA3WORD * ((size.constant + 31) // 32))
        if not writer.reach(start, size):
            return None
    prefix = "noted_" if writer.notes_sha3 else ""
    pair = writer.pair(start, size)
    if pair is not None:
        first, second = pair
        digest = writer.once(
            ("SHA3", first, second),
            lambda: writer.known(
                256,
                f"{prefix}sha3_of_pair(c, {writer.number(first)}, {writer.number(second)})",
            ),
        )
    else:
        digest = writer.known(256, f"{prefix}sha3(c, {writer.content(start, size, keep=True)})")
    writer.pop(2)
    writer.push(digest)
    return True


def end_with(writer: Writer, instruction: Instruction) -> bool:
    """Hand over the output. False: the trace has ended."""
    start, size = writer.peek(2)
    writer.settle_span(start, size)
    if size.constant is None:
        writer.reach_by("reach", start, size)
    elif not writer.reach(start, size):
        return False
    writer.write(f"c._output = {writer.content(start, size, keep=False)}")
    writer.return_gas(writer.spent)
    return True


def return_(writer: Writer, instruction: Instruction) -> None:
    if end_with(writer, instruction):
        writer.write("return -1")


def revert(writer: Writer, instruction: Instruction) -> None:
    if end_with(writer, instruction):
        writer.write("raise Revert(c._output)")


def log(writer: Writer, instruction: Instruction) -> bool | None:
    start, size, *topics = writer.peek(2 + instruction.number)
    writer.settle_span(start, size)
    if "may write" not in writer.uses:
        writer.uses.add("may write")
        with writer.draft.exit("c.msg.is_static"):
            writer.leave()
    writer.spend(GAS_LOGTOPIC * instruction.number)
    if size.constant is None:
        writer.reach_by("reach_to_log", start, size)
    else:
        if size.constant < MEMORY_LIMIT:
            writer.spend(GAS_LOGDATA * size.constant)
        if not writer.reach(start, size):
            return None
    listed = "".join(f"{writer.number(topic)}, " for topic in topics).rstrip()
    writer.write(f"log(c, ({listed}), {writer.content(start, size, keep=True)})")
    writer.pop(2 + instruction.number)
    return True


# -- environment and storage


def calldataload(writer: Writer, instruction: Instruction) -> bool:
    (start,) = writer.pop(1)
    if start.constant is None:
        writer.push(Value(CALL_DATA, (start,)))
    else:
        key = f"CALLDATALOAD {start.constant}"
        if key not in writer.environment:
            span = f"D[{start.constant}:{start.constant + 32}]"
            writer.environment[key] = Value(f'from_bytes({span}, "big")')
        writer.push(writer.environment[key])
    return True


def codesize(writer: Writer, instruction: Instruction) -> bool:
    writer.push(constant(len(writer.code.content)))
    return True


def returndatasize(writer: Writer, instruction: Instruction) -> bool:
    writer.push(writer.known(64, "len(c.return_data)"))
    return True


def extcodesize(writer: Writer, instruction: Instruction) -> bool:
    (word,) = writer.peek(1)
    text = writer.number(word)
    if charges_cold_accounts(instruction.operation):
        writer.charge(f"warm_up_account(c, g, {text})")
    writer.pop(1)
    writer.push(writer.known(32, f"code_size(c, {text})"))
    return True


def exp(writer: Writer, instruction: Instruction) -> bool:
    base, exponent = writer.peek(2)
    per_byte = exponent_byte_gas(instruction.operation)
    if exponent.constant is not None:
        writer.spend(exponent_gas(per_byte, exponent.constant))
        if base.constant is not None:
            writer.pop(2)
            writer.push(constant(power(base.constant, exponent.constant)))
            return True
    else:
        text = writer.use(exponent)
        writer.charge(f"g - {per_byte} * (({text}.bit_length() + 7) // 8)")
    writer.pop(2)
    writer.push(Value("pow({0}, {1}, CEILING)", (base, exponent)))
    return True


def sload(writer: Writer, instruction: Instruction) -> bool:
    (slot,) = writer.peek(1)
    text = writer.number(slot)
    writer.uses.add("accounts")
    if charges_cold_slots(instruction.operation):
        warm_up(writer, slot, text)
    writer.pop(1)
    word = writer.known(256, f"accounts.load(A, {text})")
    word.linear = True
    writer.push(word)
    return True


def warm_up(writer: Writer, slot: Value, text: str) -> None:
    """EIP-2929. A slot that was warmed here stays warm as long as this computation runs."""
    key = slot if slot.constant is None else slot.constant
    if key in writer.warm:
        writer.spend(WARM_STORAGE_READ_COST)
        return
    writer.charge(f"warm_up(accounts, g, A, {text})")
    writer.warm.add(key)


def sstore(writer: Writer, instruction: Instruction) -> bool:
    place, word = writer.peek(2)
    slot, content = writer.number(place), writer.use(word)
    writer.uses.add("accounts")
    exact = writer.draft.gas(writer.spent)
    writer.charge(f"sstore(c, accounts, g, A, {slot}, {content}, {exact})")
    rules = net_metering(instruction.operation)
    if rules is not None and rules[2]:
        writer.warm.add(place if place.constant is None else place.constant)
    writer.pop(2)
    return True


OWN: Final[dict[str, Callable[[Writer, Instruction], int | bool | None]]] = {
    "PUSH": push_constant,
    "DUP": dup,
    "SWAP": swap,
    "POP": drop,
    "JUMPDEST": nothing,
    "PC": position,
    "GAS": gas_left,
    "STOP": stop,
    "JUMP": jump,
    "JUMPI": jumpi,
    "MLOAD": mload,
    "MSTORE": mstore,
    "MSTORE8": mstore8,
    "MSIZE": msize,
    "CALLDATALOAD": calldataload,
    "CALLDATACOPY": calldatacopy,
    "CODESIZE": codesize,
    "CODECOPY": codecopy,
    "RETURNDATASIZE": returndatasize,
    "RETURNDATACOPY": returndatacopy,
    "MCOPY": mcopy,
    "SHA3": sha3,
    "RETURN": return_,
    "REVERT": revert,
    "LOG": log,
    "EXP": exp,
    "EXTCODESIZE": extcodesize,
    "SLOAD": sload,
    "SSTORE": sstore,
}
