"""Index arithmetic in LLVM text: numbers, masks and addresses made from `Index`.

In: an `Index` or `Mask` of `graph/index.py` and the registers of its variables. Out: an i64
register, a vector of i32 or i64, a mask, or a pointer. Called by `llvm.render`.

Sums are built from the outermost variable inwards, so that each part is computed in the
shallowest loop that knows it; the constant comes last, where the machine's addressing modes take
it. All lanes of a vector that differ only by a multiple of the lane number share one address.

>>> from picograd.graph.index import Var, of
>>> indices = Indices(Builder())
>>> indices.bind(Var("i", 0, 9), "%i")
>>> indices.scalar(of(Var("i", 0, 9)) * 4 + 1)
'%v1'
"""

from __future__ import annotations

from dataclasses import dataclass

from picograd.codegen.llvm.builder import Builder
from picograd.codegen.llvm.types import sequence, splat, vector
from picograd.graph.index import Atom, FloorDiv, Index, Mod, Param, Var
from picograd.graph.mask import Mask

_SMALL = 1 << 30


@dataclass(frozen=True, slots=True)
class Parts:
    """An index taken apart: what all lanes share, and what differs by lane.

    `stride` is the factor of the lane number; `varying` are the terms that are not affine in it.
    """

    shared: Index
    stride: int
    varying: tuple[tuple[Atom, int], ...]


