"""Recurrent layers: the same cell at every time step.

In: (L, N, H_in), (N, L, H_in) with `batch_first`, or (L, H_in) for one sequence; a packed sequence
goes in and comes out packed. Out: the outputs of the last layer at all times, and the final states.

The input's part of all gates is one matrix product for the whole sequence; the loop over time
holds only what depends on the state before. Sources: Elman 1990 (RNN), Hochreiter & Schmidhuber
1997 (LSTM), Cho et al. 2014 (GRU).

>>> import picograd
>>> output, (h, c) = LSTM(3, 4)(picograd.zeros(5, 2, 3))
>>> output.shape, h.shape
(torch.Size([5, 2, 4]), torch.Size([1, 2, 4]))
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, cast

from picograd.dtypes import DType
from picograd.frontend.autocasting import lowered
from picograd.frontend.creation import arange, empty, zeros
from picograd.frontend.device import device as Device
from picograd.frontend.movement import cat, stack
from picograd.frontend.selection import where
from picograd.frontend.stamps import stamped
from picograd.frontend.tensor import Tensor
from picograd.nn import functional as F
from picograd.nn import init
from picograd.nn.module import Module
from picograd.nn.parameter import Parameter

Place = str | Device | None
State = tuple[Tensor, ...]


def _lstm(inputs: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    hidden, memory = state
    gates = inputs + F.linear(hidden, weight, bias)
    memory = stamped("AddBackward0", _remembered, (gates, memory))
    return stamped("MulBackward0", _shown, (gates, memory)), memory


def _remembered(gates: Tensor, memory: Tensor) -> Tensor:
    enter, forget, candidate, _ = gates.chunk(4, -1)
    return forget.sigmoid() * memory + enter.sigmoid() * candidate.tanh()


def _shown(gates: Tensor, memory: Tensor) -> Tensor:
    return gates.chunk(4, -1)[3].sigmoid() * memory.tanh()


def _gru(inputs: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    (hidden,) = state
    return (stamped("AddBackward0", _gated, (inputs, F.linear(hidden, weight, bias), hidden)),)


def _gated(inputs: Tensor, recurrent: Tensor, hidden: Tensor) -> Tensor:
    reset, update, candidate = inputs.chunk(3, -1)
    reset_h, update_h, candidate_h = recurrent.chunk(3, -1)
    reset, update = (reset + reset_h).sigmoid(), (update + update_h).sigmoid()
    candidate = (candidate + reset * candidate_h).tanh()
    return candidate + update * (hidden - candidate)


def _tanh(inputs: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    return ((inputs + F.linear(state[0], weight, bias)).tanh(),)


def _relu(inputs: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    return ((inputs + F.linear(state[0], weight, bias)).relu(),)


def _kept(alive: Tensor, fresh: State, old: State) -> State:
    """The new states of the sequences that still run, the old ones of the others."""
    made = [where(alive, new, before) for new, before in zip(fresh, old, strict=True)]
    return tuple(cast("list[Tensor]", made))


# mode -> the step, how many gates, how many states
_MODES = {
    "LSTM": (_lstm, 4, 2),
    "GRU": (_gru, 3, 1),
    "RNN_TANH": (_tanh, 1, 1),
    "RNN_RELU": (_relu, 1, 1),
}


class RNNBase(Module):
    """Layers (and directions) of one kind of cell."""

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Place = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if proj_size:
            raise NotImplementedError("proj_size isn't supported; use a Linear after the LSTM")
        if not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an "
                "element being zeroed"
            )
        if hidden_size <= 0 or num_layers <= 0:
            raise ValueError("hidden_size and num_layers must be greater than zero")
        self.mode, self.input_size, self.hidden_size = mode, input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional, self.proj_size = float(dropout), bidirectional, 0
        gates = _MODES[mode][1] * hidden_size
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        directions = self._directions()
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * len(directions)
            for suffix in directions:
                shapes = {"weight_ih": (gates, width), "weight_hh": (gates, hidden_size)}
                if bias:
                    shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
                for name, shape in shapes.items():
                    parameter = Parameter(empty(shape, **options))
                    self.register_parameter(f"{name}_l{layer}{suffix}", parameter)
        self.reset_parameters()

    def _directions(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def reset_parameters(self) -> None:
        """Draw the parameters again from U(-1/sqrt(hidden_size), 1/sqrt(hidden_size))."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do: parameters needn't lie together."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters by layer and direction."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if self.bias else 2]
        return [
            [getattr(self, f"{name}_l{layer}{suffix}") for name in names]
            for layer in range(self.num_layers)
            for suffix in self._directions()
        ]

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """The outputs of all times, and the final states of all layers and directions."""
        from picograd.nn.utils import rnn

        if isinstance(input, rnn.PackedSequence):
            return self._packed(input, hx)
        if input.ndim not in (2, 3):
            raise RuntimeError(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.ndim}D instead"
            )
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                f"{input.shape[-1]}"
            )
        if input.ndim == 2:
            alone = None if hx is None else self._map(hx, lambda s: s.unsqueeze(1))
            axis = 0 if self.batch_first else 1
            output, last = self.forward(input.unsqueeze(axis), alone)
            return output.squeeze(axis), self._map(last, lambda s: s.squeeze(1))
        x = input.transpose(0, 1) if self.batch_first else input
        output, last = self._layers(x, self._initial(x, hx), None)
        return (output.transpose(0, 1) if self.batch_first else output), last

    def _map(self, states: Any, change: Any) -> Any:
        return tuple(map(change, states)) if isinstance(states, tuple) else change(states)

    def _initial(self, x: Tensor, hx: Any) -> State:
        """The first states, (layers * directions, N, hidden) each."""
        states = self._first_states(x, hx)
        # Torch runs an LSTM as a whole in fewer bits, the others product by product.
        return lowered(*states) if self.mode == "LSTM" else states

    def _first_states(self, x: Tensor, hx: Any) -> State:
        count = _MODES[self.mode][2]
        shape = (self.num_layers * len(self._directions()), x.shape[1], self.hidden_size)
        if hx is None:
            return (zeros(shape, dtype=x.dtype, device=x.device),) * count
        states = tuple(hx) if count == 2 else (hx,)
        for state in states:
            if tuple(state.shape) != shape:
                raise RuntimeError(f"Expected hidden size {shape}, got {list(state.shape)}")
        return states

    def _layers(self, x: Tensor, states: State, alive: Tensor | None) -> tuple[Tensor, Any]:
        """All layers over (L, N, *); `alive` (L, N, 1) says which sequences still run."""
        finals: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for number, suffix in enumerate(self._directions()):
                row = layer * len(self._directions()) + number
                begin = tuple(state[row] for state in states)
                output, final = self._run(x, begin, f"_l{layer}{suffix}", alive)
                outputs.append(output)
                finals.append(final)
            x = outputs[0] if len(outputs) == 1 else cat(outputs, -1)
            if self.dropout and layer + 1 < self.num_layers:
                x = F.dropout(x, self.dropout, self.training)
        stacked = tuple(stack([f[n] for f in finals]) for n in range(len(states)))
        return x, stacked if len(stacked) == 2 else stacked[0]

    def _run(
        self, x: Tensor, state: State, name: str, alive: Tensor | None
    ) -> tuple[Tensor, State]:
        """One layer in one direction."""
        step = _MODES[self.mode][0]
        bias_ih = getattr(self, f"bias_ih{name}") if self.bias else None
        bias_hh = getattr(self, f"bias_hh{name}") if self.bias else None
        weight = getattr(self, f"weight_hh{name}")
        gates = F.linear(x, getattr(self, f"weight_ih{name}"), bias_ih).unbind(0)
        times = list(range(len(gates)))
        if name.endswith("_reverse"):
            times.reverse()
        outputs: list[Tensor] = [state[0]] * len(times)
        for time in times:
            fresh = step(gates[time], state, weight, bias_hh)
            state = fresh if alive is None else _kept(alive[time], fresh, state)
            outputs[time] = state[0]
        return stack(outputs), state

    def _packed(self, packed: Any, hx: Any) -> tuple[Any, Any]:
        from picograd.nn.utils import rnn

        x, lengths = rnn.pad_packed_sequence(packed)
        order = packed.sorted_indices
        x = x if order is None else x.index_select(1, order)
        sorted_lengths = lengths if order is None else lengths[order.cpu()]
        states = self._initial(x, hx)
        if order is not None and hx is not None:
            states = tuple(state.index_select(1, order) for state in states)
        times = arange(x.shape[0], device=x.device)
        alive = (times.unsqueeze(1) < sorted_lengths.to(x.device)).unsqueeze(-1)
        output, last = self._layers(x, states, alive)
        data = rnn.pack_padded_sequence(output, sorted_lengths).data
        result = rnn.PackedSequence(
            data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
        )
        if packed.unsorted_indices is not None:
            back = packed.unsorted_indices
            last = self._map(last, lambda state: state.index_select(1, back))
        return result, last

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if not self.bias:
            text += f", bias={self.bias}"
        if self.batch_first:
            text += f", batch_first={self.batch_first}"
        if self.dropout:
            text += f", dropout={self.dropout}"
        if self.bidirectional:
            text += f", bidirectional={self.bidirectional}"
        return text


