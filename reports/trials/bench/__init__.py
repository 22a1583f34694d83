"""What `backproof bench` measures: ratios within one run, and the processor's time that people wait for."""
