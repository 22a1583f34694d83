"""Runs the matrix of cases and adapters, and shows what came of it."""
