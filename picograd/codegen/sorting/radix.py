"""Radix sort: records by their keys' digits, the last digit first. It is stable.

In: `Records`. Out: functions of LLVM text. `radix` sorts records in one thread's memory; the phases
of `rows` sort each row of a matrix with it; those of `blocks` sort one long row together: every
block counts its digits, the counts become places, and every block moves its records there. A
stable order is unique, so the blocks and the number of threads can't change it.
"""

from __future__ import annotations

from picograd.codegen.llvm.types import sequence, splat, vector
from picograd.codegen.sorting.records import Records
from picograd.codegen.sorting.text import Text

DIGIT = 8
BINS = 1 << DIGIT
COUNTER_BYTES = 64 // DIGIT * BINS * 4  # for the longest keys
PHASE = "(ptr %buffers, ptr %scalars, ptr %context, i64 %begin, i64 %end)"


def argument(text: Text, number: int) -> str:
    """A pointer given to a phase."""
    return text.load("ptr", "%buffers", str(number), 8)


def scalar(text: Text, number: int) -> str:
    """A number (i64) given to a phase."""
    return text.load("i64", "%scalars", str(number), 8)


def narrowed(text: Text, records: Records, flip: str) -> str:
    """A number given as i64 in the keys' width."""
    if records.wide:
        return flip
    return text.value(f"trunc i64 {flip} to {records.keys.element}")


