"""Stores that are closed again, whatever becomes of the test."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from entitlements.store.safety import Durability
from entitlements.store.store import Store


@asynccontextmanager
async def opened(url: str, durability: Durability = "fsync") -> AsyncGenerator[Store]:
    """Give an open store."""
    store = await Store.open(url, name="test", durability=durability)
    try:
        yield store
    finally:
        await store.close()
