"""The chain rule written once, the numbers it runs on, and the judge. Imports nothing else of backproof."""
