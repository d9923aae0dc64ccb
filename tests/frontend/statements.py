"""The statements that random programs are made of, by kind.

In: a `Generator` with the tensors that exist. Out: `statement(generator)`, a line and whether it
keeps exact values exact, or None if what was drawn doesn't fit. Every function here has that form.
"""

from __future__ import annotations

from typing import Any

from tests.frontend.generate_programs import FLOATS, INTEGERS, Generator

Written = tuple[str, bool] | None

# Unary functions: exact ones may be followed by comparisons; the others round.
EXACT = ("neg", "abs", "relu", "square", "clone", "detach", "contiguous", "positive", "sign")
JUMPS = ("floor", "ceil", "trunc", "sign", "isnan", "isfinite", "signbit", "logical_not", "round")
ROUNDS = ("exp", "tanh", "sigmoid", "sin", "cos", "atan", "erf", "expm1", "asinh")
BINARY = ("+", "-", "*", "+", "-", "*", "/")
COMPARE = ("<", "<=", ">", ">=", "==", "!=")
FLOAT_REDUCE = ("sum", "mean", "amax", "amin", "prod", "sum", "sum", "nansum")
EQUATIONS = ("ij,jk->ik", "ij,kj->ik", "ij,ij->i", "i,j->ij", "ij->ji", "bij,bjk->bik", "ij->")
IN_PLACE = ("add_", "sub_", "mul_", "copy_", "add_", "maximum")


def real(x: Any) -> bool:
    return not x.is_complex()


def floating(x: Any) -> bool:
    return x.is_floating_point()


def is_leaf(x: Any) -> bool:
    try:
        return x.requires_grad and x.is_leaf
    except RuntimeError:  # torch: one of several outputs of one view was written
        return False


def axis(g: Generator, x: Any) -> int:
    rank = max(x.dim(), 1)
    if g.rng.random() < 0.01:
        return rank
    return g.rng.randrange(-rank, rank)


def basic_item(g: Generator, extent: int) -> str:
    draw = g.rng.random()
    if draw < 0.35 and extent:
        return str(g.rng.randrange(-extent, extent))
    if draw < 0.6:
        return ":"
    low = g.rng.choice(("", str(g.rng.randrange(0, extent + 1)), "-1", "-2"))
    high = g.rng.choice(("", str(g.rng.randrange(0, extent + 2)), "-1"))
    step = g.rng.choice(("", "", ":2", ":3"))
    return f"{low}:{high}{step}"


def index(g: Generator, x: Any, advanced: float = 0.0) -> str:
    """What stands between brackets: basic items, sometimes lists, masks and index tensors."""
    items = []
    for extent in x.shape:
        draw = g.rng.random()
        if draw < 0.12 and len(items) < len(x.shape):
            items.append("...")
            break
        if draw < 0.2:
            items.append("None")
        if g.rng.random() < advanced and extent:
            n = g.rng.choice((1, 2, 3)) if "m.tensor" not in "".join(items) else 2
            numbers = [g.rng.randrange(-extent, extent) for _ in range(n)]
            kind = g.rng.random()
            if kind < 0.25:
                mask = [g.rng.random() < 0.6 for _ in range(extent)]
                items.append(f"m.tensor({mask})")
            elif kind < 0.5:
                items.append(str(numbers))
            else:
                items.append(f"m.tensor({numbers})")
        else:
            items.append(basic_item(g, extent))
        if g.rng.random() < 0.12:
            break
    if not items:
        return g.rng.choice(("...", "None", "()"))
    return ", ".join(items)


# --- views ---------------------------------------------------------------------------------------


