"""The published test vectors: data only. `backproof.reports.vectors` makes and reads them."""
