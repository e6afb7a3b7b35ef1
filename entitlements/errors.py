"""The tree of what goes wrong. No HTTP in it: http/problems.py has the one table of statuses.

EntitlementsError
├── SettingsError          a setting is missing or wrong: the start stops
├── PolicyError            a policy file that cannot be used
├── SignatureInvalid       a webhook whose sender is not proven
├── BadRequest             a request that says something we cannot read
│   ├── BodyTooLarge
│   └── HeadTooLarge
├── Unauthenticated        no token, or one we do not know
├── Forbidden              a token whose scope is too small
├── NotFound               what a call is about is not there
├── Conflict               it is there, and not in a state that allows the call
├── VersionNotReached      the answer that exists is older than the caller's min_version
├── FeedUnavailable        no more can follow the changes here
├── BeyondRetention        asked about an instant that is longer ago than what is kept
├── StripeError
│   ├── StripeUnavailable  cannot be reached, or asks us to wait: try again
│   ├── StripeRefused      understood, and will not do it
│   │   └── StripeMissing  since it has no such object
│   └── StripeKeyMissing   not asked, since there is no key
└── StoreError
    ├── StoreUnavailable   cannot be reached, or refused the command: try again
    ├── StoreUnsafe        reached, and set up so that it would lose or evict decisions
    ├── NotDurable         written, but not confirmed to the configured durability
    ├── StoreBusy          other writers won every attempt at one customer's record
    ├── StoreInUse         the data directory already belongs to a running process
    └── StoreNotStarted    the embedded server did not come up
"""


class EntitlementsError(Exception):
    """Something went wrong; the message says what, and what to do about it."""


class SettingsError(EntitlementsError):
    """A setting is missing or wrong. The message names the variable."""


class PolicyError(EntitlementsError):
    """A policy file that cannot be used. The message names the file, the line and what to write instead."""


class SignatureInvalid(EntitlementsError):
    """A webhook whose signature is missing, malformed, stale, from the future or wrong."""


class BadRequest(EntitlementsError):
    """A request that cannot be read. The message says which part, and what it should be."""


class BodyTooLarge(BadRequest):
    """A request body over the limit."""


class HeadTooLarge(BadRequest):
    """An address and headers over the limit. The server answers that by itself (http/refusal.py)."""


class Unauthenticated(EntitlementsError):
    """No bearer token, or one that is not known."""


class Forbidden(EntitlementsError):
    """A known token whose scope does not cover the call."""


class NotFound(EntitlementsError):
    """What is asked for by its id is not there."""


class Conflict(EntitlementsError):
    """What is asked cannot be done as things stand. The message says what stands against it."""


class VersionNotReached(EntitlementsError):
    """The record held is older than the version that the caller has already seen."""


class FeedUnavailable(EntitlementsError):
    """This process cannot take one more who follows the changes."""


class BeyondRetention(EntitlementsError):
    """An instant before all that is still known of a customer."""


class StripeError(EntitlementsError):
    """Stripe's API did not do what it was asked."""


class StripeUnavailable(StripeError):
    """Stripe cannot be reached, failed, or limits our rate: the same call may go through later."""


class StripeRefused(StripeError):
    """Stripe understood the call and refuses it; the message has its words."""


class StripeMissing(StripeRefused):
    """Stripe has no object of that name, or has it no longer."""


class StripeKeyMissing(StripeError):
    """Something has to ask Stripe, and nobody gave this service a key."""


class StoreError(EntitlementsError):
    """The store could not do what it was asked."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, or refused the command for a reason that passes."""


class StoreUnsafe(StoreError):
    """The store would lose or evict decisions as it is set up."""


class NotDurable(StoreError):
    """The write was made, but not confirmed to the configured durability."""


class StoreBusy(StoreError):
    """Other writers won every attempt at one customer's record."""


class StoreInUse(StoreError):
    """The data directory belongs to a process that is running."""


class StoreNotStarted(StoreError):
    """The embedded server did not come up. The message carries the end of its log."""
