"""What the handlers share: made once by the lifespan, given to each request."""

from collections.abc import Callable
from typing import TypedDict

from entitlements.answers import Answers
from entitlements.http.signing import Signing
from entitlements.http.watch import Watch
from entitlements.ingest import Ingest
from entitlements.policy import Policy
from entitlements.replay.background import Background
from entitlements.settings import Settings
from entitlements.store.feed import Feed
from entitlements.store.store import Store
from entitlements.stripe_api import StripeApi


class Readiness:
    """Whether to send requests here: true once started and until draining."""

    def __init__(self, on_drain: Callable[[], object] = lambda: None) -> None:
        self.draining = False
        self._on_drain = on_drain

    def drain(self) -> None:
        """Ask to be sent no more, and let go of who would stay."""
        self.draining = True
        self._on_drain()


class State(TypedDict):
    """The world as handlers see it."""

    settings: Settings
    clock: Callable[[], float]
    ingest: Ingest
    answers: Answers
    store: Store
    stripe: Callable[[], StripeApi]
    """Raises StripeKeyMissing."""
    signing: Signing
    watch: Watch
    """Whatever writes does it within `watch.safe()`."""
    feed: Feed
    readiness: Readiness
    replays: Background
    configured: Policy
    """What the environment names. The one in force is recorded in the store, and may be another one."""
