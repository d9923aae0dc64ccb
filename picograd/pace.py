"""When pending work is computed although nobody asked for a number yet.

In: the news of each pending value and of each run, and the user's call stack. Out: `Pace.is_due`.
The engine owns one `Pace`.

A program that never asks for a number would grow its graph without end, so after
`PICOGRAD_GRAPH_NODES` values what is pending is computed. Cut anywhere, a loop would give ever new
graphs, and each would be compiled. So the cuts are put where the outermost loop comes round: then
the pieces are whole iterations, and the second one finds the program of the first.

That a loop has come round shows in the stack: in the outermost frame that moved since the last
look, execution went backwards. A frame is known by its code; its depth tells inner loops (over the
layers of a model) from outer ones (over tokens, over steps).

>>> pace = Pace()
>>> [pace.is_due(limit=2) for _ in range(4)]
[False, False, True, True]
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType

# Values that are worth a program of their own, once it is known which loop the program repeats.
LOOP_NODES = 256
# Values before a first loop is looked for: most programs ask for a number long before.
FIRST_NODES = 1000

Stack = list[tuple[CodeType, int]]


class Pace:
    """Counts pending values, and finds the moment to compute them."""

    def __init__(self) -> None:
        self.created = 0  # values since the last run
        self._depth: int | None = None  # of the outermost loop that was seen coming round
        self._stack: Stack | None = None  # at the last look
        self._patience = FIRST_NODES

    def ran(self, asked: bool) -> None:
        """Pending values were computed, because somebody asked for a number or because of this."""
        patience = FIRST_NODES if self._depth is None else LOOP_NODES
        if asked:  # who asked after so many values will likely ask again
            patience = max(patience, self.created + self.created // 4)
        self.created, self._stack, self._patience = 0, None, patience

    def is_due(self, limit: int) -> bool:
        """Count one more pending value. True when now is the moment to compute; `limit` is the
        count that is never exceeded."""
        self.created += 1
        if self.created > limit:
            return True
        return self.created > self._patience and self._came_round()

    def _came_round(self) -> bool:
        """True when an outermost loop has begun another iteration since the last look."""
        before, now = self._stack, _stack()
        self._stack = now
        if before is None:
            return False
        for depth, ((code, place), (new_code, new_place)) in enumerate(
            zip(before, now, strict=False)
        ):
            if code is not new_code:
                return False
            if place != new_place:
                if new_place > place or (self._depth is not None and depth > self._depth):
                    return False
                self._depth = depth
                return True
        return False


def _stack() -> Stack:
    """The code and the position in it of every frame, the outermost first."""
    frame: FrameType | None = sys._getframe(1)
    frames: Stack = []
    while frame is not None:
        frames.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    frames.reverse()
    return frames
