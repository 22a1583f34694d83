"""PyTorch's operations in ours, by family. How an entry is written: `table.py`."""

from . import (
    activations,
    attention,
    convolutions,
    distances,
    embeddings,
    linear_algebra,
    losses,
    norms,
    pointwise,
    recurrent,
    resampling,
    selection,
    sums,
)
from .table import CONSTANTS, MOVEMENTS, OPERATIONS

__all__ = ["CONSTANTS", "FAMILIES", "MOVEMENTS", "OPERATIONS"]

FAMILIES = (  # each has filled the table when it was imported
    activations, attention, convolutions, distances, embeddings, linear_algebra, losses, norms, pointwise, recurrent,
    resampling, selection, sums,
)  # fmt: skip
