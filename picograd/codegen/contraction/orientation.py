"""Which factor of a contraction lies in vector lanes, where results and factor disagree.

In: a kernel whose results are contiguous along axes of its right factor. Out: whether the *left*
factor's axes should be the lanes all the same, and the groups of axes for that. Called by `axes`.

Columns are lanes: the right factor is packed into vectors of them. For windows of an image that
packing would copy every element once for each place of the window, masked and strided. So there
the factors change sides: the weights are packed, one element of the image at a time is broadcast,
read where it is, and tiles are transposed when they are written (`across`):

    result[n, o, y, x] = sum_{c,u,v} image[n, c, y+u, x+v] * weight[o, c, u, v]
        rows (y, x)   columns o   depth (c, u, v)   shared batch n

>>> from picograd.dtypes import float32
>>> from picograd.graph.index import of
>>> x, k = Var("x", 0, 5), Var("k", 0, 2)
>>> windowed(Access("a", of(x) + of(k), float32), {"a": 8})
True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from picograd.codegen.contraction.expressions import accesses, variables
from picograd.codegen.contraction.groups import Group, Groups
from picograd.graph.index import Index, Var
from picograd.schedule.kernel import Access, Expr, Kernel

# Vectors of fewer lanes are not worth being transposed.
LEAST_LANES = 4
# Fewer columns than this leave most of a vector empty.
FEW_LANES = 8
# A shorter part of the depth is not worth a turn of its own.
SHORT_TURN = 32


def runs_across(kernel: Kernel, left: Expr, right: Expr) -> bool:
    """Whether factors should change sides."""
    in_left, in_right = variables(left), variables(right)
    lanes = [axis for axis in kernel.domain if axis in in_left and axis not in in_right]
    rows = [axis for axis in kernel.domain if axis in in_right and axis not in in_left]
    if not rows or prod(axis.high + 1 for axis in lanes) < FEW_LANES:
        return False
    sizes = {memory.name: memory.size for memory in kernel.memories}
    found = list(accesses(right))
    if any(windowed(access, sizes) for access in found):
        return True
    along = (*rows[-1:], *kernel.stages[0].reduce)
    return bool(found) and not any(
        access.index.coefficient(axis) == 1 for access in found for axis in along
    )


def windowed(access: Access, sizes: Mapping[str, int]) -> bool:
    """True when the loops read elements of a memory more than once: windows overlap."""
    loops = access.index.variables()
    return prod(axis.high + 1 for axis in loops) > sizes[access.buffer]


def groups_across(kernel: Kernel, left: Expr, right: Expr) -> tuple[Groups, int]:
    """The groups, and over how many neighbours in the batch the right factor is the same."""
    in_left, in_right = variables(left), variables(right)
    rows = [axis for axis in kernel.domain if axis in in_left and axis not in in_right]
    columns = [axis for axis in kernel.domain if axis in in_right and axis not in in_left]
    batch = [axis for axis in kernel.domain if axis not in rows and axis not in columns]
    results = [stage.store for stage in kernel.stages]
    results += [a.index for stage in kernel.stages[1:] for a in accesses(stage.value)]
    outer = _apart(rows, results)
    depth = kernel.stages[0].reduce
    turns = _turns(depth, [access.index for access in accesses(right)])
    groups = (
        Group.of_axes("b", (*batch, *rows[:outer])),
        Group.of_axes("m", tuple(rows[outer:])),
        Group.of_axes("n", tuple(columns)),
        Group.of_axes("t", depth[:turns]),
        Group.of_axes("k", depth[turns:]),
    )
    return groups, prod(axis.high + 1 for axis in rows[:outer])


def _apart(axes: Sequence[Var], indices: Sequence[Index]) -> int:
    """How many outer axes stay apart so that every index is affine in the others joined."""
    for outer in range(len(axes)):
        group = Group.of_axes("g", tuple(axes[outer:]))
        values = group.joined()
        if all(index.substitute(values).is_affine_in(group.var) for index in indices):
            return outer
    return max(0, len(axes) - 1)


def _turns(depth: Sequence[Var], indices: Sequence[Index]) -> int:
    """How many outer axes of the depth are apart so that the factor is contiguous in the others:
    it can then be read in vectors along them. None where that is so anyway, or would not be."""
    outer = _apart(depth, indices)
    group = Group.of_axes("g", tuple(depth[outer:]))
    values = group.joined()
    steps = [index.substitute(values).coefficient(group.var) for index in indices]
    return outer if 1 in steps and group.extent >= SHORT_TURN else 0
