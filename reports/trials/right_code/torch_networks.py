"""Right PyTorch modules and functions, drawn from a number: called by `rule_trials.py`, which checks their gradients.

Here: the seven families together, and perceptrons and convolutional networks. The others stand in files beside this.
"""

# mypy: allow-subclassing-any, allow-untyped-calls
# of PyTorch, which is typed in parts, and not where it is absent

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...any_network import NumbersReport, RuleReport
from .drawn import FAMILIES, NETWORKS, PRIMES, USUAL, Dice, Drawn, Manner, dice

STREAM = 21


@dataclass(frozen=True)
class Subject:
    """A function of these inputs; those that require a gradient are differentiated, and a module's parameters.

    finding: what is known to be inaccurate in it, of PyTorch's own
    """

    words: str
    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    finding: str = ""


def draw(number: int, sizes: tuple[int, ...] = PRIMES, manner: Manner = USUAL) -> Drawn:
    """Configuration `number`: of each family in turn."""
    from .torch_compositions import composition
    from .torch_custom import custom
    from .torch_losses import loss
    from .torch_sequences import recurrent, transformer

    families: dict[str, Callable[[Dice, torch.dtype], Subject]] = dict(
        zip(FAMILIES, (mlp, cnn, recurrent, transformer, loss, custom, composition), strict=True)
    )
    family, thrown = FAMILIES[number % len(FAMILIES)], dice(number, STREAM, sizes)
    drawn = thrown.dtype()
    dtype = "float16" if manner.half else drawn
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch, about unusual sizes, once in a process
        torch.manual_seed(number)
        subject = families[family](thrown, getattr(torch, dtype))
    if family not in NETWORKS:
        manner = replace(manner, scale=1.0, autocast=False)
    subject = _run_in(replace(manner, autocast=manner.autocast and dtype == "float32"), subject)
    return Drawn(family, dtype, subject.words, lambda: report(subject), subject.finding, lambda: numbers(subject))


class Autocast(nn.Module):
    """A function whose products are computed in bfloat16."""

    def __init__(self, function: Callable[..., Any], device: str) -> None:
        super().__init__()
        self.function, self.device = function, device

    def forward(self, *inputs: Any) -> Any:
        with torch.autocast(self.device, torch.bfloat16):
            return self.function(*inputs)


def _run_in(manner: Manner, subject: Subject) -> Subject:
    """The same function, its inputs scaled, under autocast, compiled. The process has so many threads from now on."""
    torch.set_num_threads(manner.threads)
    tensors = [x for x in subject.inputs if isinstance(x, Tensor) and x.is_floating_point()]
    with torch.no_grad():
        scaled = [x * manner.scale for x in tensors]
        for x, moved in zip(tensors, scaled, strict=True):
            if manner.scale != 1 and moved.isfinite().all():
                x.data = moved
    function, finding = subject.function, subject.finding
    if manner.compiler == "inductor" and isinstance(function, nn.Module) and any(map(_overhangs, function.modules())):
        finding = finding or OVERHANGING
    if manner.compiler in ("aot_eager", "inductor") and "as_strided" in subject.words:
        finding = finding or OVERLAPPING
    if manner.autocast:
        function = Autocast(function, tensors[0].device.type if tensors else "cpu")
    if manner.compiler:
        torch.compiler.reset()  # what was compiled before counts against a limit
        function = torch.compile(function, backend=manner.compiler, dynamic=False)
    return replace(subject, function=function, words=subject.words + manner.words, finding=finding)


OVERHANGING = "of an average's last windows, with ceil_mode, inductor divides the gradient by too much (pytorch#198119)"
OVERLAPPING = "compiled, windows of as_strided that overlap do not add up their gradients (as in pytorch#174371)"


def _overhangs(module: nn.Module) -> bool:
    return type(module).__name__.startswith(("AvgPool", "LPPool")) and bool(getattr(module, "ceil_mode", False))


def numbers(subject: Subject) -> NumbersReport:
    """Of a run of a subject."""
    from ...any_network.torch_doors import check_numbers

    return check_numbers(subject.function, subject.inputs)


