"""`torch.nn.modules.*`: the paths by which programs also reach layers and their bases.

In: nothing. Out: `nn.modules` with all layers, and below it the modules of `TABLE`, made of the
classes of `picograd.nn`. They exist for import lines alone.

>>> from picograd.nn.modules.conv import _ConvNd
>>> from picograd import nn
>>> issubclass(nn.Conv2d, _ConvNd)
True
"""

from __future__ import annotations

import importlib.machinery
import sys
from types import ModuleType
from typing import Any

from picograd import nn
from picograd.nn.layers import convolution, lazy, normalisation, pooling
from picograd.nn.layers import loss as losses
from picograd.nn.layers.attention import NonDynamicallyQuantizableLinear

TABLE = {
    "activation": "CELU ELU GELU GLU SELU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU "
    "LogSigmoid LogSoftmax Mish MultiheadAttention PReLU ReLU ReLU6 RReLU Sigmoid SiLU Softmax "
    "Softmax2d Softmin Softplus Softshrink Softsign Tanh Tanhshrink Threshold",
    "batchnorm": "BatchNorm1d BatchNorm2d BatchNorm3d LazyBatchNorm1d LazyBatchNorm2d "
    "LazyBatchNorm3d _BatchNorm _NormBase",
    "channelshuffle": "ChannelShuffle",
    "container": "ModuleDict ModuleList ParameterDict ParameterList Sequential",
    "conv": "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d "
    "LazyConv2d LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d _ConvNd "
    "_ConvTransposeNd",
    "distance": "CosineSimilarity PairwiseDistance",
    "dropout": "AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout",
    "flatten": "Flatten Unflatten",
    "fold": "Fold Unfold",
    "instancenorm": "InstanceNorm1d InstanceNorm2d InstanceNorm3d _InstanceNorm",
    "lazy": "LazyModuleMixin",
    "linear": "Bilinear Identity LazyLinear Linear NonDynamicallyQuantizableLinear",
    "loss": "BCELoss BCEWithLogitsLoss CosineEmbeddingLoss CrossEntropyLoss GaussianNLLLoss "
    "HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss MarginRankingLoss MSELoss MultiLabelMarginLoss "
    "MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss PoissonNLLLoss SmoothL1Loss SoftMarginLoss "
    "TripletMarginLoss TripletMarginWithDistanceLoss _Loss _WeightedLoss",
    "module": "Module",
    "normalization": "GroupNorm LayerNorm LocalResponseNorm RMSNorm",
    "padding": "CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d "
    "ConstantPad3d ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d "
    "ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d ZeroPad3d",
    "pixelshuffle": "PixelShuffle PixelUnshuffle",
    "pooling": "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d "
    "AdaptiveMaxPool2d AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d LPPool1d LPPool2d LPPool3d "
    "MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d _MaxPoolNd",
    "rnn": "GRU GRUCell LSTM LSTMCell RNN RNNBase RNNCell",
    "sparse": "Embedding EmbeddingBag",
    "transformer": "Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder "
    "TransformerEncoderLayer",
    "upsampling": "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
    "utils": "_single _pair _triple _quadruple _ntuple",
}


def _ntuple(n: int, name: str = "parse") -> Any:
    """The function that repeats a number `n` times, and makes a tuple of what is one already."""

    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if hasattr(x, "__iter__") else (x,) * n

    parse.__name__ = name
    return parse


# What torch calls the bases.
_OTHERS = {
    "NonDynamicallyQuantizableLinear": NonDynamicallyQuantizableLinear,
    "_BatchNorm": normalisation._BatchNorm,
    "_ConvNd": convolution._Convolution,
    "_ConvTransposeNd": convolution._Transposed,
    "_InstanceNorm": normalisation._InstanceNorm,
    "_Loss": losses.Loss,
    "_MaxPoolNd": pooling._MaxPool,
    "_NormBase": normalisation._ChannelNorm,
    "_WeightedLoss": losses.Loss,
    "_ntuple": _ntuple,
    "_single": _ntuple(1, "_single"),
    "_pair": _ntuple(2, "_pair"),
    "_triple": _ntuple(3, "_triple"),
    "_quadruple": _ntuple(4, "_quadruple"),
    "LazyModuleMixin": lazy.LazyModuleMixin,
}


def _make(name: str, members: list[str]) -> None:
    path = f"{__name__}.{name}"
    made = ModuleType(path, f"`torch.nn.modules.{name}`: names of `picograd.nn`, for imports.")
    made.__spec__ = importlib.machinery.ModuleSpec(path, None)
    for member in members:
        value = _OTHERS[member] if member in _OTHERS else getattr(nn, member)
        setattr(made, member, value)
        if not member.startswith("_"):
            globals()[member] = value
    sys.modules[path] = made
    globals()[name] = made


for _name, _members in TABLE.items():
    _make(_name, _members.split())
