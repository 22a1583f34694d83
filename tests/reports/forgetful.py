"""A net that forgets the activation's derivative in its hidden deltas, as a file of somebody's."""

FORGETFUL = """
import numpy as np

def gradients(weights, biases, inputs, targets):
    a = [inputs]
    for w, b in zip(weights, biases):
        a.append(1 / (1 + np.exp(-(a[-1] @ w.T + b))))
    delta = (a[-1] - targets) * a[-1] * (1 - a[-1])
    dw, db = [], []
    for k in reversed(range(len(weights))):
        dw.insert(0, delta.T @ a[k])
        db.insert(0, delta.sum(axis=0))
        delta = delta @ weights[k]
    return dw, db
"""