def report(subject: Subject) -> RuleReport:
    """The rule check of a subject."""
    from ...any_network.torch_doors import rule_of

    return rule_of(subject.function, subject.inputs)


def leaf(thrown: Dice, shape: tuple[int, ...], dtype: torch.dtype, scale: float = 1.0, grad: bool = True) -> Tensor:
    """Random numbers in one of the layouts that a tensor may have: its axes in memory in another order, or expanded."""
    layout = thrown.one_of(("plain", "plain", "plain", "transposed", "strided", "expanded"))
    numbers = torch.tensor(scale * thrown.numbers(shape)).to(dtype)
    if layout == "transposed" and len(shape) > 1:
        numbers = numbers.transpose(0, -1).contiguous().transpose(0, -1)
    elif layout == "strided" and shape:
        numbers = torch.stack([numbers, numbers], -1)[..., 0]
    elif layout == "expanded" and len(shape) > 1 and grad:
        numbers = numbers[:1].expand(shape)
    return numbers.detach().requires_grad_(grad)


def module_of(thrown: Dice, module: nn.Module, dtype: torch.dtype) -> tuple[nn.Module, str]:
    """In this format, in training or evaluation, with parameters and statistics that are no round numbers."""
    module = module.to(dtype)
    training = thrown.flag()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == 1 and float(parameter.min()) == float(parameter.max()):
                parameter.add_(torch.tensor(0.3 * thrown.numbers(parameter.shape)).to(dtype))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.tensor(0.5 * thrown.numbers(buffer.shape)))
            elif name.endswith("running_var"):
                buffer.copy_(torch.tensor(0.5 + thrown.numbers(buffer.shape) ** 2))
    return module.train(training), "training" if training else "evaluation"


# ------------------------------------------------------------------------------------ perceptrons

ACTIVATIONS: dict[str, Callable[[Dice], nn.Module]] = {
    "ReLU": lambda _: nn.ReLU(),
    "ReLU in place": lambda _: nn.ReLU(inplace=True),
    "LeakyReLU": lambda d: nn.LeakyReLU(d.one_of((0.01, 0.2))),
    "PReLU": lambda _: nn.PReLU(),
    "RReLU": lambda _: nn.RReLU(),
    "ELU": lambda d: nn.ELU(d.one_of((1.0, 0.5))),
    "CELU": lambda d: nn.CELU(d.one_of((1.0, 0.5))),
    "CELU 0.7": lambda _: nn.CELU(0.7),
    "SELU": lambda _: nn.SELU(),
    "GELU": lambda _: nn.GELU(),
    "GELU tanh": lambda _: nn.GELU(approximate="tanh"),
    "SiLU": lambda _: nn.SiLU(),
    "Mish": lambda _: nn.Mish(),
    "Softplus": lambda d: nn.Softplus(d.one_of((1, 2))),
    "Softsign": lambda _: nn.Softsign(),
    "Tanh": lambda _: nn.Tanh(),
    "Sigmoid": lambda _: nn.Sigmoid(),
    "LogSigmoid": lambda _: nn.LogSigmoid(),
    "Hardtanh": lambda _: nn.Hardtanh(-0.7, 0.9),
    "Hardswish": lambda _: nn.Hardswish(),
    "Hardsigmoid": lambda _: nn.Hardsigmoid(),
    "ReLU6": lambda _: nn.ReLU6(),
    "Tanhshrink": lambda _: nn.Tanhshrink(),
    "Softshrink": lambda _: nn.Softshrink(0.2),
    "Hardshrink": lambda _: nn.Hardshrink(0.2),
    "Threshold": lambda _: nn.Threshold(0.1, -0.3),
    "Softmax": lambda _: nn.Softmax(-1),
    "LogSoftmax": lambda _: nn.LogSoftmax(-1),
    "Softmin": lambda _: nn.Softmin(-1),
}

# Found by this trial in PyTorch 2.13, in float64: constants of the gradient that are rounded to float32, off by 3e-8.
INACCURATE = {
    "Hardsigmoid": "its gradient of hardsigmoid holds 1/6 in float32",
    "CELU 0.7": "its gradient of celu holds 1/alpha in float32",
}


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


