"""Each wrong step explained by itself, from the numbers that it had. First to read: `by_steps.py`, `vocabulary.py`."""
