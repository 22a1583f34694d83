"""`python -m backproof`: the command, where its script is not on PATH."""

from .reports.cli import main

if __name__ == "__main__":
    main()
