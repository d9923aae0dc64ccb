"""Radix sort of one long row by blocks, all threads together.

In: `Records`. Out: the phases, in the order of their use; `count`, `place` and `move` run once a
digit. Buffers: x, values, indices, counters, cells. Numbers: n, elements a block, flip, shift of
the digit, number of blocks, the least key. The cells hold the addresses of the records: where they
are, where the last `move` put them, and both homes.
"""

from __future__ import annotations

from picograd.codegen.sorting.radix import BINS, DIGIT, PHASE, argument, counted, scalar
from picograd.codegen.sorting.records import Records
from picograd.codegen.sorting.text import Loop, Text

SOURCE, TARGET, FIRST, SECOND = range(4)
CELLS = 4


def _limits(text: Text, block: Loop) -> tuple[str, str]:
    """The first element of a block, and the one after its last."""
    n, size = scalar(text, 0), scalar(text, 1)
    begin = text.value(f"mul i64 {block.index}, {size}")
    return begin, text.least(text.value(f"add i64 {begin}, {size}"), n)


def start(records: Records) -> str:
    """Make the records."""
    text = Text()
    x, cells, flip = argument(text, 0), argument(text, 4), scalar(text, 2)
    least, target = scalar(text, 5), text.load("ptr", cells, str(TARGET), 8)
    with text.loop("%begin", "%end") as block:
        begin, end = _limits(text, block)
        text.do(
            f"call void @fill(ptr {x}, i64 {begin}, i64 {end}, i64 {flip}, i64 {least}, "
            f"ptr {target})"
        )
    return text.function(f"define void @sort_start{PHASE}")


def count(records: Records) -> str:
    """Count the digits of each block."""
    text = Text()
    counters, cells, shift = argument(text, 3), argument(text, 4), scalar(text, 3)
    source = text.load("ptr", cells, str(TARGET), 8)
    with text.loop("%begin", "%end") as block:
        begin, end = _limits(text, block)
        mine = text.at(f"[{BINS} x i64]", counters, block.index)
        text.do(f"call void @llvm.memset.p0.i64(ptr {mine}, i8 0, i64 {BINS * 8}, i1 0)")
        with text.loop(begin, end) as each:
            counted(text, "i64", mine, records.digit(text, source, each.index, shift, DIGIT))
    return text.function(f"define void @sort_count{PHASE}")


def place(records: Records) -> str:
    """From counts to places; where all records have one digit, the target is the source."""
    text = Text()
    counters, cells = argument(text, 3), argument(text, 4)
    n, blocks = scalar(text, 0), scalar(text, 4)
    with text.loop("0", str(BINS), total="i64 0", longest="i64 0") as digit:
        with text.loop("0", blocks, total=f"i64 {digit['total']}") as block:
            cell = text.at("i64", text.at(f"[{BINS} x i64]", counters, block.index), digit.index)
            number = text.load("i64", cell, "0", 8)
            text.store("i64", block["total"], cell, "0", 8)
            block.next["total"] = text.value(f"add i64 {block['total']}, {number}")
        size = text.value(f"sub i64 {block['total']}, {digit['total']}")
        digit.next["total"] = block["total"]
        longest = f"call i64 @llvm.smax.i64(i64 {size}, i64 {digit['longest']})"
        digit.next["longest"] = text.value(longest)
    source = text.load("ptr", cells, str(TARGET), 8)
    first, second = (text.load("ptr", cells, str(n), 8) for n in (FIRST, SECOND))
    here = text.value(f"icmp eq ptr {source}, {first}")
    other = text.value(f"select i1 {here}, ptr {second}, ptr {first}")
    stay = text.value(f"icmp eq i64 {digit['longest']}, {n}")
    target = text.value(f"select i1 {stay}, ptr {source}, ptr {other}")
    text.store("ptr", source, cells, str(SOURCE), 8)
    text.store("ptr", target, cells, str(TARGET), 8)
    return text.function(f"define void @sort_place{PHASE}")


def move(records: Records) -> str:
    """Move the records of each block to their places."""
    text = Text()
    counters, cells, shift = argument(text, 3), argument(text, 4), scalar(text, 3)
    source, target = (text.load("ptr", cells, str(n), 8) for n in (SOURCE, TARGET))
    stay = text.value(f"icmp eq ptr {source}, {target}")
    last = text.value(f"select i1 {stay}, i64 %begin, i64 %end")
    with text.loop("%begin", last) as block:
        begin, end = _limits(text, block)
        mine = text.at(f"[{BINS} x i64]", counters, block.index)
        with text.loop(begin, end) as each:
            digit = records.digit(text, source, each.index, shift, DIGIT)
            to = counted(text, "i64", mine, digit)
            records.store(text, records.load(text, source, each.index), target, to)
    return text.function(f"define void @sort_move{PHASE}")


def finish(records: Records) -> str:
    """Write the results."""
    text = Text()
    x, values, indices, cells = (argument(text, n) for n in (0, 1, 2, 4))
    source = text.load("ptr", cells, str(TARGET), 8)
    with text.loop("%begin", "%end") as block:
        begin, end = _limits(text, block)
        text.do(
            f"call void @write(ptr {x}, ptr {source}, i64 {begin}, i64 {end}, ptr {values}, "
            f"ptr {indices})"
        )
    return text.function(f"define void @sort_finish{PHASE}")


PHASES = (start, count, place, move, finish)