def mlp(thrown: Dice, dtype: torch.dtype) -> Subject:
    """Linear layers with activations; normalised, with dropout, residual or weight-normalised, some of them."""
    batch, width = thrown.batch(), thrown.size()
    x = leaf(thrown, (batch, width), dtype, grad=thrown.flag(0.8))
    layers: list[nn.Module] = []
    words = [f"batch {batch}"]
    for _ in range(thrown.one_of((1, 1, 2, 2, 3))):
        units = thrown.size()
        linear: nn.Module = nn.Linear(width, units, bias=thrown.flag(0.8))
        if thrown.flag(0.1):
            linear = nn.utils.parametrizations.weight_norm(linear)
            words.append("weight norm")
        layers.append(linear)
        words.append(f"{width} → {units}")
        width = units
        norm = thrown.one_of(("", "", "LayerNorm", "RMSNorm", "BatchNorm1d"))
        if norm == "BatchNorm1d" and batch == 1:
            norm = ""
        if norm:
            layers.append(getattr(nn, norm)(width))
            words.append(norm)
        name = thrown.one_of(list(ACTIVATIONS))
        layers.append(ACTIVATIONS[name](thrown))
        words.append(name)
        extra = thrown.one_of(("", "", "Dropout", "AlphaDropout", "residual", "GLU"))
        if extra == "residual":
            layers.append(Residual(nn.Sequential(nn.Linear(width, width), nn.Tanh())))
        elif extra == "GLU":
            layers.append(nn.Sequential(nn.Linear(width, 2 * width), nn.GLU()))
        elif extra:
            layers.append(getattr(nn, extra)(0.3))
        words += [extra] if extra else []
    module, mode = module_of(thrown, nn.Sequential(*layers), dtype)
    finding = next((said for name, said in INACCURATE.items() if name in words and dtype is torch.float64), "")
    return Subject(", ".join([*words, mode]), module, (x,), finding)


# ------------------------------------------------------------------------------------ convolutions


def cnn(thrown: Dice, dtype: torch.dtype) -> Subject:
    """A convolution, a norm, an activation and a pooling; then a second of some of them, and a head."""
    rank = thrown.one_of((1, 2, 2, 2, 3))
    batch = thrown.one_of((1, 2))
    channels = thrown.one_of((2, 3))
    long = {1: (7, 8), 2: (4, 5), 3: (3, 3)}[rank]
    x = leaf(thrown, (batch, channels, *(thrown.one_of(long) for _ in range(rank))), dtype, grad=thrown.flag(0.8))
    layers: list[nn.Module] = []
    words = ["×".join(map(str, x.shape))]
    probe = x.detach().double()
    for _ in range(thrown.whole(1, 2) if rank < 3 else 1):
        made = [_convolution(thrown, probe.shape, rank)]
        made += [_norm(thrown, made[0][0], rank)] if thrown.flag(0.7) else []
        if thrown.flag(0.6):
            name = thrown.one_of(("ReLU", "LeakyReLU", "Tanh", "SiLU", "GELU", "ELU", "Hardswish"))
            made.append((ACTIVATIONS[name](thrown), name))
        if thrown.flag(0.7):
            made.append(_resampling(thrown, rank))
        for layer, word in made:
            try:
                probed = layer.double()(probe).detach()
            except (RuntimeError, ValueError):
                continue  # it does not fit this shape
            if probed.isneginf().any():
                continue  # a window of nothing but padding: PyTorch writes its gradient beyond the tensor
            if probed.numel() and min(probed.shape[2:]) and probed.numel() <= LARGEST:
                layers.append(layer)
                words.append(word)
                probe = probed
    if thrown.flag(0.3):
        layers += [nn.Flatten(), nn.Linear(probe[0].numel(), 2).double()]
        words.append("flatten, linear")
    module, mode = module_of(thrown, nn.Sequential(*layers), dtype)
    x.requires_grad_(x.requires_grad or not list(module.parameters()))  # something must be differentiated
    return Subject(", ".join([*words, mode]), module, (x,))


LARGEST = 150  # elements of a result


