"""What parameters and values of distributions must be.

In: tensors. Out: `Constraint.check`, a tensor of truth values with one less dim for each event dim.
Distributions check on the host through `holds`, so that nothing is compiled for a check.

>>> import picograd
>>> interval(0.0, 1.0).check(picograd.tensor([0.5, 2.0]))
tensor([ True, False])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from picograd.frontend.hostdata import from_array, values
from picograd.frontend.tensor import Tensor

Bound = Any  # a number, or a tensor of numbers


class Constraint:
    """A set of numbers, vectors or matrices."""

    is_discrete = False
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        """Which elements, or events, belong to the set."""
        return from_array(np.asarray(self.holds(values(value))), value._storage.node.device)

    def holds(self, array: np.ndarray) -> np.ndarray:
        """`check` for an array; a subclass has this one or `check`."""
        if type(self).check is Constraint.check:
            raise NotImplementedError(f"{type(self).__name__}.check isn't defined")
        return values(self.check(from_array(np.array(array), "cpu")))

    def __repr__(self) -> str:
        return type(self).__name__.lstrip("_") + "()"


def _number(bound: Bound) -> Any:
    return values(bound) if isinstance(bound, Tensor) else bound


class Rule(Constraint):
    """A constraint by name: a function of arrays, with the bounds it was made of."""

    def __init__(
        self,
        name: str,
        rule: Callable[[np.ndarray], np.ndarray],
        event_dim: int = 0,
        is_discrete: bool = False,
        **bounds: Bound,
    ) -> None:
        self.name, self.rule, self.bounds = name, rule, bounds
        self.event_dim, self.is_discrete = event_dim, is_discrete
        self.__dict__.update(bounds)

    def holds(self, array: np.ndarray) -> np.ndarray:
        return self.rule(array)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in self.bounds.items())
        return f"{self.name}({shown})"


def interval(lower_bound: Bound, upper_bound: Bound) -> Rule:
    """From a lower to an upper bound, both included."""

    def rule(x: np.ndarray) -> np.ndarray:
        return (x >= _number(lower_bound)) & (x <= _number(upper_bound))

    return Rule("Interval", rule, lower_bound=lower_bound, upper_bound=upper_bound)


def half_open_interval(lower_bound: Bound, upper_bound: Bound) -> Rule:
    """From a lower bound to below an upper bound."""

    def rule(x: np.ndarray) -> np.ndarray:
        return (x >= _number(lower_bound)) & (x < _number(upper_bound))

    return Rule("HalfOpenInterval", rule, lower_bound=lower_bound, upper_bound=upper_bound)


def integer_interval(lower_bound: Bound, upper_bound: Bound) -> Rule:
    """Whole numbers from a lower to an upper bound, both included."""

    def rule(x: np.ndarray) -> np.ndarray:
        return (x % 1 == 0) & (x >= _number(lower_bound)) & (x <= _number(upper_bound))

    return Rule(
        "IntegerInterval", rule, is_discrete=True, lower_bound=lower_bound, upper_bound=upper_bound
    )


def greater_than(lower_bound: Bound) -> Rule:
    """Greater than a bound."""
    return Rule("GreaterThan", lambda x: x > _number(lower_bound), lower_bound=lower_bound)


def greater_than_eq(lower_bound: Bound) -> Rule:
    """At least a bound."""
    return Rule("GreaterThanEq", lambda x: x >= _number(lower_bound), lower_bound=lower_bound)


def less_than(upper_bound: Bound) -> Rule:
    """Less than a bound."""
    return Rule("LessThan", lambda x: x < _number(upper_bound), upper_bound=upper_bound)


def multinomial(upper_bound: Bound) -> Rule:
    """Vectors of counts whose sum is at most a bound."""

    def rule(x: np.ndarray) -> np.ndarray:
        return (x >= 0).all(-1) & (x.sum(-1) <= _number(upper_bound))

    return Rule("Multinomial", rule, 1, True, upper_bound=upper_bound)


class independent(Constraint):
    """Another constraint, for events that have more dims."""

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.event_dim = base_constraint.event_dim + reinterpreted_batch_ndims
        self.is_discrete = base_constraint.is_discrete

    def holds(self, array: np.ndarray) -> np.ndarray:
        found = self.base_constraint.holds(array)
        return np.asarray(found.all(tuple(range(-self.reinterpreted_batch_ndims, 0))))


class _Parts(Constraint):
    """Constraints side by side along a dim."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0) -> None:
        self.cseq, self.dim = list(cseq), dim
        self.is_discrete = any(part.is_discrete for part in cseq)
        self.event_dim = max(part.event_dim for part in cseq)


