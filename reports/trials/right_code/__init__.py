"""Right networks and functions, drawn from a number, and right backward code: what the self-tests plant mistakes in."""