def view(g: Generator) -> Written:
    name = g.tensor()
    if name is None:
        return None
    x = g.names[name]
    choices = [f"{name}[{index(g, x)}]"] * 3 + [f"{name}.detach()", f"{name}.data", f"{name}.T"]
    rank, a, b = x.dim(), axis(g, x), axis(g, x)
    choices += [
        f"{name}.unsqueeze({a})",
        f"{name}.squeeze()",
        f"{name}.flatten()",
        f"{name}.reshape(-1)",
        f"{name}.view(-1)",
        f"{name}.expand(2, {', '.join(['-1'] * rank)})" if rank else f"{name}.expand(3)",
        f"{name}.contiguous()",
        f"{name}[...]",
        f"{name}.view({name}.shape)",
        f"{name}.ravel()",
        f"{name}.clone().reshape(-1)",
    ]
    if rank:
        extent = x.shape[a] if -rank <= a < rank else 1
        where = g.rng.randrange(max(extent, 1))
        choices += [
            f"{name}.transpose({a}, {b})",
            f"{name}.permute({', '.join(map(str, g.rng.sample(range(rank), rank)))})",
            f"{name}.narrow({a}, {where}, {g.rng.randrange(0, extent - where + 1)})",
            f"{name}.select({a}, {where})",
            f"{name}.squeeze({a})",
            f"{name}.unbind({a})[{where}]",
            f"{name}.chunk(2, {a})[-1]",
            f"{name}.split(2, {a})[0]",
            f"{name}.unfold({a}, {min(extent, 2)}, {g.rng.choice((1, 2))}).clone()",
            f"{name}.movedim({a}, {b})",
            f"{name}.unflatten({a}, (-1, {g.rng.choice((1, 2, extent or 1))}))",
            f"{name}.flatten({a})",
            f"{name}.reshape({', '.join(map(str, (*x.shape[1:], x.shape[0])))})",
            f"{name}.view({', '.join(map(str, (*x.shape[1:], x.shape[0])))})",
            f"m.broadcast_to({name}, (2, {', '.join(map(str, x.shape))}))",
        ]
    if rank > 1:
        choices += [f"{name}.diagonal()", f"{name}.diagonal({g.rng.randrange(-2, 3)})"]
        choices += [f"{name}.mT", f"{name}.transpose(0, 1)", f"{name}[:, ::2]", f"{name}.mT"]
    if str(x.dtype) == "torch.float32" and not x.requires_grad and g.exact(name):
        choices.append(f"{name}.view(m.int32)")
    return f"{g.fresh()} = {g.rng.choice(choices)}", True


# --- writes --------------------------------------------------------------------------------------


def value_for(g: Generator, x: Any, shape: tuple[int, ...], same: bool = False) -> tuple[str, str]:
    """An expression that can be written to (part of) `x`, and the name in it."""
    dtype = str(x.dtype)[6:]
    draw = g.rng.random()
    if draw < 0.35:
        kind = dtype if dtype in (*FLOATS, *INTEGERS, "bool", "complex64") else "float32"
        return repr(g.number(kind)), ""
    if draw < 0.75:
        found = g.tensor(
            lambda y: (
                (not same or y.dtype == x.dtype)
                and y.dim() <= len(shape)
                and all(n in (1, m) for n, m in zip(y.shape[::-1], shape[::-1], strict=False))
            )
        )
        if found is not None:
            return found, found
    cut = shape[g.rng.randrange(0, len(shape) + 1) :]
    cut = tuple(1 if g.rng.random() < 0.1 else n for n in cut)
    other = dtype if same or g.rng.random() < 0.7 else g.dtype()
    if 0 in cut:
        return f"m.ones({cut}, dtype=m.{other})", ""
    return f"m.tensor({g.literal(cut, other)}, dtype=m.{other})", ""


def jumps(g: Generator, x: Any, value: str) -> bool:
    """Whether writing the value makes an integer of a float that may be inexact."""
    known = g.names.get(value)
    if known is None or x.is_floating_point():
        return False
    return known.requires_grad or not g.exact(value)


def repeated(x: Any) -> bool:
    """Whether elements share memory."""
    return any(not stride and n > 1 for stride, n in zip(x.stride(), x.shape, strict=True))


def shared(x: Any, y: Any) -> bool:
    """Whether two tensors share memory."""
    return x.untyped_storage().data_ptr() == y.untyped_storage().data_ptr()


def scalar_or_none(text: str) -> bool:
    return text[0].isdigit() or text[0] in "-(TF"


