"""JAX's forward and backward, captured as a program."""
