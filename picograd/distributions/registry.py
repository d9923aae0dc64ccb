"""Transforms from all real numbers to where a constraint holds.

In: constraints. Out: `biject_to(constraint)`, an invertible transform, and `transform_to`, one
that need not be. `register` adds a kind of constraint, or one constraint.

>>> from picograd.distributions import constraints
>>> biject_to(constraints.positive)
ExpTransform()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from picograd.distributions import constraints, transforms
from picograd.distributions.constraints import Constraint, Rule
from picograd.distributions.transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    SigmoidTransform,
    SoftmaxTransform,
    StickBreakingTransform,
    Transform,
)

Factory = Callable[[Any], Transform]


def _kind(constraint: object) -> object:
    """What a constraint is registered by: the name of a rule, else its class."""
    return constraint.name if isinstance(constraint, Rule) else type(constraint)


class ConstraintRegistry:
    """A table from constraints to functions that make their transforms."""

    def __init__(self) -> None:
        self._factories: dict[object, Factory] = {}

    def register(self, constraint: Any, factory: Factory | None = None) -> Any:
        """Add a constraint or a class of them; a decorator without a factory."""
        if factory is None:
            return lambda function: self.register(constraint, function)
        key = constraint if isinstance(constraint, type) else _kind(constraint)
        self._factories[key] = factory
        return factory

    def __call__(self, constraint: Constraint) -> Transform:
        factory = self._factories.get(_kind(constraint))
        if factory is None:
            raise NotImplementedError(
                f"Cannot transform {type(constraint).__name__} constraints: {constraint!r}"
            )
        return factory(constraint)


def _above(constraint: Any) -> Transform:
    bound = constraint.lower_bound
    if not isinstance(bound, (int, float)) or bound:
        return ComposeTransform([ExpTransform(), AffineTransform(bound, 1)])
    return ExpTransform()


def _below(constraint: Any) -> Transform:
    return ComposeTransform([ExpTransform(), AffineTransform(constraint.upper_bound, -1)])


def _between(constraint: Any) -> Transform:
    low, high = constraint.lower_bound, constraint.upper_bound
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and (low, high) == (0, 1):
        return SigmoidTransform()
    return ComposeTransform([SigmoidTransform(), AffineTransform(low, high - low)])


def _independent(registry: ConstraintRegistry) -> Factory:
    def factory(constraint: Any) -> Transform:
        base = registry(constraint.base_constraint)
        return IndependentTransform(base, constraint.reinterpreted_batch_ndims)

    return factory


biject_to, transform_to = ConstraintRegistry(), ConstraintRegistry()
for _registry in (biject_to, transform_to):
    _registry.register(constraints.real, lambda _: transforms.identity_transform)
    _registry.register(constraints.independent, _independent(_registry))
    for _name in (constraints.positive, constraints.nonnegative):
        _registry.register(_name, _above)
    _registry.register(constraints.less_than(0), _below)
    for _name in (constraints.unit_interval, constraints.half_open_interval(0, 1)):
        _registry.register(_name, _between)
biject_to.register(constraints.simplex, lambda _: StickBreakingTransform())
transform_to.register(constraints.simplex, lambda _: SoftmaxTransform())
transform_to.register(constraints.lower_cholesky, lambda _: LowerCholeskyTransform())