class RNN(RNNBase):
    """`h' = tanh(W x + b + V h + c)`, or with relu."""

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1,
        nonlinearity: str = "tanh", *args: Any, **kwargs: Any,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        mode = "RNN_TANH" if nonlinearity == "tanh" else "RNN_RELU"
        super().__init__(mode, input_size, hidden_size, num_layers, *args, **kwargs)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory: gates for what enters, stays and leaves."""

    def __init__(self, input_size: int, hidden_size: int, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", input_size, hidden_size, *args, **kwargs)


class GRU(RNNBase):
    """Gated recurrent units: a reset and an update gate."""

    def __init__(self, input_size: int, hidden_size: int, *args: Any, **kwargs: Any) -> None:
        super().__init__("GRU", input_size, hidden_size, *args, **kwargs)


# --- one step -------------------------------------------------------------------------------------


class _Cell(Module):
    mode: ClassVar[str]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Place = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        gates = _MODES[self._mode()][1] * hidden_size
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(empty((gates, input_size), **options))
        self.weight_hh = Parameter(empty((gates, hidden_size), **options))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(gates, **options)) if bias else None)
        self.reset_parameters()

    def _mode(self) -> str:
        return self.mode

    def reset_parameters(self) -> None:
        """Draw the parameters again."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0.0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _step(self, input: Tensor, states: State | None) -> State:
        if input.ndim not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 1D or 2D, got {input.ndim}D instead"
            )
        step, _, count = _MODES[self._mode()]
        if states is None:
            shape = (*input.shape[:-1], self.hidden_size)
            states = (zeros(shape, dtype=input.dtype, device=input.device),) * count
        inputs = F.linear(input, self.weight_ih, self.bias_ih)
        return step(inputs, states, self.weight_hh, self.bias_hh)

    def extra_repr(self) -> str:
        rest = "" if self.bias else ", bias=False"
        return f"{self.input_size}, {self.hidden_size}{rest}"


class RNNCell(_Cell):
    """One step of an `RNN`."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        device: Place = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        self.__dict__["nonlinearity"] = nonlinearity
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def _mode(self) -> str:
        return "RNN_TANH" if self.nonlinearity == "tanh" else "RNN_RELU"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(N, input_size), (N, hidden_size) -> (N, hidden_size)."""
        return self._step(input, None if hx is None else (hx,))[0]

    def extra_repr(self) -> str:
        rest = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        return super().extra_repr() + rest


class LSTMCell(_Cell):
    """One step of an `LSTM`."""

    mode = "LSTM"

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> State:
        """(N, input_size), two states (N, hidden_size) -> the two states."""
        return self._step(input, hx)


class GRUCell(_Cell):
    """One step of a `GRU`."""

    mode = "GRU"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(N, input_size), (N, hidden_size) -> (N, hidden_size)."""
        return self._step(input, None if hx is None else (hx,))[0]
