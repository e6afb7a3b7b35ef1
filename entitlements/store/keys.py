"""The names of every key, in one place.

One customer's keys share a hash tag, `{partition}`, so that a commit touches one slot of a cluster. The number of
partitions is recorded in the store at its first start and never changes after it.
"""

from binascii import crc32

from entitlements.model import Subject

PARTITIONS = 64
"""How many a new store is given: enough to spread over a cluster's nodes, few enough to read as one feed."""

META = "ent:meta"
"""Hash: `partitions`, `livemode`, `policy`."""


IMPORT = "ent:import"
"""Hash, while an import is under way: the `file` (its SHA-256) and the last `line` that is written."""

EVERYTHING = "ent:*"
"""Matches every key of ours."""


def partition(name: str, partitions: int) -> int:
    """Return the partition of a subject or, for events that count for no customer, of an event id."""
    return crc32(name.encode()) % partitions


def customer(p: int, subject: Subject | str) -> str:
    """Name the hot record, of a subject or of what is called like one: a JSON string."""
    return f"ent:{{{p}}}:c:{subject}"


WRITTEN = "ent:written"
"""Channel: `<partition> <version> <subject>` of each write to a customer's records or changes."""

CUSTOMERS = "ent:{*}:c:*"
"""Matches the hot record of every customer."""


def subject_of(name: str) -> Subject:
    """Return whose hot record a key names."""
    return subject_named(name.partition(":c:")[2])


def subject_named(said: str) -> Subject:
    """Return the subject that `str` gave this name."""
    account, slash, rest = said.partition("/")
    return Subject(rest, account or None) if slash else Subject(said)


def subscription(p: int, subject: Subject, name: str) -> str:
    """Name the cold record: a JSON string. A connected account's name is part of it."""
    account = f"{subject.account}/" if subject.account else ""
    return f"ent:{{{p}}}:s:{account}{name}"


def words(p: int, subject: Subject) -> str:
    """Name what people said over policy about a customer: a JSON string."""
    return f"ent:{{{p}}}:w:{subject}"


def event(p: int, name: str) -> str:
    """Name the mark of an event that moves no subscription: `<outcome> <delivery>`, with an expiry."""
    return f"ent:{{{p}}}:e:{name}"


def waiting(p: int, name: str) -> str:
    """Name an event in the quarantine: a hash, the log's fields with the number of `attempts` and the last `why`."""
    return f"ent:{{{p}}}:q:{name}"


def policy(digest: str) -> str:
    """Name a version of the policy: a JSON string."""
    return f"ent:policy:{digest}"


SECRETS = "ent:secrets"
"""Hash: by the fingerprint of a signing secret, when (Unix seconds) a delivery was verified with it."""


def calls(second: int) -> str:
    """Name the count of calls to Stripe within one second, of all processes together."""
    return f"ent:calls:{second}"


def shared(p: int, name: str) -> str:
    """Name what a partition's customers share.

    Streams: `log`, `changes`, `audit`. Sorted sets: `due`, `paused`, `review`, `reviewed`, `expiring` (overrides by
    when they expire), `reads`, `quarantine` (event ids by the time they came, in milliseconds). A hash: `read-tries`.
    """
    return f"ent:{{{p}}}:{name}"


def replays(name: str) -> str:
    """Name what replays share: the `lease`, `runs` and `cancelled` (hashes by id); or a run's differences (a list)."""
    return f"ent:{{replays}}:{name}"


def reconcile(name: str) -> str:
    """Name what belongs to the walk of Stripe's subscriptions that workers make: the `lease`, and the `walk` (JSON)."""
    return f"ent:{{reconcile}}:{name}"
