"""PyTorch's forward and backward, captured as a program. `capture.py` records; `operations.py` names what is recorded."""