def write(g: Generator) -> Written:
    """In-place methods and assignments, through views or on the tensor itself."""
    name = g.tensor()
    if name is None:
        return None
    x = g.names[name]
    target, part = name, x
    if g.rng.random() < 0.5 and x.dim():
        text = index(g, x)
        try:
            part = x.detach()[eval(f"__import__('numpy').s_[{text}]")]
        except (IndexError, ValueError, TypeError):
            return None
        target = f"{name}[{text}]"
    value, _ = value_for(g, x, tuple(part.shape))
    if jumps(g, x, value) or (value in g.names and shared(x, g.names[value])):
        return None
    draw = g.rng.random()
    if draw < 0.3 and target != name:
        return f"{target} = {value}", True
    if draw < 0.6:
        return f"{target} {g.rng.choice(('+=', '-=', '*='))} {value}", True
    if draw < 0.75:
        return f"{target}.{g.rng.choice(('add_', 'sub_', 'mul_'))}({value})", True
    if draw < 0.83:
        word = value if not scalar_or_none(value) else "m.tensor(1)"
        return f"{target}.copy_({word})", True
    methods = ["zero_()", "fill_(2)", "neg_()", "abs_()", "clamp_(-1, 1)", "clamp_(min=0)"]
    if x.is_floating_point():
        methods += ["relu_()", "tanh_()", "sigmoid_()", "div_(2)", "mul_(0.5)", "sin_()"]
    else:
        methods += ["bitwise_not_()", "bitwise_and_(3)", "add_(1, alpha=2)"]
    if not real(x):
        methods = ["zero_()", "neg_()"]
    method = g.rng.choice(methods)
    place = g.rng.choice((target, target, f"{name}.T", f"{name}.view(-1)", f"{name}.diagonal()"))
    if place.endswith("diagonal()") and (x.dim() < 2 or repeated(x)):
        place = target
    return f"{place}.{method}", method not in ("tanh_()", "sigmoid_()", "sin_()")


def write_advanced(g: Generator) -> Written:
    """Writes by lists, masks and index tensors, and the index_* and scatter_* methods."""
    name = g.tensor(lambda x: x.dim() > 0 and x.numel() > 0 and not repeated(x))
    if name is None:
        return None
    x, draw = g.names[name], g.rng.random()
    a = axis(g, x) % x.dim()
    extent = x.shape[a]
    numbers = [g.rng.randrange(0, extent) for _ in range(g.rng.choice((1, 2, 3)))]
    unique = g.rng.sample(range(extent), min(extent, 2))
    if draw < 0.25:
        text = index(g, x, 0.6)
        if "tensor" not in text and "[" not in text:
            return None
        try:
            shape = tuple(x.detach()[eval(f"__import__('torch').s_[{text}]", {"m": None})].shape)
        except Exception:
            shape = ()
        value, _ = value_for(g, x, shape, same=True)
        if "tensor" in value and g.rng.random() < 0.8:
            value = repr(g.number(str(x.dtype)[6:]))
        operator = g.rng.choice(("=", "=", "+=", "*="))
        return f"{name}[{text}] {operator} {value}", True
    if draw < 0.5:
        mask = g.tensor(lambda y: str(y.dtype) == "torch.bool" and y.shape == x.shape)
        dtype = str(x.dtype)[6:]
        text = mask or (f"{name} > 0" if g.exact(name) and real(x) else None)
        if text is None:
            text = f"m.tensor({g.literal(tuple(x.shape), 'bool')})"
        choices = [f"{name}[{text}] = {g.number(dtype)!r}", f"{name}[{text}] += {name}[{text}]"]
        choices += [f"{name}.masked_fill_({text}, {g.number(dtype)!r})", f"{name}[{text}] *= 2"]
        choices += [f"{name}[~({text})] = {name}.detach().reshape(-1)[0]"]
        return g.rng.choice(choices), True
    rows = list(x.shape)
    rows[a] = len(unique)
    dtype = str(x.dtype)[6:]
    source = f"m.tensor({g.literal(tuple(rows), dtype)}, dtype=m.{dtype})"
    grid = f"m.tensor({unique}).reshape({[-1 if n == a else 1 for n in range(x.dim())]})"
    grid += f".expand({rows})"
    rows[a] = len(numbers)
    more = f"m.tensor({g.literal(tuple(rows), dtype)}, dtype=m.{dtype})"
    number = repr(g.number(dtype))
    choices = [
        f"{name}.index_fill_({a}, m.tensor({numbers}), {number})",
        f"{name}.index_copy_({a}, m.tensor({unique}), {source})",
        f"{name}.index_add_({a}, m.tensor({numbers}), {more})",
        f"{name}.scatter_({a}, {grid}, {source})",
        f"{name}.scatter_({a}, {grid}, {number})",
        f"{name}.scatter_add_({a}, {grid}, {source})",
        f"{name}.select({a}, {numbers[0]}).fill_({number})",
        f"{name}.unbind({a})[{numbers[0]}].mul_(2)",
        f"{name}.narrow({a}, 0, {numbers[0] + 1}).zero_()",
    ]
    return g.rng.choice(choices), True


