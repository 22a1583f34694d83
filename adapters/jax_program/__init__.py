"""JAX's forward and backward, captured as a program.

`capture.py` traces and `interpreter.py` reads, by the tables: `elementwise.py`, `movement.py`, `sums.py`,
`linear_algebra.py`, `control_flow.py`. `seen.py`: what is known of a variable; `by_numpy.py`: the run's own numbers.
"""
