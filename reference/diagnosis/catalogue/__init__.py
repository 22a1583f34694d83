"""The catalogue of known mistakes, `faults.py`, and the wrong rules that it plants, by the rule they replace."""
