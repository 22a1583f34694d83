"""Three networks beyond dense ones, with small weights: what adapters are compared on.

An adapter has a function of the same name for each: forward(parameters by name, inputs) → loss, one number.
Sizes are small and tell axes apart; a rule does not depend on size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .program import Shape

Array = NDArray[Any]


@dataclass(frozen=True)
class Network:
    """name: of the adapters' functions;  title: for people;  parameters: shapes by name
    inputs: shapes of the real inputs;  classes: how many there are to tell apart;  count: of targets
    """

    name: str
    title: str
    parameters: Mapping[str, Shape]
    inputs: tuple[Shape, ...]
    classes: int
    count: int

    def drawn(self, seed: int = 0) -> tuple[dict[str, Array], list[Array], NDArray[np.int64]]:
        """Parameters, inputs and targets: float64, with few enough bits that float32 holds them too."""
        generator = np.random.default_rng([seed, len(self.name)])

        def array(shape: Shape, size: float) -> Array:
            return np.asarray(np.round(generator.standard_normal(shape) * size * 2**12) / 2**12)

        parameters = {
            name: array(shape, 1.0 if len(shape) == 1 else float(np.prod(shape[1:])) ** -0.5)
            for name, shape in self.parameters.items()
        }
        return parameters, [array(shape, 1.0) for shape in self.inputs], generator.integers(0, self.classes, self.count)


CNN = Network(
    "cnn",
    "convolution, batch norm, ReLU, max pooling, strided convolution, linear",
    {
        "convolution": (4, 1, 3, 3), "convolution_bias": (4,), "scale": (4,), "shift": (4,),
        "strided": (3, 4, 3, 3), "strided_bias": (3,), "linear": (5, 12), "linear_bias": (5,),
    },
    ((2, 1, 8, 8),),
    classes=5,
    count=2,
)  # fmt: skip
LSTM = Network(
    "lstm",
    "LSTM over 4 steps, linear",
    {
        "input_weights": (20, 3), "hidden_weights": (20, 5), "input_bias": (20,), "hidden_bias": (20,),
        "linear": (7, 5), "linear_bias": (7,),
    },
    ((4, 2, 3),),
    classes=7,
    count=2,
)  # fmt: skip
GPT_BLOCK = Network(
    "gpt_block",
    "embedding, layer norm, causal attention with 2 heads, GELU, tied output",
    {
        "embedding": (11, 6), "positions": (5, 6), "norm_scale": (6,), "norm_shift": (6,), "attention": (18, 6),
        "attention_bias": (18,), "projection": (6, 6), "projection_bias": (6,), "second_scale": (6,),
        "second_shift": (6,), "wide": (24, 6), "wide_bias": (24,), "narrow": (6, 24), "narrow_bias": (6,),
    },
    (),
    classes=11,
    count=5,
)  # fmt: skip
NETWORKS = (CNN, LSTM, GPT_BLOCK)
TOKENS = np.array([3, 1, 10, 1, 7], dtype=np.int32)  # of the block: one comes twice
EPSILON = 2.0**-17  # of the norms
