"""The phases that give the first k of each row in order, and the one at a rank.

In: `Candidates`. Out: their text.
"""

from __future__ import annotations

from picograd.codegen.sorting.radix import COUNTER_BYTES, DIGIT, PHASE, argument, row_of, scalar
from picograd.codegen.sorting.select import Candidates
from picograd.codegen.sorting.text import Text

RANKED = 96  # so many are ordered by comparing all with all, more by their digits
SPARE = 32  # elements that an array is longer than the room: two of the longest vectors


def scratch_bytes(k: int, room: int) -> int:
    """What the phase needs of a thread's scratch memory."""
    return COUNTER_BYTES + 20 * (room + SPARE) + 32 * (k + SPARE)


def first_rows(candidates: Candidates) -> str:
    """The first k in order. Buffers: x, values, indices. Numbers: n, k, flip, room (for candidates:
    n, or more than k)."""
    text, records = Text(), candidates.records
    element = records.keys.element
    x, values, indices = (argument(text, n) for n in range(3))
    n, k, flip, room = (scalar(text, number) for number in range(4))
    areas = _areas(text, text.value(f"add i64 {room}, {SPARE}"))
    counters, keys, ranks, positions, order = areas
    a = order
    b = text.at(f"[{records.bytes} x i8]", a, text.value(f"add i64 {k}, {SPARE}"))
    whole = text.value(f"icmp sle i64 {n}, {RANKED}")
    chosen = text.value(f"select i1 {whole}, i64 {n}, i64 {k}")
    few = text.value(f"icmp sle i64 {chosen}, {RANKED}")
    with text.loop("%begin", "%end") as each:
        row = row_of(text, element, x, each.index, n)
        value_row = row_of(text, element, values, each.index, k)
        index_row = row_of(text, "i64", indices, each.index, k)
        text.do(
            f"call void @select(ptr {row}, i64 {n}, i64 {chosen}, i64 {flip}, i64 {room}, "
            f"ptr {keys}, ptr {positions})"
        )
        with text.when(few):
            text.do(f"call void @rank(ptr {keys}, i64 {chosen}, ptr {ranks})")
            text.do(
                f"call void @settle(ptr {row}, ptr {positions}, ptr {ranks}, ptr {order}, "
                f"i64 {chosen}, i64 {k}, ptr {value_row}, ptr {index_row})"
            )
        with text.when(text.value(f"xor i1 {few}, true")):
            text.do(f"call void @packed(ptr {keys}, ptr {positions}, i64 {chosen}, ptr {a})")
            digits = -(-records.keys.bits // DIGIT)
            arguments = f"ptr {a}, ptr {b}, i64 {chosen}, i64 {digits}, ptr {counters}"
            ordered = text.value(f"call ptr @radix({arguments})")
            text.do(
                f"call void @write(ptr {row}, ptr {ordered}, i64 0, i64 {k}, ptr {value_row}, "
                f"ptr {index_row})"
            )
    return text.function(f"define void @sort_first{PHASE}")


def _areas(text: Text, room: str) -> tuple[str, str, str, str, str]:
    """Counters, keys, ranks, positions; then the order, or both places of the records."""
    counters = text.load("ptr", "%context", "2", 8)
    keys = text.at("i8", counters, str(COUNTER_BYTES))
    ranks = text.at("i64", keys, room)
    positions = text.at("i64", ranks, room)
    return counters, keys, ranks, positions, text.at("i32", positions, room)


# What the rank of `sort_rank` counts from: the start; or it is that of the median, where any NaN
# is the median, or NaNs don't count.
GIVEN, MEDIAN, NAN_MEDIAN = range(3)


def rank_scratch_bytes(n: int) -> int:
    """What `sort_rank` needs of a thread's scratch memory."""
    return 12 * (n + SPARE)


def rank_rows(candidates: Candidates) -> str:
    """The position of the element at a rank of each row. Buffers: x, indices. Numbers: n, rank,
    what the rank means."""
    text, element, kind = Text(), candidates.records.keys.element, candidates.kind
    x, indices = argument(text, 0), argument(text, 1)
    n, given, meaning = (scalar(text, number) for number in range(3))
    keys = text.load("ptr", "%context", "2", 8)
    positions = text.at("i64", keys, text.value(f"add i64 {n}, {SPARE}"))
    with text.loop("%begin", "%end") as each:
        row = row_of(text, element, x, each.index, n)
        text.do(f"call void @gather(ptr {row}, i64 {n}, i64 0, ptr {keys}, ptr {positions})")
        rank = _rank(text, candidates, keys, n, given, meaning)
        most = text.value(f"add i64 {rank}, 1")
        bound = text.value(f"call {kind} @bound(ptr {keys}, i64 {n}, i64 {most})")
        key = text.value(f"call {kind} @greatest(ptr {keys}, i64 {n}, {kind} {bound})")
        less = text.value(f"call i64 @less(ptr {keys}, i64 {n}, {kind} {key})")
        before = text.value(f"sub i64 {rank}, {less}")
        with text.repeat(at="i64 0", before=f"i64 {before}") as one:
            here = text.load(kind, keys, one["at"], candidates.bits // 8)
            same = text.value(f"icmp eq {kind} {here}, {key}")
            taken = text.value(f"zext i1 {same} to i64")
            one.next["before"] = text.value(f"sub i64 {one['before']}, {taken}")
            one.next["at"] = text.value(f"add i64 {one['at']}, 1")
            one.next["again"] = text.value(f"icmp sge i64 {one.next['before']}, 0")
        text.store("i64", one["at"], indices, each.index, 8)
    return text.function(f"define void @sort_rank{PHASE}")


def _rank(text: Text, candidates: Candidates, keys: str, n: str, given: str, meaning: str) -> str:
    """The rank wanted of a row whose keys are known."""
    numbers = n
    if candidates.records.keys.dtype.is_float:
        last = (1 << candidates.records.keys.bits) - 2
        last -= (last >> (candidates.bits - 1)) << candidates.bits
        arguments = f"ptr {keys}, i64 {n}, {candidates.kind} {last}"
        numbers = text.value(f"call i64 @below({arguments})")
    half = text.value(f"ashr i64 {text.value(f'sub i64 {numbers}, 1')}, 1")
    middle = text.value(f"call i64 @llvm.smax.i64(i64 {half}, i64 0)")
    complete = text.value(f"icmp eq i64 {numbers}, {n}")
    skipping = text.value(f"icmp eq i64 {meaning}, {NAN_MEDIAN}")
    usual = text.value(f"or i1 {complete}, {skipping}")
    median = text.value(f"select i1 {usual}, i64 {middle}, i64 {numbers}")
    as_given = text.value(f"icmp eq i64 {meaning}, {GIVEN}")
    return text.value(f"select i1 {as_given}, i64 {given}, i64 {median}")


def greatest(candidates: Candidates) -> str:
    """`key greatest(keys, n, bound)`: the greatest key that does not exceed the bound."""
    text, kind, mask = Text(), candidates.vector, candidates.mask
    bound = candidates.all(text, "%bound")
    with text.loop("0", "%n", candidates.lanes, most=f"{kind} zeroinitializer") as each:
        keys = candidates.load(text, "%keys", each.index)
        low = text.value(f"icmp ule {kind} {keys}, {bound}")
        more = text.value(f"icmp ugt {kind} {keys}, {each['most']}")
        better = text.value(f"and {mask} {low}, {more}")
        each.next["most"] = text.value(
            f"select {mask} {better}, {kind} {keys}, {kind} {each['most']}"
        )
    most = candidates.reduced(text, "umax", each["most"])
    head = f"define internal {candidates.kind} @greatest(ptr %keys, i64 %n, "
    return text.function(f"{head}{candidates.kind} %bound)", f"ret {candidates.kind} {most}")
