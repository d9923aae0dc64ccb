"""The first k of a row in order, without sorting the row.

In: `Records`, lanes of a vector. Out: functions of LLVM text over *candidates*: two arrays, of keys
and of positions. `cut` keeps the k least of them, in the order in which they came: it bisects the
range of keys for a bound with exactly k below it (counting takes a vector at a time). `select` lets
a row stream by: only elements under the bound of the last cut become candidates.

`rank` orders a few keys: an element's place is the number of elements before it.
"""

from __future__ import annotations

from picograd.codegen.llvm.types import sequence, splat, vector
from picograd.codegen.sorting.radix import everywhere, narrowed
from picograd.codegen.sorting.records import Records
from picograd.codegen.sorting.text import Loop, Text


class Candidates:
    """The arrays' types. A key has at least 32 bits here, so that a vector has few elements."""

    def __init__(self, records: Records, vector_bytes: int) -> None:
        self.records = records
        self.bits = 64 if records.wide else 32
        self.kind = f"i{self.bits}"
        self.lanes = max(2, vector_bytes * 8 // self.bits)
        self.vector = vector(self.kind, self.lanes)
        self.mask = vector("i1", self.lanes)

    def keys(self, text: Text, x: str, index: str, flip: str, lanes: int) -> str:
        """The keys of elements [index, index + lanes) of a row."""
        keys = self.records.keys
        kind, wide = vector(keys.element, lanes), vector(self.kind, lanes)
        address = text.at(keys.element, x, index)
        raw = text.value(f"load {kind}, ptr {address}, align {keys.bits // 8}")
        key = keys.make(text, raw, flip, lanes)
        return key if keys.bits == self.bits else text.value(f"zext {kind} {key} to {wide}")

    def load(self, text: Text, base: str, index: str) -> str:
        """A vector of keys."""
        address = text.at(self.kind, base, index)
        return text.value(f"load {self.vector}, ptr {address}, align {self.bits // 8}")

    def all(self, text: Text, value: str) -> str:
        """One key in every lane."""
        return everywhere(text, self.kind, value, self.lanes)

    def reduced(self, text: Text, name: str, values: str) -> str:
        """The lanes combined by an operation of LLVM's."""
        function = f"llvm.vector.reduce.{name}.v{self.lanes}{self.kind}"
        return text.value(f"call {self.kind} @{function}({self.vector} {values})")

    def declarations(self) -> list[str]:
        """What the functions here call."""
        suffix = f"v{self.lanes}{self.kind}({self.vector})"
        return [f"declare {self.kind} @llvm.vector.reduce.{n}.{suffix}" for n in ("add", "umax")]


def gather(candidates: Candidates) -> str:
    """`void gather(x, n, flip, keys, positions)`: every element of a row is a candidate; the keys
    are filled up to whole vectors with the greatest."""
    text, records, lanes = Text(), candidates.records, candidates.lanes
    flip = narrowed(text, records, "%flip")
    flips = everywhere(text, records.keys.element, flip, lanes)
    steps = sequence("i32", list(range(lanes)))
    places = f"<{lanes} x i32>"
    last = text.value(f"sub i64 %n, {lanes - 1}")
    with text.loop("0", last, lanes) as each:
        key = candidates.keys(text, "%x", each.index, flips, lanes)
        text.store(candidates.vector, key, text.at(candidates.kind, "%keys", each.index))
        first = everywhere(text, "i32", text.value(f"trunc i64 {each.index} to i32"), lanes)
        place = text.value(f"add {places} {first}, {steps}")
        text.store(places, place, text.at("i32", "%positions", each.index))
    with text.loop(each.index, "%n") as one:
        key = candidates.keys(text, "%x", one.index, flip, 1)
        text.store(candidates.kind, key, "%keys", one.index)
        place = text.value(f"trunc i64 {one.index} to i32")
        text.store("i32", place, "%positions", one.index)
    text.store(
        candidates.vector,
        splat(candidates.kind, "-1", lanes),
        text.at(candidates.kind, "%keys", "%n"),
    )
    return text.function(
        "define internal void @gather(ptr %x, i64 %n, i64 %flip, ptr %keys, ptr %positions)"
    )


def below(candidates: Candidates) -> str:
    """`i64 below(keys, n, bound)`: how many keys don't exceed a bound that not all could."""
    text, kind = Text(), candidates.vector
    bound = candidates.all(text, "%bound")
    with text.loop("0", "%n", candidates.lanes, total=f"{kind} zeroinitializer") as each:
        keys = candidates.load(text, "%keys", each.index)
        low = text.value(f"icmp ule {kind} {keys}, {bound}")
        one = text.value(f"zext {candidates.mask} {low} to {kind}")
        each.next["total"] = text.value(f"add {kind} {each['total']}, {one}")
    total = candidates.reduced(text, "add", each["total"])
    if candidates.bits == 32:
        total = text.value(f"zext i32 {total} to i64")
    head = f"define internal i64 @below(ptr %keys, i64 %n, {candidates.kind} %bound)"
    return text.function(head, f"ret i64 {total}")


def bound(candidates: Candidates) -> str:
    """`key bound(keys, n, k)`: a bound that k of the n keys don't exceed; no lesser one would do,
    if more than k don't."""
    text, kind = Text(), candidates.kind
    with text.repeat(low=f"{kind} 0", high=f"{kind} -1") as each:
        low, high = each["low"], each["high"]
        half = text.value(f"lshr {kind} {text.value(f'sub {kind} {high}, {low}')}, 1")
        middle = text.value(f"add {kind} {low}, {half}")
        count = text.value(f"call i64 @below(ptr %keys, i64 %n, {kind} {middle})")
        enough = text.value(f"icmp sge i64 {count}, %k")
        above = text.value(f"add {kind} {middle}, 1")
        low = each.next["low"] = text.value(f"select i1 {enough}, {kind} {low}, {kind} {above}")
        found = text.value(f"select i1 {enough}, {kind} {middle}, {kind} {high}")
        each.next["high"] = found
        inexact = text.value(f"icmp ne i64 {count}, %k")
        apart = text.value(f"icmp ult {kind} {low}, {found}")
        each.next["again"] = text.value(f"and i1 {apart}, {inexact}")
    head = f"define internal {kind} @bound(ptr %keys, i64 %n, i64 %k)"
    return text.function(head, f"ret {kind} {found}")


def less(candidates: Candidates) -> str:
    """`i64 less(keys, n, bound)`: how many keys are less than the bound."""
    text, kind = Text(), candidates.kind
    some = text.value(f"icmp ne {kind} %bound, 0")
    under = text.value(f"sub {kind} %bound, {text.value(f'zext i1 {some} to {kind}')}")
    count = text.value(f"call i64 @below(ptr %keys, i64 %n, {kind} {under})")
    count = text.value(f"select i1 {some}, i64 {count}, i64 0")
    head = f"define internal i64 @less(ptr %keys, i64 %n, {kind} %bound)"
    return text.function(head, f"ret i64 {count}")


def cut(candidates: Candidates) -> str:
    """`key cut(keys, positions, n, k)`: keeps the k least of n > k candidates; a bound that none
    of them exceeds. An element that comes later has to be less than it."""
    text, kind = Text(), candidates.kind
    tail = text.at(kind, "%keys", "%n")
    text.store(candidates.vector, splat(kind, "-1", candidates.lanes), tail)
    bound = text.value(f"call {kind} @bound(ptr %keys, i64 %n, i64 %k)")
    less = text.value(f"call i64 @less(ptr %keys, i64 %n, {kind} {bound})")
    room = text.value(f"sub i64 %k, {less}")
    with text.loop("0", "%n", to="i64 0", room=f"i64 {room}") as each:
        key = text.load(kind, "%keys", each.index, candidates.bits // 8)
        position = text.load("i32", "%positions", each.index, 4)
        text.store(kind, key, "%keys", each["to"], candidates.bits // 8)
        text.store("i32", position, "%positions", each["to"], 4)
        under = text.value(f"icmp ult {kind} {key}, {bound}")
        same = text.value(f"icmp eq {kind} {key}, {bound}")
        left = text.value(f"icmp sgt i64 {each['room']}, 0")
        taken = text.value(f"and i1 {same}, {left}")
        kept = text.value(f"zext i1 {text.value(f'or i1 {under}, {taken}')} to i64")
        each.next["to"] = text.value(f"add i64 {each['to']}, {kept}")
        used = text.value(f"zext i1 {taken} to i64")
        each.next["room"] = text.value(f"sub i64 {each['room']}, {used}")
    head = f"define internal {kind} @cut(ptr %keys, ptr %positions, i64 %n, i64 %k)"
    return text.function(head, f"ret {kind} {bound}")


def select(candidates: Candidates) -> str:
    """`void select(x, n, k, flip, room, keys, positions)`: the k least elements of a row become the
    candidates, in the order of their positions. The arrays have `room` and two vectors more."""
    text, kind, lanes = Text(), candidates.kind, candidates.lanes
    flip = narrowed(text, candidates.records, "%flip")
    first = text.least("%n", "%room")
    text.do(f"call void @gather(ptr %x, i64 {first}, i64 %flip, ptr %keys, ptr %positions)")
    start = _cut_over(text, candidates, first, "%k", "-1")
    last = text.value(f"sub i64 %n, {lanes - 1}")
    flips = everywhere(text, candidates.records.keys.element, flip, lanes)
    state = {"count": f"i64 {start['count']}", "bound": f"{kind} {start['bound']}"}
    with text.loop(first, last, lanes, **state) as each:
        keys = candidates.keys(text, "%x", each.index, flips, lanes)
        bound = candidates.all(text, each["bound"])
        under = text.value(f"icmp ult {candidates.vector} {keys}, {bound}")
        bits = text.value(f"bitcast {candidates.mask} {under} to i{lanes}")
        found = text.value(f"zext i{lanes} {bits} to i64")
        number = text.value(f"call i64 @llvm.ctpop.i64(i64 {found})")
        with text.loop("0", number, bits=f"i64 {found}", count=f"i64 {each['count']}") as one:
            lane = text.value(f"call i64 @llvm.cttz.i64(i64 {one['bits']}, i1 true)")
            others = text.value(f"sub i64 {one['bits']}, 1")
            one.next["bits"] = text.value(f"and i64 {one['bits']}, {others}")
            index = text.value(f"add i64 {each.index}, {lane}")
            one.next["count"] = _add(text, candidates, index, flip, one["count"])
        cut_now = _cut_over(text, candidates, one["count"], "%room", each["bound"])
        each.next["count"], each.next["bound"] = cut_now["count"], cut_now["bound"]
    rest = {"count": f"i64 {each['count']}"}
    with text.loop(each.index, "%n", **rest) as one:  # less than a vector: no cut between
        one.next["count"] = _add(text, candidates, one.index, flip, one["count"])
    _cut_over(text, candidates, one["count"], "%k", "-1")
    return text.function(
        "define internal void @select(ptr %x, i64 %n, i64 %k, i64 %flip, i64 %room, ptr %keys, "
        "ptr %positions)"
    )


def _add(text: Text, candidates: Candidates, index: str, flip: str, count: str) -> str:
    """Make an element a candidate; how many there are then."""
    key = candidates.keys(text, "%x", index, flip, 1)
    text.store(candidates.kind, key, "%keys", count, candidates.bits // 8)
    text.store("i32", text.value(f"trunc i64 {index} to i32"), "%positions", count, 4)
    return text.value(f"add i64 {count}, 1")


def _cut_over(text: Text, candidates: Candidates, count: str, most: str, bound: str) -> Loop:
    """Cut if there are more than `most` candidates: how many there are then, and the bound."""
    kind = candidates.kind
    over = text.value(f"zext i1 {text.value(f'icmp sgt i64 {count}, {most}')} to i64")
    with text.loop("0", over, count=f"i64 {count}", bound=f"{kind} {bound}") as once:
        arguments = f"ptr %keys, ptr %positions, i64 {count}, i64 %k"
        once.next["bound"] = text.value(f"call {kind} @cut({arguments})")
        once.next["count"] = "%k"
    return once


def rank(candidates: Candidates) -> str:
    """`void rank(keys, n, ranks)`: how many candidates stand before each: those with a lesser key,
    and those before it with the same."""
    text, kind, lanes, mask = Text(), candidates.vector, candidates.lanes, candidates.mask
    steps = sequence(candidates.kind, list(range(lanes)))
    with text.loop("0", "%n", lanes) as block:
        keys = candidates.load(text, "%keys", block.index)
        end = text.least(text.value(f"add i64 {block.index}, {lanes}"), "%n")
        total = "zeroinitializer"
        for part, (begin, stop) in enumerate((("0", block.index), (block.index, end), (end, "%n"))):
            with text.loop(begin, stop, total=f"{kind} {total}") as each:
                one = text.load(candidates.kind, "%keys", each.index, candidates.bits // 8)
                other = candidates.all(text, one)
                compare = "ule" if part == 0 else "ult"
                before = text.value(f"icmp {compare} {kind} {other}, {keys}")
                if part == 1:
                    same = text.value(f"icmp eq {kind} {other}, {keys}")
                    lane = text.value(f"sub i64 {each.index}, {block.index}")
                    narrow = candidates.bits == 32
                    lane = text.value(f"trunc i64 {lane} to i32") if narrow else lane
                    after = text.value(f"icmp ult {kind} {candidates.all(text, lane)}, {steps}")
                    tie = text.value(f"and {mask} {same}, {after}")
                    before = text.value(f"or {mask} {before}, {tie}")
                number = text.value(f"zext {mask} {before} to {kind}")
                each.next["total"] = text.value(f"add {kind} {each['total']}, {number}")
            total = each["total"]
        address = text.at(candidates.kind, "%ranks", block.index)
        text.do(f"store {kind} {total}, ptr {address}, align 4")
    return text.function("define internal void @rank(ptr %keys, i64 %n, ptr %ranks)")


def settle(candidates: Candidates) -> str:
    """`void settle(x, positions, ranks, order, n, k, values, indices)`: the k candidates of the
    least ranks are the results. `order` has room for n positions."""
    text, element = Text(), candidates.records.keys.element
    size = candidates.records.keys.bits // 8
    with text.loop("0", "%n") as each:
        place = text.load(candidates.kind, "%ranks", each.index, candidates.bits // 8)
        if candidates.bits == 32:
            place = text.value(f"zext i32 {place} to i64")
        text.store("i32", text.load("i32", "%positions", each.index, 4), "%order", place, 4)
    for name in ("values", "indices"):
        wanted = text.value(f"icmp ne ptr %{name}, null")
        count = text.value(f"select i1 {wanted}, i64 %k, i64 0")
        with text.loop("0", count) as each:
            position = text.value(f"zext i32 {text.load('i32', '%order', each.index, 4)} to i64")
            if name == "indices":
                text.store("i64", position, "%indices", each.index, 8)
            else:
                value = text.load(element, "%x", position, size)
                text.store(element, value, "%values", each.index, size)
    return text.function(
        "define internal void @settle(ptr %x, ptr %positions, ptr %ranks, ptr %order, i64 %n, "
        "i64 %k, ptr %values, ptr %indices)"
    )


def packed(candidates: Candidates) -> str:
    """`void packed(keys, positions, n, records)`: candidates as records."""
    text, records = Text(), candidates.records
    with text.loop("0", "%n") as each:
        key = text.load(candidates.kind, "%keys", each.index, candidates.bits // 8)
        position = text.value(f"zext i32 {text.load('i32', '%positions', each.index, 4)} to i64")
        record = records.pack(text, key, position, candidates.bits)
        records.store(text, record, "%records", each.index)
    return text.function(
        "define internal void @packed(ptr %keys, ptr %positions, i64 %n, ptr %records)"
    )


CUTTING = (cut, select)
RANKING = (rank, settle, packed)