def radix(records: Records) -> str:
    """`ptr radix(a, b, n, digits, counters)`: sorts the records of `a`, whose keys have so many
    digits; they end in `a` or `b`."""
    text = Text()
    most = -(-records.keys.bits // DIGIT)
    size = most * BINS * 4
    text.do(f"call void @llvm.memset.p0.i64(ptr %counters, i8 0, i64 {size}, i1 0)")
    if most <= 4:  # all digits are counted at once; more counters would push each other out
        with text.loop("0", "%n") as each:
            for number in range(most):
                digit = records.digit(text, "%a", each.index, str(number * DIGIT), DIGIT)
                counted(text, "i32", text.at("i32", "%counters", str(number * BINS)), digit)
    with text.loop("0", "%digits", source="ptr %a", target="ptr %b") as each:
        shift = text.value(f"shl i64 {each.index}, {DIGIT.bit_length() - 1}")
        counters = text.at(f"[{BINS} x i32]", "%counters", each.index)
        if most > 4:
            with text.loop("0", "%n") as one:
                digit = records.digit(text, each["source"], one.index, shift, DIGIT)
                counted(text, "i32", counters, digit)
        digit = records.digit(text, each["source"], "0", shift, DIGIT)
        same = text.value(f"zext i32 {text.load('i32', counters, digit, 4)} to i64")
        skip = text.value(f"icmp eq i64 {same}, %n")
        bins = text.value(f"select i1 {skip}, i64 0, i64 {BINS}")
        moved = text.value(f"select i1 {skip}, i64 0, i64 %n")
        with text.loop("0", bins, place="i32 0") as one:
            number = text.load("i32", counters, one.index, 4)
            text.store("i32", one["place"], counters, one.index, 4)
            one.next["place"] = text.value(f"add i32 {one['place']}, {number}")
        with text.loop("0", moved) as one:
            digit = records.digit(text, each["source"], one.index, shift, DIGIT)
            place = counted(text, "i32", counters, digit)
            record = records.load(text, each["source"], one.index)
            records.store(text, record, each["target"], text.value(f"zext i32 {place} to i64"))
        for name, other in (("source", "target"), ("target", "source")):
            choice = f"select i1 {skip}, ptr {each[name]}, ptr {each[other]}"
            each.next[name] = text.value(choice)
    head = "define internal ptr @radix(ptr %a, ptr %b, i64 %n, i64 %digits, ptr %counters)"
    return text.function(head, f"ret ptr {each['source']}")


def counted(text: Text, kind: str, counters: str, digit: str) -> str:
    """Add one to the counter of a digit; the count before."""
    cell = text.at(kind, counters, digit)
    count = text.value(f"load {kind}, ptr {cell}, align 4")
    text.do(f"store {kind} {text.value(f'add {kind} {count}, 1')}, ptr {cell}, align 4")
    return count


def fill(records: Records) -> str:
    """`void fill(x, begin, end, flip, least, records)`: records of the elements [begin, end), whose
    keys count from the least."""
    text, keys = Text(), records.keys
    flip, least = narrowed(text, records, "%flip"), narrowed(text, records, "%least")
    start = "%begin"
    if not records.wide:
        lanes, element = 8, keys.element
        kind, wide = vector(element, lanes), f"<{lanes} x i64>"
        flips = everywhere(text, element, flip, lanes)
        leasts = everywhere(text, element, least, lanes)
        steps = sequence("i64", list(range(lanes)))
        last = text.value(f"sub i64 %end, {lanes - 1}")
        with text.loop("%begin", last, lanes) as each:
            raw = text.value(
                f"load {kind}, ptr {text.at(element, '%x', each.index)}, align {keys.bits // 8}"
            )
            key = keys.make(text, raw, flips, lanes)
            key = text.value(f"sub {kind} {key}, {leasts}")
            word = text.value(f"zext {kind} {key} to {wide}")
            high = text.value(f"shl {wide} {word}, {splat('i64', '32', lanes)}")
            first = everywhere(text, "i64", each.index, lanes)
            position = text.value(f"add {wide} {first}, {steps}")
            record = text.value(f"or disjoint {wide} {high}, {position}")
            text.do(f"store {wide} {record}, ptr {text.at('i64', '%records', each.index)}, align 8")
        start = each.index
    with text.loop(start, "%end") as each:
        raw = text.load(keys.element, "%x", each.index, keys.bits // 8)
        key = keys.make(text, raw, flip)
        key = text.value(f"sub {keys.element} {key}, {least}")
        records.store(text, records.pack(text, key, each.index), "%records", each.index)
    return text.function(
        "define internal void @fill(ptr %x, i64 %begin, i64 %end, i64 %flip, i64 %least, "
        "ptr %records)"
    )


def everywhere(text: Text, element: str, value: str, lanes: int) -> str:
    kind = vector(element, lanes)
    one = text.value(f"insertelement {kind} poison, {element} {value}, i32 0")
    return text.value(f"shufflevector {kind} {one}, {kind} poison, <{lanes} x i32> zeroinitializer")


def write(records: Records) -> str:
    """`void write(x, records, begin, end, values, indices)`: results from sorted records; either
    may be null."""
    text, element = Text(), records.keys.element
    for name in ("values", "indices"):
        wanted = text.value(f"icmp ne ptr %{name}, null")
        count = text.value(f"select i1 {wanted}, i64 %end, i64 %begin")
        with text.loop("%begin", count) as each:
            position = records.position(text, "%records", each.index)
            if name == "indices":
                text.store("i64", position, "%indices", each.index, 8)
            else:
                value = text.load(element, "%x", position, records.keys.bits // 8)
                text.store(element, value, "%values", each.index, records.keys.bits // 8)
    return text.function(
        "define internal void @write(ptr %x, ptr %records, i64 %begin, i64 %end, ptr %values, "
        "ptr %indices)"
    )


def row_of(text: Text, kind: str, base: str, row: str, extent: str) -> str:
    """The address of a row of a matrix, or null if there is none."""
    row = text.at(kind, base, text.value(f"mul i64 {row}, {extent}"))
    missing = text.value(f"icmp eq ptr {base}, null")
    return text.value(f"select i1 {missing}, ptr null, ptr {row}")


def rows(records: Records) -> str:
    """The phase that sorts rows. Buffers: x, values, indices. Numbers: n, results a row, flip, the
    least key, digits of the keys."""
    text, element = Text(), records.keys.element
    x, values, indices = (argument(text, n) for n in range(3))
    n, k, flip, least, digits = (scalar(text, n) for n in range(5))
    counters = text.load("ptr", "%context", "2", 8)
    a = text.at("i8", counters, str(COUNTER_BYTES))
    b = text.at(f"[{records.bytes} x i8]", a, n)
    with text.loop("%begin", "%end") as each:
        row = row_of(text, element, x, each.index, n)
        text.do(f"call void @fill(ptr {row}, i64 0, i64 {n}, i64 {flip}, i64 {least}, ptr {a})")
        arguments = f"ptr {a}, ptr {b}, i64 {n}, i64 {digits}, ptr {counters}"
        ordered = text.value(f"call ptr @radix({arguments})")
        value_row = row_of(text, element, values, each.index, k)
        index_row = row_of(text, "i64", indices, each.index, k)
        text.do(
            f"call void @write(ptr {row}, ptr {ordered}, i64 0, i64 {k}, ptr {value_row}, "
            f"ptr {index_row})"
        )
    return text.function(f"define void @sort_rows{PHASE}")