def _convolution(thrown: Dice, shape: torch.Size, rank: int) -> tuple[nn.Module, str]:
    channels = int(shape[1])
    groups = thrown.one_of((1, 1, channels))
    out = groups * thrown.one_of((1, 2)) if groups > 1 else thrown.one_of((1, 2, 3))
    kernel = tuple(thrown.one_of((1, 2, 3) if rank < 3 else (1, 2)) for _ in range(rank))
    stride, dilation = thrown.one_of((1, 1, 2)), thrown.one_of((1, 1, 2))
    bias = thrown.flag()
    if thrown.flag(0.25):
        padding = thrown.one_of((0, 1))
        more = thrown.one_of((0, 1)) if max(stride, dilation) > 1 else 0
        layer = getattr(nn, f"ConvTranspose{rank}d")(
            channels, out, kernel, stride, padding, more, groups=groups, bias=bias, dilation=dilation
        )
        words = f"transposed convolution to {out}, {kernel}, {stride=}, {padding=}, +{more}"
        return layer, f"{words}, {groups=}, {dilation=}"
    mode = thrown.one_of(("zeros", "zeros", "zeros", "reflect", "circular", "replicate"))
    fitted = "same" if stride == 1 and thrown.flag(0.3) else thrown.one_of((0, 1))
    layer = getattr(nn, f"Conv{rank}d")(
        channels, out, kernel, stride, fitted, dilation, groups=groups, bias=bias, padding_mode=mode
    )
    return layer, f"convolution to {out}, {kernel}, {stride=}, padding {fitted} of {mode}, {groups=}, {dilation=}"


def _norm(thrown: Dice, convolution: Any, rank: int) -> tuple[nn.Module, str]:
    channels = int(convolution.out_channels)
    name = thrown.one_of(("BatchNorm", "BatchNorm", "InstanceNorm", "GroupNorm", "local response", "channels first"))
    affine, tracked = thrown.flag(0.7), thrown.flag(0.7)
    if name == "GroupNorm":
        groups = thrown.one_of([g for g in (1, 2, 3) if channels % g == 0])
        return nn.GroupNorm(groups, channels, affine=affine), f"GroupNorm in {groups}"
    if name == "local response":
        return nn.LocalResponseNorm(2), name
    if name == "channels first":
        return nn.GroupNorm(1, channels, affine=affine), "GroupNorm in 1"
    layer = getattr(nn, f"{name}{rank}d")(channels, affine=affine, track_running_stats=tracked)
    return layer, f"{name}{' with statistics' if tracked else ''}{' and weights' if affine else ''}"


def _resampling(thrown: Dice, rank: int) -> tuple[nn.Module, str]:
    name = thrown.one_of(
        ("MaxPool", "MaxPool", "AvgPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "LPPool", "Upsample", "Pad")
    )
    kernel, stride, ceil = thrown.one_of((2, 3)), thrown.one_of((1, 2)), thrown.flag(0.3)
    if name == "MaxPool":
        dilation = thrown.one_of((1, 1, 2))
        layer = getattr(nn, f"MaxPool{rank}d")(kernel, stride, thrown.one_of((0, 1)), dilation, ceil_mode=ceil)
    elif name == "AvgPool":
        padding, counted = thrown.one_of((0, 1)), thrown.flag()
        layer = getattr(nn, f"AvgPool{rank}d")(kernel, stride, padding, ceil, counted)
    elif name == "LPPool":
        layer = getattr(nn, f"LPPool{rank}d")(thrown.one_of((1, 2, 3)), kernel, stride, ceil)
    elif name == "Upsample":
        mode = thrown.one_of(("nearest", {1: "linear", 2: "bilinear", 3: "trilinear"}[rank], "bicubic"))
        layer = nn.Upsample(scale_factor=2, mode=mode, align_corners=None if mode == "nearest" else thrown.flag())
    elif name == "Pad":
        kind = thrown.one_of(("Zero", "Constant", "Reflection", "Replication", "Circular"))
        more = (0.5,) if kind == "Constant" else ()
        layer = getattr(nn, f"{kind}Pad{rank}d")(1, *more)
    else:
        layer = getattr(nn, f"{name}{rank}d")(thrown.one_of((1, 2, 3)))
    return layer, str(layer).replace("\n", " ")
