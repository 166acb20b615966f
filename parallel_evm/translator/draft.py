"""A Python function in the making: its lines, the names in it, its gas, and the ways out of it.

Responsible for text. Gas is charged once per *segment*, the stretch between two moments at which
py-evm sees the gas meter; what a segment costs is only known at its end, so it is filled in last.
A way out of the function becomes a function of its own, to be compiled when somebody leaves there:
most never are, and compiling costs more than everything else.
Talks to: `values`. Never: knows an opcode (`instructions`), or what is known of a word (`writer`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from parallel_evm.translator.values import Value, local

PARAMETERS: Final = "c, S, G, M, D, A"

_REST: Final = re.compile(r"<rest (\d+) (\d+)>")
_WORD: Final = re.compile(r"\bv\d+\b")
_NAMED: Final = re.compile(r"^\s*(v\d+) = ", re.MULTILINE)


class _Charge:
    """The line that charges a segment; written when it is known what the segment costs."""

    def __init__(self, segment: int) -> None:
        self.segment = segment


class _Exit:
    """A way out, by its number, from the place where it is taken."""

    def __init__(self, number: int) -> None:
        self.number = number


Line = str | _Charge | _Exit


class Draft:
    """The text of one function."""

    def __init__(self) -> None:
        self.real: list[Value] = []
        """The top of the real stack, as far as it is known."""
        self.totals: list[int] = []
        """Gas of each segment."""
        self.head: list[str] = []
        """Lines at the beginning."""
        self.in_exit = False
        self._lines: list[tuple[int, Line]] = []
        self._indent = 1
        self._names = 0
        self._named: list[Value] | None = None
        self._exits: list[list[tuple[int, Line]]] = []
        self._rests: dict[int, tuple[int, int]] = {}
        self._parameters = PARAMETERS

    # -- lines and branches ------------------------------------------------------------------

    def write(self, line: str) -> None:
        self._lines.append((self._indent, line))

    @contextmanager
    def branch(self, condition: str) -> Iterator[None]:
        """Lines that run only if ``condition`` holds; what gets a name there loses it again."""
        self.write(f"if {condition}:")
        outer, self._named = self._named, []
        self._indent += 1
        yield
        self._indent -= 1
        for value in self._named:
            value.name = None
        self._named = outer

    @contextmanager
    def exit(self, condition: str) -> Iterator[None]:
        """Lines that leave the function if ``condition`` holds."""
        if self.in_exit:
            with self.branch(condition):
                yield
            return
        number = len(self._exits)
        with self.branch(condition):
            self._lines.append((self._indent, _Exit(number)))
            outer = self._lines, self._indent
            self._lines, self._indent = [], 1
            self._exits.append(self._lines)
            self.in_exit = True
            yield
            self.in_exit = False
            self._lines, self._indent = outer

    @property
    def exits(self) -> int:
        """How many ways out there are; the next one has this number."""
        return len(self._exits)

    def locals_of(self, number: int) -> list[str]:
        """The locals that a way out is given."""
        return _missing(self._body(self._exits[number]))

    def note_rest(self, number: int, spent: int) -> None:
        """A way out is taken when ``spent`` of the segment is really gone."""
        self._rests[number] = len(self.totals) - 1, spent

    def rest(self, number: int) -> int | None:
        """Gas that a way out gives back, where that was noted. Known when the draft is finished."""
        if number not in self._rests:
            return None
        segment, spent = self._rests[number]
        return self.totals[segment] - spent

    def restart(self, names: list[str]) -> None:
        """Make another function, of a way out: it begins with these locals, and with ``g``."""
        self.totals = []
        self.head = []
        self._lines = []
        self._exits = []
        self._rests = {}
        self._parameters = ", ".join([PARAMETERS, "g", *names])

    # -- names -------------------------------------------------------------------------------

    def fresh(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def use(self, value: Value) -> str:
        """A Python atom for a value: a number or the name of a local."""
        if value.constant is not None:
            return str(value.constant) if value.constant < 4096 else hex(value.constant)
        if value.name is None:
            text = self._expression(value)
            value.name = self.fresh()
            if self._named is not None:
                self._named.append(value)
            self.write(f"{value.name} = {text}")
        return value.name

    def _expression(self, value: Value) -> str:
        if not value.template:
            return f"S[{self.real.index(value) - len(self.real)}]"
        text = value.template.format(*map(self.use, value.operands))
        return f"1 if {text} else 0" if value.negation else text

    def condition(self, value: Value) -> tuple[str, str]:
        """Python conditions: the word is not zero, and the opposite."""
        if value.constant is None and value.name is None and value.negation:
            operands = [self.use(operand) for operand in value.operands]
            return value.template.format(*operands), value.negation.format(*operands)
        text = self.use(value)
        return text, f"not {text}"

    def known(self, width: int, text: str) -> Value:
        """A value that is computed here and now."""
        name = self.fresh()
        self.write(f"{name} = {text}")
        return local(name, width)

    # -- gas ---------------------------------------------------------------------------------

    def start_segment(self) -> None:
        """A segment begins: the gas meter is exact; ``g`` is negative if it cannot be paid."""
        self.totals.append(0)
        self._lines.append((self._indent, _Charge(len(self.totals) - 1)))

    def gas(self, spent: int) -> str:
        """What py-evm would see on its meter when ``spent`` of the segment is really gone."""
        return f"<rest {len(self.totals) - 1} {spent}>"

    # -- the whole ---------------------------------------------------------------------------

    def functions(self, name: str) -> dict[str, str]:
        """The source of the function, and of its ways out, by their names."""
        exits = [self._body(lines) for lines in self._exits]
        arguments = [", ".join([PARAMETERS, "g", *_missing(body)]) for body in exits]
        body = self._body(self._lines, [f"{name}_x{i}({text})" for i, text in enumerate(arguments)])
        found = {name: "\n".join([f"def {name}({self._parameters}):", *self.head, body]) + "\n"}
        for number, (text, parameters) in enumerate(zip(exits, arguments, strict=True)):
            found[f"{name}_x{number}"] = f"def {name}_x{number}({parameters}):\n{text}\n"
        return found

    def _body(self, lines: list[tuple[int, Line]], exits: list[str] | None = None) -> str:
        written: list[str] = []
        for indent, line in lines:
            margin = "    " * indent
            if isinstance(line, str):
                written.append(margin + line)
            elif isinstance(line, _Exit):
                assert exits is not None
                written.append(f"{margin}return {exits[line.number]}")
            else:
                written.append(f"{margin}g = G.gas_remaining - {self.totals[line.segment]}")
        return _REST.sub(self._rest, "\n".join(written))

    def _rest(self, match: re.Match[str]) -> str:
        rest = self.totals[int(match[1])] - int(match[2])
        return f"g + {rest}" if rest else "g"


def _missing(body: str) -> list[str]:
    """Locals that a piece of text uses and does not make."""
    names = set(_WORD.findall(body)).difference(_NAMED.findall(body))
    return sorted(names, key=lambda name: int(name[1:]))
