"""When pending work is computed although nobody asked for a number yet.

In: the news of each pending value and of each run, and the user's call stack. Out: `Pace.is_due`.
The engine owns one `Pace`.

A program that never asks for a number would grow its graph without end. Cut anywhere, a loop would
give ever new graphs, and each would be compiled. So the cuts are put where a loop of the user's
comes round: then the pieces are whole iterations, and the second one finds the program of the
first. That a loop has come round shows in the stack: in the outermost of the user's frames that
moved since the last look, execution went backwards. The frame's depth tells inner loops (over the
layers of a model) from outer ones (over tokens, over steps); the outermost whose iterations are
not too long is the one to cut at.

>>> pace = Pace()
>>> [pace.is_due(limit=2) for _ in range(4)]
[False, False, True, True]
"""

from __future__ import annotations

import os
import sys
from collections import deque
from types import CodeType, FrameType

# Values that are worth a program of their own, once it is known which loop the program repeats.
LOOP_NODES = 256
# Values before a first loop is looked for: most programs ask for a number long before.
FIRST_NODES = 1000
# Spans (of as many values as may wait) without a search, after many in vain.
LONGEST_REST = 16
# How many of the last parts of a training step tell how long the next one may be.
PHASES = 6

Stack = list[tuple[CodeType, int]]
_OWN = os.path.dirname(__file__) + os.sep


class Pace:
    """Counts pending values, and finds the moment to compute them."""

    def __init__(self) -> None:
        self.created = 0  # values since the last run
        self.quiet = 0  # so many may be created before `is_due` has to be asked
        self._before = 0  # values until the last run
        self._depth: int | None = None  # of the loop to cut at
        self._came: dict[int, int] = {}  # depth of a loop -> the total when it last came round
        self._stack: Stack | None = None  # at the last look
        self._looked = 0  # the total at the last look
        self._patience = FIRST_NODES  # values without a look
        self._vain = 0  # spans of values that were searched for a loop in vain, on end
        self._rest = 0  # spans still to come without a search
        self._phases: deque[int] = deque(maxlen=PHASES)  # values of the last parts of a step
        self._began = 0  # the total where the current part began

    @property
    def _total(self) -> int:
        """Values ever."""
        return self._before + self.created

    def expect_phases(self, limit: int) -> None:
        """A training program begins: the ends of its parts will be told (`end_phase`)."""
        self._phases.append(limit)
        self.end_phase(limit)
        self._depth = None

    def end_phase(self, limit: int) -> None:
        """A part of a training step ends. The next one may be as long as any before it: a step
        is cut between its parts rather than in the midst of a model's loop over layers."""
        span, self._began = self._total - self._began, self._total
        if span <= limit:  # a longer one is cut inside, and best at a loop
            self._phases.append(span)
        self._patience = max(self._patience, min(self._phase(), limit))
        self._stack = None

    def _phase(self) -> int:
        longest = max(self._phases, default=0)
        return longest + longest // 4

    def ran(self, asked: bool) -> None:
        """Pending values were computed, because somebody asked for a number or because of this."""
        if asked:
            # Who asked after so many values will likely ask again.
            often = self.created + self.created // 4
            least = FIRST_NODES if self._depth is None else LOOP_NODES
            self._patience = max(often, self._phase(), least)
            self._stack = None
        self._before += self.created
        self.created = self.quiet = 0

    def is_due(self, limit: int) -> bool:
        """Count one more pending value. True when now is the moment to compute, at the latest
        after `limit` values."""
        self.created += 1
        self.quiet = min(self._patience, limit) - 1
        if self.created > limit:
            self._depth = None
            self._patience = limit if self._is_resting() else 0  # 0: another loop has begun
            return True
        if self.created > self._patience and self._came_round(limit):
            self._patience = LOOP_NODES
            self._vain = 0
            return True
        return False

    def _is_resting(self) -> bool:
        """Whether to stop looking, since a look costs as much as an operation: for ever longer
        while nothing is found. A loop of a single call, for one, doesn't show in the stack."""
        if self._rest:
            self._rest -= 1
        else:
            self._vain += 1
            self._rest = min(2**self._vain // 4, LONGEST_REST)
        return self._rest > 0

    def _came_round(self, longest: int) -> bool:
        """True when the loop to cut at, or one around it, has begun another iteration."""
        before, now, total = self._stack, _stack(), self._total
        at_once = self._looked == total - 1
        self._stack, self._looked = now, total
        depth = None if before is None else _went_back(before, now)
        if depth is None or (self._depth is not None and depth > self._depth):
            return False
        span = total - self._came.get(depth, total)
        self._came[depth] = total
        if self._depth is None or 0 < span <= longest:
            self._depth = depth
        return at_once  # else it came round some time ago


def _went_back(before: Stack, now: Stack) -> int | None:
    """The depth of the outermost frame that moved, if it moved backwards."""
    for depth, ((code, place), (new_code, new_place)) in enumerate(zip(before, now, strict=False)):
        if code is not new_code:
            return None
        if place != new_place:
            return depth if new_place < place else None
    return None


def _stack() -> Stack:
    """The code and the position in it of each of the user's frames, the outermost first."""
    frame: FrameType | None = sys._getframe(1)
    frames: Stack = []
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_OWN):
            frames.append((code, frame.f_lasti))
        frame = frame.f_back
    frames.reverse()
    return frames
