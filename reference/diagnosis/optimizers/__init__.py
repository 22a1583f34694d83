"""Which optimizer, with which constants and which mistake, gives the steps that were seen. First: `finding.py`."""
