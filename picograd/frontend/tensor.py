"""The tensor: a view of a storage, with a place on the tape.

In: a graph node (`wrap`) or a view of another tensor (`Tensor._derive`). Out: `Tensor`, the class
users see. This file holds its state and what touches the state; its named functions are registered
by the other modules of the frontend (see `frontend/registry.py`), its operators by
`frontend/operators.py`.

>>> import picograd
>>> x = picograd.tensor([[1.0, 2.0], [3.0, 4.0]])
>>> row = x[0]
>>> row += 10
>>> x.tolist()
[[11.0, 12.0], [3.0, 4.0]]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np

from picograd import engine
from picograd.dtypes import DType
from picograd.frontend import storage as storages
from picograd.frontend import tape, view, watching
from picograd.frontend.device import Size, device, device_of
from picograd.frontend.grad_mode import state
from picograd.frontend.storage import Storage
from picograd.frontend.tape import AccumulateGrad, Edge, GradNode, IdentityGrad, Meta
from picograd.frontend.view import Step, Steps, Strides
from picograd.graph.node import Node
from picograd.graph.ops import Shape

LEAF_WRITE = "a leaf Variable that requires grad is being used in an in-place operation."
LEAF_VIEW_WRITE = (
    "a view of a leaf Variable that requires grad is being used in an in-place operation."
)
NO_GRAD_WRITE = (
    "A view was created in no_grad mode and is being modified inplace with grad mode enabled. "
    "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your "
    "code by moving both the view and the inplace either both inside the no_grad block (if you "
    "don't want the inplace to be tracked) or both outside (if you want the inplace to be tracked)."
)
SEVERAL_VIEWS_WRITE = (
    "A view made by a function that returns several views (split, chunk, unbind, iteration) is "
    "being modified inplace, or its base was. This view is the output of a function that returns "
    "multiple views. Such functions do not allow the output views to be modified inplace. You "
    "should replace the inplace operation by an out-of-place one."
)


class Tensor:
    """A multi-dimensional array of one dtype that records what is computed from it.

    _storage, _steps   the memory, and the chain of view steps that leads to this tensor
    _shape, _strides, _offset   as torch reports them (`_strides` None: contiguous)
    _base, _relative   for a differentiable view: the tensor it is a view of, and the steps from it
    _meta              autograd's state, if any
    _seen, _read       the contents that were last read, and what this view showed of them
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_base",
        "_meta",
        "_offset",
        "_read",
        "_relative",
        "_seen",
        "_shape",
        "_steps",
        "_storage",
        "_strides",
        "dtype",
    )

    dtype: DType
    _storage: Storage
    _steps: Steps
    _shape: Shape
    _strides: Strides | None
    _offset: int
    _base: Tensor | None
    _relative: Steps
    _meta: Meta | None
    _seen: Node | None
    _read: Node | None

    __array_ufunc__ = None
    __array_priority__ = 1000

    if TYPE_CHECKING:
        # The functions that `registry.install` adds, and the operators.
        def __getattr__(self, name: str) -> Callable[..., Any]: ...
        def __add__(self, other: object) -> Tensor: ...
        def __radd__(self, other: object) -> Tensor: ...
        def __sub__(self, other: object) -> Tensor: ...
        def __rsub__(self, other: object) -> Tensor: ...
        def __mul__(self, other: object) -> Tensor: ...
        def __rmul__(self, other: object) -> Tensor: ...
        def __truediv__(self, other: object) -> Tensor: ...
        def __rtruediv__(self, other: object) -> Tensor: ...
        def __floordiv__(self, other: object) -> Tensor: ...
        def __mod__(self, other: object) -> Tensor: ...
        def __pow__(self, other: object) -> Tensor: ...
        def __rpow__(self, other: object) -> Tensor: ...
        def __matmul__(self, other: object) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other: object) -> Tensor: ...
        def __or__(self, other: object) -> Tensor: ...
        def __xor__(self, other: object) -> Tensor: ...
        def __lt__(self, other: object) -> Tensor: ...
        def __le__(self, other: object) -> Tensor: ...
        def __gt__(self, other: object) -> Tensor: ...
        def __ge__(self, other: object) -> Tensor: ...

        mT: Tensor
        mH: Tensor

        def __getitem__(self, index: object) -> Tensor: ...
        def __setitem__(self, index: object, value: object) -> None: ...

    def __new__(cls, *args: object, dtype: DType | None = None) -> Tensor:
        from picograd.frontend.interop import legacy_tensor

        made = legacy_tensor(*args, dtype=dtype)
        return made if cls is Tensor else made._as_class(cls)

    # --- contents -------------------------------------------------------------------------------

    @property
    def node(self) -> Node:
        """The graph node of what the tensor holds now."""
        contents = self._storage.node
        if not self._steps:
            return contents
        if self._seen is not contents:
            self._read = view.read(contents, self._steps)
            self._seen = contents
        return cast("Node", self._read)

    def _array(self) -> np.ndarray:
        """The contents as an array over the tensor's own memory, for immediate reading only."""
        flat = self._storage.buffer.array
        if flat.dtype != self.dtype.numpy:
            flat = flat.view(self.dtype.numpy)
        return storages.strided(flat, self._shape, self.stride(), self._offset)

    def _snapshot(self) -> Node:
        """The node of the contents for somebody who keeps it: not memory the outside can write."""
        if storages._pinned and self._storage.is_pinned():
            if self._storage.node.device == "cuda":
                return storages.apart(self.node, self._storage)
            return storages.copied(self._array(), self._storage.node.device)
        return self.node

    def _overwrite(self, value: Tensor, uniform: bool = False, computed: bool = True) -> None:
        """Replace what the view shows by a tensor of the same shape, dtype and device.

        A value that wasn't computed from the tensor itself leaves it a gradient of zeros.
        """
        recording = state.enabled
        edge = value_edge = None
        if recording:
            edge, value_edge = self._edge(), value._edge()
            self._check_write(edge, value_edge)
            if value_edge is not None:
                watching.forgive(value_edge, edge, self._storage)
        self._write_node(value._snapshot(), uniform)
        if edge is not None or value_edge is not None:
            if not computed and edge is not None and self._base is None:
                value_edge = (self._overwriting(edge, value_edge), 0)
            self._rebase(value_edge)

    def _write_node(self, node: Node, uniform: bool = False) -> None:
        """Put a node of the view's shape into the storage, whatever autograd thinks of it."""
        storage = self._storage
        owner = self if self._base is None else self._base
        if owner._relative is view.DATA:
            storage.version -= 1  # as many writes as before
        if not self._steps:
            storage.write(node)
            return
        if storage.is_pinned() and node.device != "cuda":
            engine.realize([node])
            view.written(storage.node, self._steps, node, uniform)  # raises for expanded views
            np.copyto(self._array(), wrap(node)._array())
            storage.rewritten()
            return
        storage.write(view.written(storage.node, self._steps, node, uniform))
        self._seen, self._read = storage.node, node

    def _check_inplace(self) -> None:
        """Raise torch's error if the tensor may not be written now, whatever the value."""
        if state.enabled:
            self._check_write(self._edge(), None)

    def _check_write(self, edge: Edge | None, value_edge: Edge | None) -> None:
        """Raise torch's error where an in-place write would break autograd."""
        if value_edge is not None and self._relative is view.NO_GRAD_VIEW:
            raise RuntimeError(NO_GRAD_WRITE)
        if type(self._relative) is view.SeveralViews and (edge or value_edge):
            raise RuntimeError(SEVERAL_VIEWS_WRITE)
        if edge is None:
            return
        if self._base is None:
            if isinstance(edge[0], AccumulateGrad):
                raise RuntimeError(LEAF_WRITE)
        else:
            base_edge = self._base._edge()
            if base_edge is not None and isinstance(base_edge[0], AccumulateGrad):
                raise RuntimeError(LEAF_VIEW_WRITE)

    def _rebase(self, value_edge: Edge | None) -> None:
        """Move autograd's idea of the written storage on to its new version."""
        base = self._base
        if base is None:
            if value_edge is None:
                value_edge = (
                    tape.named(IdentityGrad, "CopyBackwards")((), (self._signature(),)),
                    0,
                )
            self._set_edge(value_edge)
            return
        write = tape.ViewWriteGrad(base, self._relative, value_edge)
        base._set_edge((write, 0))

    def _overwriting(self, edge: Edge, value_edge: Edge | None) -> GradNode:
        kind = tape.named(tape.OverwriteGrad, "CopyBackwards")
        return kind((edge, value_edge), (self._signature(),))

    def _set_edge(self, edge: Edge) -> None:
        meta = self._meta
        if meta is None:
            meta = self._meta = Meta()
        if meta.retains:
            if meta.edge is not None:
                meta.edge[0].retain(meta.edge[1], None)
            edge[0].retain(edge[1], self)
        meta.edge = edge

    def _signature(self) -> tuple[Shape, DType, str]:
        return (self._shape, self.dtype, self._storage.node.device)

    # --- views ----------------------------------------------------------------------------------

    def _derive(
        self,
        step: Step,
        shape: Shape,
        strides: Strides,
        offset: int,
        name: str = "ViewBackward0",
        more: Step | None = None,
    ) -> Tensor:
        """A view of this tensor, `step` (and `more`) further along the chain."""
        steps = view.append(self._steps, step)
        if more is not None:
            steps = view.append(steps, more)
        result = _new(Tensor)
        result._storage = self._storage
        result._steps = steps
        result._shape = shape
        result._strides = strides
        result._offset = offset
        result.dtype = self.dtype
        result._meta = result._seen = result._read = None
        if not state.enabled:
            result._base, result._relative = None, view.NO_GRAD_VIEW
            return result
        base = self._base
        if base is None:
            result._base = base = self
            result._relative = steps if not self._steps else _chain((), step, more)
        else:
            result._base = base
            result._relative = steps if not base._steps else _chain(self._relative, step, more)
            if type(self._relative) is view.SeveralViews:
                result._relative = view.SeveralViews(result._relative)
        if self._meta is not None or base._meta is not None:
            edge = self._edge()
            if edge is not None and self.dtype.is_inexact:
                node = tape.named(tape.ViewGrad, name)(_chain((), step, more), result, edge)
                result._meta = Meta((node, 0), base._edge())
        return result

    def _alias(self) -> Tensor:
        """The same memory without autograd's history: `detach()`."""
        result = _new(Tensor)
        result._storage = self._storage
        result._steps = self._steps
        result._shape = self._shape
        result._strides = self._strides
        result._offset = self._offset
        result.dtype = self.dtype
        result._base = result._meta = result._seen = result._read = None
        result._relative = ()
        return result

    def _as_class(self, cls: type[Tensor]) -> Tensor:
        """The same memory, without history, as an instance of a subclass."""
        result = self._alias()
        result.__class__ = cls
        return result

    @staticmethod
    def _make_subclass(cls: type[Tensor], data: Tensor, require_grad: bool = False) -> Tensor:
        """Torch's way to make a `Parameter` out of a tensor: shares memory, is a leaf."""
        result = data._as_class(cls)
        if require_grad:
            result.requires_grad_(True)
        return result

    # --- autograd -------------------------------------------------------------------------------

    def _edge(self) -> Edge | None:
        """Where this tensor's gradient arrives; None if it doesn't require grad."""
        meta, base = self._meta, self._base
        if base is None:
            if meta is None:
                return None
            if meta.edge is None and meta.requires_grad:
                meta.edge = (AccumulateGrad(self), 0)
            return meta.edge
        base_edge = base._edge()
        if meta is not None and meta.base_edge is base_edge:
            return meta.edge
        if base_edge is None or not self.dtype.is_inexact:
            return None
        if type(self._relative) is view.SeveralViews:
            raise RuntimeError(SEVERAL_VIEWS_WRITE)
        node = tape.named(tape.ViewGrad, "AsStridedBackward0")(self._relative, self, base_edge)
        if meta is None:
            meta = self._meta = Meta()
        meta.base_edge = base_edge
        self._set_edge((node, 0))
        return meta.edge

    @property
    def requires_grad(self) -> bool:
        """Whether backward will compute a gradient for this tensor."""
        meta = self._meta
        if self._base is not None:
            return self._edge() is not None
        return meta is not None and (meta.requires_grad or meta.edge is not None)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    @property
    def is_leaf(self) -> bool:
        """True unless the tensor was computed from tensors that require grad."""
        return self.grad_fn is None

    @property
    def grad_fn(self) -> GradNode | None:
        """The tape's node that this tensor came out of; None for leaves."""
        edge = self._edge()
        return None if edge is None or isinstance(edge[0], AccumulateGrad) else edge[0]

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward has collected."""
        return self._meta.grad if self._meta is not None else None

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is None:
            if self._meta is not None:
                self._meta.grad = None
            return
        if not isinstance(value, Tensor):
            raise TypeError(
                f"assigned grad expected to be a Tensor or None but got grad of type "
                f"{type(value).__name__}"
            )
        if value is self:
            raise RuntimeError("can't assign Variable as its own grad")
        if value._shape != self._shape:
            raise RuntimeError(
                f"assigned grad has data of a different size: {list(value._shape)}, the tensor "
                f"has {list(self._shape)}"
            )
        if value.dtype is not self.dtype:
            raise RuntimeError(
                f"attempting to assign a gradient with dtype '{value.dtype}' to a tensor with "
                f"grad_dtype '{self.dtype}'. The gradient must match the tensor's dtype"
            )
        if self._meta is None:
            self._meta = Meta()
        self._meta.grad = value

    @grad.deleter
    def grad(self) -> None:
        self.grad = None

    @property
    def data(self) -> Tensor:
        """The same memory without history; assigning replaces the memory."""
        result = self._alias()
        result._relative = view.DATA
        return result

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        if self.requires_grad and not value.dtype.is_inexact:
            raise RuntimeError(
                "data set to a tensor that requires gradients must be floating point or complex "
                "dtype"
            )
        self._storage, self._steps, self.dtype = value._storage, value._steps, value.dtype
        self._shape, self._strides, self._offset = value._shape, value._strides, value._offset
        self._seen = self._read = None

    @property
    def output_nr(self) -> int:
        """Which output of `grad_fn` this tensor is."""
        edge = self._edge()
        return edge[1] if edge is not None else 0

    @property
    def retains_grad(self) -> bool:
        """True if a non-leaf keeps its gradient (`retain_grad`)."""
        return self._meta is not None and self._meta.retains

    # --- description ----------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """The extents of the axes."""
        return Size(self._shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._shape)

    @property
    def device(self) -> device:
        """Where the tensor's memory is."""
        return device_of(self._storage.node.device)

    @property
    def _version(self) -> int:
        return self._storage.version

    @overload
    def stride(self, dim: None = None) -> Strides: ...
    @overload
    def stride(self, dim: int) -> int: ...
    def stride(self, dim: int | None = None) -> Strides | int:
        """The distance in memory, in elements, between neighbours along each axis (or one)."""
        strides = self._strides
        if strides is None:
            strides = view.contiguous_strides(self._shape)
        return strides if dim is None else strides[dim]

    def __len__(self) -> int:
        if not self._shape:
            raise TypeError("len() of a 0-d tensor")
        return self._shape[0]

    def __hash__(self) -> int:
        return id(self)


_new = object.__new__


def _chain(steps: Steps, first: Step, second: Step | None) -> Steps:
    steps = view.append(steps, first)
    return steps if second is None else view.append(steps, second)


def wrap(node: Node) -> Tensor:
    """A tensor with a fresh storage that holds `node`."""
    result = _new(Tensor)
    result._storage = Storage(node)
    result._shape = node.shape
    result.dtype = node.dtype
    result._steps = result._relative = ()
    result._strides = result._base = result._meta = result._seen = result._read = None
    result._offset = 0
    return result