# --- results -------------------------------------------------------------------------------------


def unary(g: Generator) -> Written:
    name = g.tensor()
    if name is None:
        return None
    x, draw = g.names[name], g.rng.random()
    if draw < 0.4:
        return f"{g.fresh()} = {name}.{g.rng.choice(EXACT)}()" if not x.is_complex() else None, True
    if draw < 0.7 or not real(x):
        names = ROUNDS if real(x) else ("exp", "sin", "cos", "tanh")
        return f"{g.fresh()} = {name}.{g.rng.choice(names)}()", False
    if not g.exact(name):
        return None
    return f"{g.fresh()} = {name}.{g.rng.choice(JUMPS)}()", True


def operand(g: Generator, x: Any) -> str:
    return value_for(g, x, tuple(x.shape))[0]


def binary(g: Generator) -> Written:
    name = g.tensor()
    if name is None:
        return None
    x, draw = g.names[name], g.rng.random()
    other = operand(g, x)
    if g.rng.random() < 0.08:
        other = g.rng.choice(g.tensors())
    if draw < 0.5:
        operator = g.rng.choice(BINARY)
        if operator == "/":
            other = f"({g.rng.choice((2, 4.0, -2))})"
        sides = (name, other) if g.rng.random() < 0.7 else (other, name)
        if operator == "/":
            sides = (name, other)
        return f"{g.fresh()} = {sides[0]} {operator} {sides[1]}", operator != "/" or floating(x)
    exact = g.exact(name) and g.exact(other)
    if draw < 0.75:
        if not exact:
            return None
        return f"{g.fresh()} = {name} {g.rng.choice(COMPARE)} {other}", True
    if scalar_or_none(other):
        other = f"m.tensor({other})"
    functions = ["maximum", "minimum", "add", "sub", "mul"]
    if exact:
        functions += ["logical_and", "logical_xor", "fmax", "isclose", "eq"]
    if not x.is_floating_point() and real(x):
        functions += ["bitwise_and", "bitwise_or", "bitwise_xor"]
    return f"{g.fresh()} = m.{g.rng.choice(functions)}({name}, {other})", True


def integers(g: Generator) -> Written:
    """Division, remainder, shifts and powers by numbers that make sense."""
    name = g.tensor(real)
    if name is None or not g.exact(name):
        return None
    x = g.names[name]
    number = g.rng.choice((1, 2, 3, -2, -3))
    choices = [f"{name} // {number}", f"{name} % {number}", f"{name} ** 2", f"{name} ** 3"]
    choices += [f"m.fmod({name}, {number})", f"m.remainder({name}, {number})"]
    choices += [f"m.div({name}, {number}, rounding_mode={mode!r})" for mode in ("floor", "trunc")]
    if not floating(x):
        choices += [f"{name} << 1", f"{name} >> 1", f"{name} ** 2", f"~{name}", f"{name} & 3"]
        choices += [f"{name} | True", f"{name} ^ 1"]
    return f"{g.fresh()} = {g.rng.choice(choices)}", True


def reduction(g: Generator) -> Written:
    name = g.tensor(real)
    if name is None:
        return None
    x = g.names[name]
    a, keep = axis(g, x), g.rng.choice(("", ", keepdim=True"))
    function = g.rng.choice(FLOAT_REDUCE)
    exact = function not in ("mean", "prod")
    if function in ("amax", "amin") and not x.numel():
        return None
    draw = g.rng.random()
    if draw < 0.35:
        return f"{g.fresh()} = {name}.{function}()", exact
    if draw < 0.7:
        return f"{g.fresh()} = {name}.{function}({a}{keep})", exact
    if draw < 0.8:
        more = ["all()", "any()", f"all({a}{keep})", "count_nonzero()", f"any({a})", "numel()"]
        if not g.exact(name):
            return None
        return f"{g.fresh()} = m.as_tensor({name}.{g.rng.choice(more)})", True
    if not floating(x):
        return f"{g.fresh()} = {name}.{g.rng.choice(('cumsum', 'cumprod'))}({a})", True
    more = [f"logsumexp({a}{keep})", f"cumsum({a})", f"softmax({a})", f"log_softmax({a})"]
    more += ["var()", f"std({a}{keep}, unbiased=False)", f"norm(dim={a})", "norm()"]
    return f"{g.fresh()} = {name}.{g.rng.choice(more)}", False


