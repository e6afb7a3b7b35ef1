"""Replay: events from the log, from Stripe or from a file, rehearsed, then taken in again."""
