"""Everything that knows Redis."""
