"""A line search for the strong Wolfe conditions, along one direction.

In: `evaluate(t)`, which gives a `Point` (loss, gradient, slope) at distance t, and the point at 0.
Out: the point that was found and how many evaluations it took. `LBFGS` calls it.

First the distance grows until a bracket holds an acceptable point, then the bracket shrinks around
the minimum of a cubic through both ends.

>>> import picograd
>>> def evaluate(t):  # (t - 2)**2 from 0 on
...     return Point(t, (t - 2) ** 2, picograd.tensor([2 * (t - 2)]), 2 * (t - 2))
>>> found, _ = search(evaluate, evaluate(0.0), 1.0, 1.0, 25, 1e-9)
>>> abs(found.slope) <= 0.9 * 4
True
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from picograd.frontend.tensor import Tensor

DECREASE, CURVATURE = 1e-4, 0.9  # the constants of the two conditions


@dataclass(frozen=True, slots=True)
class Point:
    """What is known at distance `distance`: the loss, the whole gradient, the slope of the loss."""

    distance: float
    loss: float
    gradient: Tensor
    slope: float


Evaluate = Callable[[float], Point]


def cubic_minimum(a: Point, b: Point, low: float | None = None, high: float | None = None) -> float:
    """Where the cubic through two points with their slopes is least, kept within the bounds."""
    if low is None or high is None:
        low, high = sorted((a.distance, b.distance))
    left, right = (a, b) if a.distance <= b.distance else (b, a)
    width = a.distance - b.distance
    bend = a.slope + b.slope - 3 * (a.loss - b.loss) / width if width else float("nan")
    square = bend * bend - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    root = square**0.5
    divisor = right.slope - left.slope + 2 * root
    if divisor == 0:
        return (low + high) / 2
    span = right.distance - left.distance
    found = right.distance - span * ((right.slope + root - bend) / divisor)
    return min(max(found, low), high)


def search(
    evaluate: Evaluate, start: Point, step: float, longest: float, limit: int, tolerance: float
) -> tuple[Point, int]:
    """A point that satisfies both conditions, or the best one within `limit` evaluations.

    `longest` is the largest absolute element of the direction, `tolerance` the least change of a
    parameter that is worth a step.
    """
    point = evaluate(step)
    evaluations, rounds = 1, 0
    before = start
    bracket: list[Point] | None = None
    while rounds < limit:
        too_high = point.loss > start.loss + DECREASE * point.distance * start.slope
        if too_high or (rounds > 1 and point.loss >= before.loss):
            bracket = [before, point]
            break
        if abs(point.slope) <= -CURVATURE * start.slope:
            return point, evaluations
        if point.slope >= 0:
            bracket = [before, point]
            break
        nearest = point.distance + 0.01 * (point.distance - before.distance)
        following = cubic_minimum(before, point, nearest, point.distance * 10)
        before, point = point, evaluate(following)
        evaluations += 1
        rounds += 1
    if bracket is None:
        bracket = [start, point]
    found, more = _zoom(evaluate, start, bracket, longest, limit - rounds, tolerance)
    return found, evaluations + more


def _zoom(
    evaluate: Evaluate,
    start: Point,
    bracket: list[Point],
    longest: float,
    limit: int,
    tolerance: float,
) -> tuple[Point, int]:
    """Shrink a bracket until its better end is acceptable."""
    best, worst = sorted(bracket, key=lambda point: point.loss)
    stuck = False
    evaluations = 0
    while evaluations < limit and abs(best.distance - worst.distance) * longest >= tolerance:
        low, high = sorted((best.distance, worst.distance))
        distance, stuck = _inside(cubic_minimum(best, worst), low, high, stuck)
        point = evaluate(distance)
        evaluations += 1
        too_high = point.loss > start.loss + DECREASE * distance * start.slope
        if too_high or point.loss >= best.loss:
            best, worst = sorted((best, point), key=lambda one: one.loss)
            continue
        if abs(point.slope) <= -CURVATURE * start.slope:
            return point, evaluations
        if point.slope * (worst.distance - best.distance) >= 0:
            worst = best
        best = point
    return best, evaluations


def _inside(distance: float, low: float, high: float, stuck: bool) -> tuple[float, bool]:
    """The distance moved away from a near end of the bracket, if that happens twice in a row."""
    margin = 0.1 * (high - low)
    if min(high - distance, distance - low) >= margin:
        return distance, False
    if not stuck and low < distance < high:
        return distance, True
    return (high - margin if high - distance < distance - low else low + margin), False
