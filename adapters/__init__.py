"""Run a case somewhere and return an Observation. Adapters never judge. A new framework is one file here.

A module of this package that defines `ADAPTER` is an adapter. Other distributions add theirs under the entry-point
group `backproof.adapters`, each entry naming an `Adapter`.
"""