def ordering(g: Generator) -> Written:
    """Order statistics of exact values."""
    name = g.tensor(lambda x: real(x) and x.numel() > 0 and str(x.dtype) != "torch.bool")
    if name is None or not g.exact(name):
        return None
    x = g.names[name]
    a, keep = axis(g, x), g.rng.choice(("", ", keepdim=True"))
    choices = [
        f"{name}.max({a}{keep})[0]",
        f"{name}.min({a}{keep}).values",
        f"{name}.max()",
        f"{name}.argmax()",
        f"{name}.argmax({a}{keep})",
        f"{name}.argmin({a})",
        f"{name}.sort(stable=True, dim={a})[{g.rng.randrange(2)}]",
        f"{name}.sort(stable=True, dim={a}, descending=True).values",
        f"{name}.topk(1, {a})[0]",
        f"{name}.argsort(stable=True, dim={a})",
        f"{name}.cummax({a}).values",
        f"{name}.detach().unique()",
        f"{name}.nonzero()",
        f"{name}.median()",
        f"{name}.kthvalue(1, {a})[0]",
    ]
    return f"{g.fresh()} = {g.rng.choice(choices)}", True


def product(g: Generator) -> Written:
    name = g.tensor(lambda x: x.dim() > 0 and str(x.dtype)[6:] in ("int64", *FLOATS))
    if name is None:
        return None
    x = g.names[name]
    other = g.tensor(lambda y: y.dim() > 0 and y.dtype == x.dtype)
    if g.rng.random() < 0.4 or other is None or g.names[other].shape[0] != x.shape[-1]:
        shape = (x.shape[-1], *g.shape(g.rng.randrange(2)))
        if not all(shape):
            return None
        dtype = str(x.dtype)[6:]
        other = f"m.tensor({g.literal(shape, dtype)}, dtype=m.{dtype})"
    draw = g.rng.random()
    if draw < 0.5:
        return f"{g.fresh()} = {name} @ {other}", False
    if draw < 0.6 and x.dim() > 1:
        return f"{g.fresh()} = {name} @ {name}.mT", False
    equation = g.rng.choice(EQUATIONS)
    parts = equation.split("->")[0].split(",")
    if len(parts[0]) != x.dim():
        return None
    second = "" if len(parts) == 1 else f", {name if g.rng.random() < 0.5 else other}"
    return f"{g.fresh()} = m.einsum('{equation}', {name}{second})", False


def movement(g: Generator) -> Written:
    name = g.tensor()
    if name is None:
        return None
    x = g.names[name]
    a, rank = axis(g, x), x.dim()
    other = g.tensor(lambda y: y.shape == x.shape) or name
    choices = [
        f"m.stack([{name}, {other}], {a})",
        f"{name}.repeat({', '.join(['2'] * max(rank, 1))})",
    ]
    choices += [f"m.flip({name}, [{a}])", f"{name}.reshape(-1).repeat_interleave(2)"]
    if rank:
        choices += [
            f"m.cat([{name}, {other}], {a})",
            f"m.cat([{name}, {name}[:1]])",
            f"{name}.roll({g.rng.randrange(-2, 3)}, {a % rank})",
            f"m.nn.functional.pad({name}, (1, {g.rng.randrange(-1, 3)}))",
            f"{name}.index_select({a}, m.tensor([0, 0]))" if x.numel() else f"{name}.clone()",
            f"{name}[{index(g, x, 0.5)}]",
            f"{name}[{index(g, x, 0.8)}]",
            f"{name}.tile(2)",
            f"{name}.diff(dim={a})" if x.shape[a % rank] > 1 else f"{name}.sin()",
        ]
    if rank > 1:
        choices += [f"{name}.tril()", f"{name}.triu(1)"]
    if rank == 1:
        choices += [f"m.diag({name})", f"m.outer({name}, {name})"]
    return f"{g.fresh()} = {g.rng.choice(choices)}", True


