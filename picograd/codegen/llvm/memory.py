"""Loads and stores in LLVM text.

In: a memory, an `Index`, a `Mask`, a number of lanes. Out: the register loaded, or the text of a
store. Called by `llvm.render`. The form depends on the factor of the lane number in the index: 1
is a vector access, -1 the same reversed, 0 one element for all lanes, anything else (and indices
that are no affine form of the lane) a gather or scatter. Where a mask fails memory is never
touched: one element is then read from a constant zero, and vectors use the masked intrinsics.
"""

from __future__ import annotations

from picograd.codegen.llvm.builder import Builder
from picograd.codegen.llvm.index import Indices, Parts
from picograd.codegen.llvm.types import literal, register, splat, stored, suffix, vector
from picograd.codegen.loops import Home, Load, Memory
from picograd.dtypes import DType
from picograd.graph.index import Index, Var
from picograd.graph.mask import Mask

ZEROS = "picograd_zeros"  # what masked-off elements are read from
ZEROS_BYTES = 256  # the longest vector
# How far outside of a memory a masked-off vector may be read, in bytes: what lies further may not
# be mapped, and x86 takes a thousand cycles to find that all lanes are masked off.
NEAR = 4096
GAP = 8  # elements so far apart are read by whole vectors


class Memories:
    """Accesses to the memories of one function."""

    def __init__(self, builder: Builder, indices: Indices, nontemporal: bool) -> None:
        self.builder = builder
        self.indices = indices
        self.nontemporal = nontemporal  # the target has streaming stores
        self.streamed = False  # a streaming store was written
        self.zeros = False  # ZEROS is used

    def base(self, memory: Memory) -> str:
        """The pointer to a memory's element 0."""
        emit = self.builder.emit_address
        if memory.home is Home.ARGUMENT:
            cell = emit(f"getelementptr ptr, ptr %buffers, i64 {memory.slot}")
            return emit(f"load ptr, ptr {cell}, align 8", cell)
        if memory.home is Home.SHARED:
            raise ValueError(f"the memory {memory.name} is shared by a GPU block: not on a CPU")
        number = 1 if memory.home is Home.WORKSPACE else 2
        cell = emit(f"getelementptr ptr, ptr %context, i64 {number}")
        home = emit(f"load ptr, ptr {cell}, align 8", cell)
        if not memory.offset:
            return home
        return emit(f"getelementptr i8, ptr {home}, i64 {memory.offset}", home)

    # --- loads --------------------------------------------------------------------------------

    def load(self, load: Load) -> str:
        """The register of a load's value."""
        memory, lanes = load.memory, load.lanes
        if lanes == 1:
            value = self._load_one(memory, load.index, self.indices.mask(load.mask, 1))
        else:
            parts = self.indices.split(load.index)
            places = self._places(parts, load)
            if places is not None:
                value = self._load_chosen(load, parts.shared, places)
            elif parts.varying or parts.stride not in (-1, 0, 1):
                value = self._gather(load)
            elif parts.stride == 0:
                value = self._load_same(load)
            else:
                value = self._load_vector(load, parts.shared, parts.stride)
        return self._loaded(memory.dtype, value, lanes)

    def _loaded(self, dtype: DType, value: str, lanes: int) -> str:
        """From the type in memory to the type in registers."""
        if not dtype.is_bool:
            return value
        kind = vector("i8", lanes)
        return self.builder.emit(f"icmp ne {kind} {value}, {splat('i8', '0', lanes)}", value)

    def or_zeros(self, condition: str, pointer: str) -> str:
        """A pointer where a one-lane condition holds, else one to zeros."""
        self.zeros = True
        text = f"select i1 {condition}, ptr {pointer}, ptr @{ZEROS}"
        return self.builder.emit_address(text, condition, pointer)

    def neighbours(self, dtype: DType, pointer: str, lanes: int, written: bool) -> str:
        """The register of `lanes` elements from a pointer on, as their dtype has it."""
        kind = vector(stored(dtype), lanes)
        text = f"load {kind}, ptr {pointer}, align {dtype.itemsize}"
        return self._loaded(dtype, self.builder.emit_load(text, written, pointer), lanes)

    def _load_one(self, memory: Memory, index: Index, mask: str) -> str:
        element = stored(memory.dtype)
        if mask == "false":
            return "0" if memory.dtype.is_bool else literal(0, memory.dtype)
        pointer = self.indices.address(self.base(memory), element, index)
        if mask != "true":
            pointer = self.or_zeros(mask, pointer)
        align = memory.dtype.itemsize
        text = f"load {element}, ptr {pointer}, align {align}"
        return self.builder.emit_load(text, memory.written, pointer)

    def _load_same(self, load: Load) -> str:
        """The same element in every lane, which a mask may replace by zero in some."""
        memory, lanes, builder = load.memory, load.lanes, self.builder
        element = stored(memory.dtype)
        single, several = self.indices.mask_parts(load.mask, lanes)
        if several is None:
            value = self._load_one(memory, load.index, single)
            return builder.broadcast(element, value, lanes)
        some = self._any(several, lanes)
        if single != "true":
            some = builder.emit_address(f"and i1 {single}, {some}", single, some)
        value = builder.broadcast(element, self._load_one(memory, load.index, some), lanes)
        zero = "zeroinitializer"
        kind, mask = vector(element, lanes), vector("i1", lanes)
        text = f"select {mask} {several}, {kind} {value}, {kind} {zero}"
        return builder.emit(text, several, value)

    def _any(self, mask: str, lanes: int) -> str:
        emit, kind = self.builder.emit_address, vector("i1", lanes)
        word = emit(f"bitcast {kind} {mask} to i{lanes}", mask)
        return emit(f"icmp ne i{lanes} {word}, 0", word)

    def _load_vector(self, load: Load, shared: Index, stride: int) -> str:
        """Neighbours in memory, upwards or downwards."""
        memory, lanes = load.memory, load.lanes
        element = stored(memory.dtype)
        first = shared if stride == 1 else shared + (1 - lanes)
        single, several = self.indices.mask_parts(load.mask, lanes)
        if several is None and single == "false":
            return "zeroinitializer"
        if several is not None and stride == -1:
            several = self._reverse("i1", lanes, several)
        value = self._load_part(memory, first, lanes, single, several)
        return value if stride == 1 else self._reverse(element, lanes, value)

    def _load_part(
        self, memory: Memory, first: Index, lanes: int, single: str, several: str | None
    ) -> str:
        """Neighbours from an element on, masked by a condition and by lane."""
        builder, element = self.builder, stored(memory.dtype)
        pointer = self.indices.address(self.base(memory), element, first)
        kind, align = vector(element, lanes), memory.dtype.itemsize
        if several is not None and single == "true" and self._is_far(memory, first, lanes):
            single = self._any(several, lanes)
        if single != "true":
            pointer = self.or_zeros(single, pointer)
        if several is None:
            text = f"load {kind}, ptr {pointer}, align {align}"
            return builder.emit_load(text, memory.written, pointer)
        name, masks = f"llvm.masked.load.{suffix(element, lanes)}.p0", vector("i1", lanes)
        builder.declare(name, kind, f"ptr, {masks}, {kind}")
        text = f"call {kind} @{name}(ptr align {align} {pointer}, {masks} {several}, "
        text += f"{kind} zeroinitializer)"
        return builder.emit_load(text, memory.written, pointer, several)

    def _places(self, parts: Parts, load: Load) -> tuple[int, ...] | None:
        """Where each lane's element lies, counted from what the lanes share, if all lie among few
        neighbours: every second one, or each several times."""
        lanes = load.lanes
        if not parts.varying and (parts.stride <= 1 or parts.stride > GAP):
            return None
        inside = {var for atom, _ in parts.varying for var in Index(((atom, 1),)).atoms()}
        if any(not isinstance(v, Var) or v.lanes != lanes for v in inside):
            return None
        if any(var in self.indices.registers for var in inside):
            return None
        varying = Index(parts.varying)
        places = tuple(
            varying.evaluate(dict.fromkeys(inside, lane)) + parts.stride * lane
            for lane in range(lanes)
        )
        return places if 0 < max(places) - min(places) < GAP * lanes else None

    def _load_chosen(self, load: Load, shared: Index, places: tuple[int, ...]) -> str:
        """Lanes from anywhere among neighbours: whole vectors are read, and lanes of them chosen.

        The last vector ends with the last element wanted, so none reaches past it; where all are
        within a vector, no more than those are read. A mask by lane is spread over the elements
        between, which are not read then.
        """
        memory, lanes = load.memory, load.lanes
        single, several = self.indices.mask_parts(load.mask, lanes)
        if several is None and single == "false":
            return "zeroinitializer"
        low, last = min(places), max(places) + 1 - lanes
        if several is not None and (last < low or len(set(places)) < lanes):
            held = held_lanes(load.mask, lanes)
            return self._load_held(load, shared, places, held) if held else self._gather(load)
        width = min(lanes, max(places) + 1 - low)
        value, waiting = "poison", dict(enumerate(places))
        for start in (*range(low, last, lanes), max(low, last)):
            where = {n: place - start for n, place in waiting.items() if place - start < width}
            if not where:
                continue
            waiting = {n: place for n, place in waiting.items() if n not in where}
            here = None
            if several is not None:
                spread = [lanes] * lanes
                for n, place in where.items():
                    spread[place] = n
                here = self._choose("i1", lanes, several, "zeroinitializer", spread)
            part = self._load_part(memory, shared + start, width, single, here)
            if width < lanes:
                order = [where[n] for n in range(lanes)]
                return self.builder.shuffle(stored(memory.dtype), width, part, order)
            order = [lanes + where[n] if n in where else n for n in range(lanes)]
            value = self._choose(stored(memory.dtype), lanes, value, part, order)
        return value

    def _load_held(
        self, load: Load, shared: Index, places: tuple[int, ...], held: list[int]
    ) -> str:
        """The same where it is known which lanes are masked off: the others' neighbours alone."""
        low, high = min(places[n] for n in held), max(places[n] for n in held)
        if not 1 < high + 1 - low <= load.lanes:
            return self._gather(load)
        width, element = high + 1 - low, stored(load.memory.dtype)
        single, _ = self.indices.mask_parts(load.mask, load.lanes)
        part = self._load_part(load.memory, shared + low, width, single, None)
        order = [places[n] - low if n in held else width for n in range(load.lanes)]
        return self._choose(element, width, part, "zeroinitializer", order)

    def _choose(self, element: str, lanes: int, first: str, second: str, order: list[int]) -> str:
        """Lanes of two vectors."""
        kind = vector(element, lanes)
        numbers = ", ".join(f"i32 {n}" for n in order)
        text = f"shufflevector {kind} {first}, {kind} {second}, <{len(order)} x i32> <{numbers}>"
        return self.builder.emit(text, first, second)

    def _is_far(self, memory: Memory, first: Index, lanes: int) -> bool:
        """Whether vectors that are masked off may lie far outside of the memory."""
        low, high = first.bounds()
        outside = max(-low, high + lanes - memory.size)
        return outside * memory.dtype.itemsize > NEAR

    def _reverse(self, element: str, lanes: int, value: str) -> str:
        if not value.startswith("%"):
            return value  # a splat
        return self.builder.shuffle(element, lanes, value, list(range(lanes - 1, -1, -1)))

    def _gather(self, load: Load) -> str:
        memory, lanes, builder = load.memory, load.lanes, self.builder
        element = stored(memory.dtype)
        pointers = self.indices.addresses(self.base(memory), element, load.index, lanes)
        kind, masks, align = vector(element, lanes), vector("i1", lanes), memory.dtype.itemsize
        mask = self.indices.mask(load.mask, lanes)
        name = f"llvm.masked.gather.{suffix(element, lanes)}.{suffix('ptr', lanes)}"
        places = vector("ptr", lanes)
        builder.declare(name, kind, f"{places}, {masks}, {kind}")
        text = f"call {kind} @{name}({places} align {align} {pointers}, {masks} {mask}, "
        text += f"{kind} zeroinitializer)"
        return builder.emit_load(text, memory.written, pointers, mask)

    # --- stores -------------------------------------------------------------------------------

    def store(
        self, memory: Memory, index: Index, value: str, lanes: int, mask: Mask, streaming: bool
    ) -> None:
        """Write a register to memory where the mask holds."""
        if mask.never:
            return
        builder, element = self.builder, stored(memory.dtype)
        if memory.dtype.is_bool:
            kind = vector(register(memory.dtype), lanes)
            value = builder.emit(f"zext {kind} {value} to {vector('i8', lanes)}", value)
        parts = self.indices.split(index)
        if lanes == 1:
            self._store_one(memory, index, value, self.indices.mask(mask, 1))
        elif not parts.varying and parts.stride in (1, -1):
            single, several = self.indices.mask_parts(mask, lanes)
            first = parts.shared if parts.stride == 1 else parts.shared + (1 - lanes)
            only = only_lane(mask, lanes)
            if only is not None:
                # LLVM 20 writes too many bytes for one lane of a truncated vector.
                value = builder.emit(
                    f"extractelement {vector(element, lanes)} {value}, i32 {only}", value
                )
                self._store_one(memory, parts.shared + parts.stride * only, value, "true")
                builder.forget_loads()
                return
            if parts.stride == -1:
                value = self._reverse(element, lanes, value)
                several = several and self._reverse("i1", lanes, several)
            aligned = index_multiple(first, lanes) and lanes * memory.dtype.itemsize in (16, 32, 64)
            if several is None and single == "true" and streaming and aligned and self.nontemporal:
                self._stream(memory, first, value, lanes)
            else:
                self._store_vector(memory, first, value, lanes, (single, several))
        else:
            self._scatter(memory, index, value, lanes, self.indices.mask(mask, lanes))
        builder.forget_loads()

    def _store_one(self, memory: Memory, index: Index, value: str, mask: str) -> None:
        element = stored(memory.dtype)
        pointer = self.indices.address(self.base(memory), element, index)
        text = f"store {element} {value}, ptr {pointer}, align {memory.dtype.itemsize}"
        self.guarded(mask, text)

    def guarded(self, mask: str, text: str) -> None:
        """An instruction that runs where a one-lane mask holds."""
        builder = self.builder
        if mask == "true":
            builder.perform(text)
            return
        then, after = builder.fresh("then"), builder.fresh("after")
        builder.perform(f"br i1 {mask}, label %{then}, label %{after}")
        builder.label(then)
        builder.perform(text)
        builder.perform(f"br label %{after}")
        builder.label(after)

    def _store_vector(
        self, memory: Memory, index: Index, value: str, lanes: int, mask: tuple[str, str | None]
    ) -> None:
        element, align = stored(memory.dtype), memory.dtype.itemsize
        kind, builder = vector(element, lanes), self.builder
        pointer = self.indices.address(self.base(memory), element, index)
        single, several = mask
        if several is None:
            self.guarded(single, f"store {kind} {value}, ptr {pointer}, align {align}")
            return
        masks, name = vector("i1", lanes), f"llvm.masked.store.{suffix(element, lanes)}.p0"
        builder.declare(name, "void", f"{kind}, ptr, {masks}")
        text = f"call void @{name}({kind} {value}, ptr align {align} {pointer}, {masks} {several})"
        self.guarded(single, text)

    def prefetch(self, memory: Memory, index: Index, write: bool) -> None:
        """Ask for the cache line of an element."""
        pointer = self.indices.address(self.base(memory), stored(memory.dtype), index)
        self.builder.declare("llvm.prefetch.p0", "void", "ptr, i32, i32, i32")
        self.builder.perform(
            f"call void @llvm.prefetch.p0(ptr {pointer}, i32 {int(write)}, i32 3, i32 1)"
        )

    def _stream(self, memory: Memory, index: Index, value: str, lanes: int) -> None:
        """A store past the caches. It needs an aligned address, which a user's buffer may not
        have: then the ordinary store runs."""
        builder, element = self.builder, stored(memory.dtype)
        size = lanes * memory.dtype.itemsize
        base, kind = self.base(memory), vector(element, lanes)
        pointer = self.indices.address(base, element, index)
        word = builder.emit_address(f"ptrtoint ptr {base} to i64", base)
        low = builder.emit_address(f"and i64 {word}, {size - 1}", word)
        aligned = builder.emit_address(f"icmp eq i64 {low}, 0", low)
        fast, slow, after = (builder.fresh(name) for name in ("stream", "plain", "after"))
        builder.perform(f"br i1 {aligned}, label %{fast}, label %{slow}")
        builder.label(fast)
        builder.perform(f"store {kind} {value}, ptr {pointer}, align {size}, !nontemporal !0")
        builder.perform(f"br label %{after}")
        builder.label(slow)
        text = f"store {kind} {value}, ptr {pointer}, align {memory.dtype.itemsize}"
        builder.perform(text)
        builder.perform(f"br label %{after}")
        builder.label(after)
        self.streamed = True

    def _scatter(self, memory: Memory, index: Index, value: str, lanes: int, mask: str) -> None:
        """Lanes that name one element are written in order: the last one stays."""
        element, builder = stored(memory.dtype), self.builder
        pointers = self.indices.addresses(self.base(memory), element, index, lanes)
        kind, masks = vector(element, lanes), vector("i1", lanes)
        places = vector("ptr", lanes)
        name = f"llvm.masked.scatter.{suffix(element, lanes)}.{suffix('ptr', lanes)}"
        builder.declare(name, "void", f"{kind}, {places}, {masks}")
        align = memory.dtype.itemsize
        builder.perform(
            f"call void @{name}({kind} {value}, {places} align {align} {pointers}, {masks} {mask})"
        )


def only_lane(mask: Mask, lanes: int) -> int | None:
    """The single lane where a mask holds that depends on nothing but lanes."""
    held = held_lanes(mask, lanes)
    return held[0] if held is not None and len(held) == 1 else None


def held_lanes(mask: Mask, lanes: int) -> list[int] | None:
    """The lanes where a mask holds that depends on nothing else."""
    atoms = mask.atoms()
    if not atoms or any(not isinstance(atom, Var) or atom.lanes == 1 for atom in atoms):
        return None
    return [n for n in range(lanes) if mask.evaluate(dict.fromkeys(atoms, n))]


def index_multiple(index: Index, factor: int) -> bool:
    """Is an index always a multiple of a factor?"""
    terms_divide = all(coefficient % factor == 0 for _, coefficient in index.terms)
    return terms_divide and index.constant % factor == 0
