"""The version, from the installed distribution's metadata."""

from importlib.metadata import version

VERSION = version("backproof")