class Indices:
    """The registers of index variables, and the arithmetic on them."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.registers: dict[Var, tuple[str, int]] = {}  # register, lanes
        self._varying: dict[Atom, bool] = {}

    def bind(self, var: Var, register: str, lanes: int = 1) -> None:
        """Say which register holds a variable: an i64, or a vector of them."""
        self.registers[var] = register, lanes
        self._varying.clear()

    # --- one number -------------------------------------------------------------------------------

    def scalar(self, index: Index) -> str:
        """An index without lanes as an i64 register or constant."""
        total = self._sum(index.terms)
        if total is None:
            return str(index.constant)
        if index.constant:
            return self.builder.emit_address(f"add i64 {total}, {index.constant}", total)
        return total

    def _sum(self, terms: tuple[tuple[Atom, int], ...]) -> str | None:
        """The sum of the terms without the constant; None for no terms."""
        total = None
        emit = self.builder.emit_address
        for value, factor in self._ordered(terms):
            if factor == 1:
                term = value
            elif factor > 0 and factor & (factor - 1) == 0:
                term = emit(f"shl i64 {value}, {factor.bit_length() - 1}", value)
            else:
                term = emit(f"mul i64 {value}, {factor}", value)
            total = term if total is None else emit(f"add i64 {total}, {term}", total, term)
        return total

    def _ordered(self, terms: tuple[tuple[Atom, int], ...]) -> list[tuple[str, int]]:
        """Registers and factors, those of outer scopes first."""
        found = [(self._atom(atom), factor) for atom, factor in terms]
        if len(found) > 1:
            depth = self.builder.depth
            found.sort(key=lambda pair: depth.get(pair[0], 0))
        return found

    def _atom(self, atom: Atom) -> str:
        if isinstance(atom, Var):
            if atom not in self.registers:
                raise KeyError(f"the loop variable {atom} is used outside of its loop")
            return self.registers[atom][0]
        if isinstance(atom, Param):
            return self.parameter(atom)
        value = self.scalar(atom.numerator)
        return self._divide(atom, value, "i64", 1)

    def parameter(self, param: Param) -> str:
        """An integer argument."""
        cell = self.builder.emit_address(f"getelementptr i64, ptr %scalars, i64 {param.slot}")
        return self.builder.emit_address(f"load i64, ptr {cell}, align 8", cell)

    def _divide(self, atom: FloorDiv | Mod, value: str, element: str, lanes: int) -> str:
        """`value // divisor` or `value % divisor`, rounding down."""
        emit, kind = self.builder.emit_address, vector(element, lanes)
        divisor = atom.divisor
        quotient = isinstance(atom, FloorDiv)
        if divisor & (divisor - 1) == 0:
            opcode, by = ("ashr", divisor.bit_length() - 1) if quotient else ("and", divisor - 1)
            return emit(f"{opcode} {kind} {value}, {splat(element, str(by), lanes)}", value)
        low = atom.numerator.bounds()[0]
        shift = -(low // divisor) if low < 0 else 0
        if shift:  # make the numerator non-negative by whole multiples of the divisor
            moved = splat(element, str(shift * divisor), lanes)
            value = emit(f"add {kind} {value}, {moved}", value)
        opcode = "udiv" if quotient else "urem"
        value = emit(f"{opcode} {kind} {value}, {splat(element, str(divisor), lanes)}", value)
        if shift and quotient:
            value = emit(f"sub {kind} {value}, {splat(element, str(shift), lanes)}", value)
        return value

    # --- one number in each lane ------------------------------------------------------------------

    def varies(self, atom: Atom) -> bool:
        """Does an atom differ between the lanes of a vector?"""
        found = self._varying.get(atom)
        if found is None:
            if isinstance(atom, Var):
                bound = self.registers.get(atom)
                found = atom.lanes > 1 if bound is None else bound[1] > 1
            elif isinstance(atom, Param):
                found = False
            else:
                found = any(self.varies(inner) for inner, _ in atom.numerator.terms)
            self._varying[atom] = found
        return found

    def split(self, index: Index) -> Parts:
        """Take an index apart by how its terms depend on the lane."""
        shared, varying, stride = [], [], 0
        for term in index.terms:
            atom, factor = term
            if not self.varies(atom):
                shared.append(term)
            elif isinstance(atom, Var) and atom not in self.registers:
                stride += factor
            else:
                varying.append(term)
        return Parts(Index(tuple(shared), index.constant), stride, tuple(varying))

    def width(self, index: Index) -> str:
        """`i32` where no part of the arithmetic can leave it, else `i64`."""
        return "i32" if self._fits(index) else "i64"

    def _fits(self, index: Index) -> bool:
        if abs(index.constant) >= _SMALL:
            return False
        spread = abs(index.constant)
        for atom, factor in index.terms:
            low, high = atom.bounds
            spread += max(abs(low * factor), abs(high * factor))
            if isinstance(atom, FloorDiv | Mod) and not self._fits(atom.numerator):
                return False
        return spread < _SMALL

    def lanewise(self, index: Index, lanes: int, element: str) -> str:
        """An index as a vector of i32 or i64."""
        parts = self.split(index)
        shared = self._resized(self.scalar(parts.shared), element)
        total = self.builder.broadcast(element, shared, lanes)
        kind, emit = vector(element, lanes), self.builder.emit_address
        if parts.stride:
            steps = sequence(element, [parts.stride * lane for lane in range(lanes)])
            if shared == "0":
                total = steps
            else:
                total = emit(f"add {kind} {total}, {steps}", total)
        for atom, factor in parts.varying:
            value = self._atom_lanes(atom, lanes, element)
            if factor != 1:
                value = emit(f"mul {kind} {value}, {splat(element, str(factor), lanes)}", value)
            if total == splat(element, "0", lanes):
                total = value
            else:
                total = emit(f"add {kind} {total}, {value}", total, value)
        return total

    def _atom_lanes(self, atom: Atom, lanes: int, element: str) -> str:
        if isinstance(atom, FloorDiv | Mod):
            value = self.lanewise(atom.numerator, lanes, element)
            return self._divide(atom, value, element, lanes)
        assert isinstance(atom, Var)
        register = self.registers[atom][0]
        if element == "i64":
            return register
        kind = vector("i64", lanes)
        return self.builder.emit_address(
            f"trunc {kind} {register} to {vector(element, lanes)}", register
        )

    def _resized(self, value: str, element: str) -> str:
        if element == "i64" or not value.startswith("%"):
            return value
        return self.builder.emit_address(f"trunc i64 {value} to {element}", value)

    # --- masks ------------------------------------------------------------------------------------

    def mask(self, mask: Mask, lanes: int) -> str:
        """A mask as an i1 (for one lane) or a vector of them; `true` for the empty mask."""
        single, several = self.mask_parts(mask, lanes)
        if lanes == 1 or several is None:
            return self.builder.broadcast("i1", single, lanes)
        if single == "true":
            return several
        every = self.builder.broadcast("i1", single, lanes)
        kind = vector("i1", lanes)
        return self.builder.emit_address(f"and {kind} {every}, {several}", every, several)

    def mask_parts(self, mask: Mask, lanes: int) -> tuple[str, str | None]:
        """The part that all lanes share (an i1) and the part that differs by lane, if any."""
        single, several = "true", None
        for constraint in mask.constraints:
            if any(self.varies(atom) for atom, _ in constraint.terms):
                several = self._and(several, self._nonnegative_lanes(constraint, lanes), lanes)
            else:
                both = self._and(single, self._nonnegative(constraint), 1)
                single = both
        return single, several

    def _and(self, first: str | None, second: str, lanes: int) -> str:
        if first is None or first == "true":
            return second
        kind = vector("i1", lanes)
        return self.builder.emit_address(f"and {kind} {first}, {second}", first, second)

    def _nonnegative(self, index: Index) -> str:
        total = self._sum(index.terms)
        if total is None:
            return "true" if index.constant >= 0 else "false"
        return self.builder.emit_address(f"icmp sge i64 {total}, {-index.constant}", total)

    def _nonnegative_lanes(self, index: Index, lanes: int) -> str:
        """`shared + stride*lane >= 0` as one comparison with constants."""
        parts, element = self.split(index), self.width(index)
        kind = vector(element, lanes)
        if parts.varying:
            value, limits = self.lanewise(index, lanes, element), splat(element, "0", lanes)
        else:
            shared = self._resized(self.scalar(parts.shared), element)
            value = self.builder.broadcast(element, shared, lanes)
            limits = sequence(element, [-parts.stride * lane for lane in range(lanes)])
        return self.builder.emit_address(f"icmp sge {kind} {value}, {limits}", value)

    # --- addresses --------------------------------------------------------------------------------

    def address(self, base: str, element: str, index: Index) -> str:
        """A pointer to an element; each step is made as far outside as its variable allows."""
        emit, pointer = self.builder.emit_address, base
        for value, factor in self._ordered(index.terms):
            if factor != 1:
                value = self._sum_one(value, factor)
            pointer = emit(f"getelementptr {element}, ptr {pointer}, i64 {value}", pointer, value)
        if index.constant:
            pointer = emit(f"getelementptr {element}, ptr {pointer}, i64 {index.constant}", pointer)
        return pointer

    def _sum_one(self, value: str, factor: int) -> str:
        return self.builder.emit_address(f"mul i64 {value}, {factor}", value)

    def addresses(self, base: str, element: str, index: Index, lanes: int) -> str:
        """A vector of pointers to the elements of a gather or scatter."""
        parts = self.split(index)
        pointer = self.address(base, element, parts.shared)
        offsets = Index(parts.varying)
        if parts.varying:
            width = self.width(offsets)
            register = self.lanewise(offsets, lanes, width)
            if parts.stride:
                steps = sequence(width, [parts.stride * lane for lane in range(lanes)])
                text = f"add {vector(width, lanes)} {register}, {steps}"
                register = self.builder.emit_address(text, register)
        else:
            width = "i64"
            register = sequence(width, [parts.stride * lane for lane in range(lanes)])
        text = f"getelementptr {element}, ptr {pointer}, {vector(width, lanes)} {register}"
        return self.builder.emit_address(text, pointer, register)