class cat(_Parts):
    """Constraints for pieces along a dim, each with a length."""

    def __init__(
        self, cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None
    ) -> None:
        super().__init__(cseq, dim)
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)

    def holds(self, array: np.ndarray) -> np.ndarray:
        pieces = np.split(array, np.cumsum(self.lengths)[:-1], self.dim)
        found = [c.holds(piece) for c, piece in zip(self.cseq, pieces, strict=True)]
        return np.concatenate(found, self.dim)


class stack(_Parts):
    """Constraints for slices along a dim."""

    def holds(self, array: np.ndarray) -> np.ndarray:
        pieces = np.moveaxis(array, self.dim, 0)
        found = [c.holds(piece) for c, piece in zip(self.cseq, pieces, strict=True)]
        return np.stack(found, self.dim)


class _Dependent(Constraint):
    """Stands where the constraint depends on other parameters; it can't be checked."""

    def __init__(self, is_discrete: bool = False, event_dim: int = 0) -> None:
        self.is_discrete, self.event_dim = is_discrete, event_dim

    def __call__(self, *, is_discrete: bool = False, event_dim: int = 0) -> _Dependent:
        """One that knows more about itself."""
        return _Dependent(is_discrete, event_dim)

    def check(self, value: Tensor) -> Tensor:
        raise ValueError("Cannot determine validity of dependent constraint")


class dependent_property(property, _Dependent):  # type: ignore[misc]
    """A property that gives the constraint, of an instance."""

    def __init__(
        self, fn: Callable[..., Any] | None = None, *, is_discrete: bool = False, event_dim: int = 0
    ) -> None:
        property.__init__(self, fn)
        _Dependent.__init__(self, is_discrete, event_dim)

    def __call__(self, fn: Callable[..., Any]) -> dependent_property:  # type: ignore[override]
        return dependent_property(fn, is_discrete=self.is_discrete, event_dim=self.event_dim)


def is_dependent(constraint: object) -> bool:
    """Whether a constraint depends on other parameters."""
    return isinstance(constraint, _Dependent)


def _triangular(x: np.ndarray) -> np.ndarray:
    return np.asarray((np.tril(x) == x).all((-2, -1)))


def _positive_diagonal(x: np.ndarray) -> np.ndarray:
    return np.asarray((np.diagonal(x, axis1=-2, axis2=-1) > 0).all(-1))


def _unit_rows(x: np.ndarray) -> np.ndarray:
    return (np.abs(np.linalg.norm(x, axis=-1) - 1) < 1e-4).all(-1)


def _symmetric(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.isclose(x, x.swapaxes(-2, -1), atol=1e-6).all((-2, -1)))


def _simplex(x: np.ndarray) -> np.ndarray:
    return (x >= 0).all(-1) & (np.abs(x.sum(-1) - 1) < 1e-6 + 1e-6 * x.shape[-1])


dependent = _Dependent()
boolean = Rule("Boolean", lambda x: (x == 0) | (x == 1), is_discrete=True)
one_hot = Rule(
    "OneHot", lambda x: ((x == 0) | (x == 1)).all(-1) & (x.sum(-1) == 1), 1, is_discrete=True
)
real = Rule("Real", lambda x: x == x)
real_vector = independent(real, 1)
positive = greater_than(0.0)
nonnegative = greater_than_eq(0.0)
unit_interval = interval(0.0, 1.0)
positive_integer = Rule("PositiveInteger", lambda x: (x % 1 == 0) & (x >= 1), is_discrete=True)
nonnegative_integer = Rule("NonnegativeInteger", lambda x: (x % 1 == 0) & (x >= 0), 0, True)
simplex = Rule("Simplex", _simplex, 1)
square = Rule("Square", lambda x: np.full(x.shape[:-2], x.shape[-1] == x.shape[-2]), 2)
symmetric = Rule("Symmetric", _symmetric, 2)
lower_triangular = Rule("LowerTriangular", _triangular, 2)
lower_cholesky = Rule("LowerCholesky", lambda x: _triangular(x) & _positive_diagonal(x), 2)
corr_cholesky = Rule(
    "CorrCholesky", lambda x: _triangular(x) & _positive_diagonal(x) & _unit_rows(x), 2
)
positive_definite = Rule(
    "PositiveDefinite", lambda x: _symmetric(x) & (np.linalg.eigvalsh(x) > 0).all(-1), 2
)
positive_semidefinite = Rule(
    "PositiveSemidefinite", lambda x: _symmetric(x) & (np.linalg.eigvalsh(x) > -1e-6).all(-1), 2
)
