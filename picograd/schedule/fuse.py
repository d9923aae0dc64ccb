"""Stages that share a kernel."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from picograd.schedule.groups import Group
from picograd.schedule.hazards import Order, topological
from picograd.schedule.stages import Buffers, Draft


def fuse(
    drafts: Sequence[Draft], order: Order, buffers: Buffers, needed: Collection[str]
) -> list[Group]:
    """The kernels of a program, in an order that respects `order`."""
    done, _ = topological(order.before)
    return [Group.of_draft(drafts[number]) for number in done]
