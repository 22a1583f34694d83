"""PyTorch's forward and backward, captured as a program: `capture.py`. What is recorded is named in `operations/`."""
