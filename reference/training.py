"""Training: forward, backward and an update, again and again. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .backprop import Layer, backward, forward
from .case import Case, layers_of
from .numbers import PLAIN, Arithmetic, Matrix
from .update_rules import UPDATE_RULES, Memory, UpdateRule


@dataclass(frozen=True)
class Epoch:
    """One pass over the batch. loss: before its update;  layers: after it"""

    number: int
    loss: Matrix
    layers: tuple[Layer, ...]


def train(case: Case, rule: str = "delta rule", ar: Arithmetic = PLAIN) -> Iterator[Epoch]:
    """One update per pass over the whole batch, without an end; stop when you have seen enough.

    The case's learning rate, or the rule's usual one.
    """
    chosen = UPDATE_RULES[rule]
    rate = case.learning_rate or chosen.usual_rate
    layers = layers_of(case, ar)
    inputs, targets = ar.lift(case.inputs), ar.lift(case.targets)
    objective = case.objective
    memories: list[tuple[Memory, Memory]] = [
        (_zeros(chosen, layer.weights, ar), _zeros(chosen, layer.biases, ar)) for layer in layers
    ]
    number = 0
    while True:
        number += 1
        found = backward(layers, inputs, targets, forward(layers, inputs, ar), objective, ar)
        moved = []
        for k, layer in enumerate(layers):
            of_weights, of_biases = memories[k]
            weights, of_weights = chosen.step(layer.weights, found.weight_gradients[k], of_weights, rate, number, ar)
            biases = layer.biases
            if biases is not None:
                biases, of_biases = chosen.step(biases, found.bias_gradients[k], of_biases, rate, number, ar)
            memories[k] = (of_weights, of_biases)
            moved.append(replace(layer, weights=weights, biases=biases))
        layers = tuple(moved)
        yield Epoch(number, found.loss, layers)


def _zeros(rule: UpdateRule, like: Matrix | None, ar: Arithmetic) -> Memory:
    if like is None:
        return ()
    rows, columns = ar.shape(like)
    return tuple(ar.lift([[0.0] * columns for _ in range(rows)]) for _ in range(rule.remembers))
