"""`python -m entitlements` is the command line."""

from entitlements.cli import main

main()