def choice(g: Generator) -> Written:
    name = g.tensor(real)
    if name is None or not g.exact(name):
        return None
    other = operand(g, g.names[name])
    choices = [f"m.where({name} > 0, {name}, {other})", f"{name}.clamp(-1, 1)"]
    choices += [f"{name}.masked_fill({name} < 0, 1)", f"m.where({name} == {name}, {other}, 0)"]
    choices += [f"{name}[{name} > 0]", f"{name}.masked_select({name} != 0)", f"m.relu({name})"]
    choices += [f"m.clamp({name}, min=0)", f"{name}.clamp(max=m.tensor(1))"]
    return f"{g.fresh()} = {g.rng.choice(choices)}", True


def convert(g: Generator) -> Written:
    name = g.tensor(real)
    if name is None:
        return None
    dtype = g.dtype()
    if dtype not in FLOATS and not g.exact(name):
        return None
    x = g.names[name]
    if dtype in ("uint8", "int8") and x.is_floating_point() and bool((x.abs() > 100).any()):
        return None
    if dtype == "uint8" and x.is_floating_point():
        return None
    method = g.rng.choice((f"to(m.{dtype})", f"type(m.{dtype})", f"to(m.{dtype}, copy=True)"))
    return f"{g.fresh()} = {name}.{method}", dtype not in ("float16", "bfloat16")


# --- gradients and reading ------------------------------------------------------------------------


def gradient(g: Generator) -> Written:
    name = g.tensor(lambda x: x.requires_grad and floating(x))
    if name is None:
        return None
    leaf = g.tensor(is_leaf) or name
    choices = [
        f"({name} * {name}).sum().backward()",
        f"{name}.sum().backward(retain_graph=True)",
        f"{name}.mean().backward()",
        f"{name}.backward(m.ones_like({name}))",
        f"{name}.retain_grad()",
        f"{name}.register_hook(lambda g: g * 2)",
        f"{name}.register_hook(lambda g: None)",
        f"{leaf}.grad = None",
        f"{g.fresh()} = m.autograd.grad({name}.sum(), {leaf}, allow_unused=True, "
        f"retain_graph=True)[0]",
        f"{g.fresh()} = m.autograd.grad(({name} * {name}).sum(), {leaf}, create_graph=True)[0]",
        f"with m.no_grad(): {leaf} += 1",
        f"{g.fresh()} = {leaf}.grad",
        f"{g.fresh()} = {name}.detach().clone().requires_grad_()",
        f"{name}.requires_grad_()",
    ]
    line = g.rng.choice(choices)
    return line, "autograd" not in line


def read(g: Generator) -> Written:
    name = g.tensor()
    if name is None:
        return None
    x = g.names[name]
    if not g.exact(name):
        return f"n{g.count} = {name}.sum().tolist()" if real(x) else None, True
    choices = [f"n{g.count} = {name}.sum().item()" if real(x) else f"{name}.tolist()"]
    choices += [f"n{g.count} = {name}.reshape(-1)[0].item()" if x.numel() else f"{name}.tolist()"]
    choices += [f"{name}.tolist()", f"str({name})"]
    if real(x) and str(x.dtype) != "torch.bfloat16" and x.numel() and not g.gradients:
        choices.append(f"{name}.detach().numpy()[...] += 1" if x.dtype.itemsize > 1 else "pass")
    return g.rng.choice(choices), True


def delete(g: Generator) -> Written:
    names = g.tensors()
    if len(names) < 4:
        return None
    return f"del {g.rng.choice(names)}", True


def create(g: Generator) -> Written:
    return f"{g.fresh()} = {g.create()}", True


def without_grad(g: Generator) -> Written:
    kind = g.rng.choice((write, write, view, binary, unary))
    if kind is view and any(g.names[name].requires_grad for name in g.tensors()):
        return None  # torch reports the base's requires_grad for such a view
    written = kind(g)
    if written is None or written[0] is None:
        return None
    return f"with m.no_grad(): {written[0]}", written[1]


KINDS = {
    view: 24,
    write: 22,
    write_advanced: 10,
    unary: 8,
    binary: 16,
    integers: 5,
    reduction: 9,
    ordering: 5,
    product: 6,
    movement: 9,
    choice: 5,
    convert: 5,
    gradient: 12,
    read: 8,
    delete: 4,
    create: 5,
    without_grad: 4,
}


def statement(g: Generator) -> Written:
    """One more statement for a program."""
    kind = g.rng.choices(list(KINDS), list(KINDS.values()))[0]
    if kind is gradient and not g.gradients:
        return None
    written = kind(g)
    return None if written is None or written[0] is None else written
