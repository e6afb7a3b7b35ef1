"""A story that on-call engineers are told: a pause with void over two renewals, heard of late and twice."""

from entitlements.ingest import Ingest, Receipt
from entitlements.sandbox.shapes import Body
from tests.support.bodies import encoded, event, pausing, subscription, update
from tests.support.histories import START

DAY, WEEK = 86_400, 7 * 86_400


def of_weeks(weeks: int, **fields: object) -> Body:
    """Return a subscription whose period ends so many weeks after START."""
    found = subscription() | fields
    items = [item | {"current_period_end": START + weeks * WEEK} for item in found["items"]["data"]]
    return found | {"items": found["items"] | {"data": items}}


PAUSED = pausing("void")
CREATED = event(of_weeks(1))
PAUSE = update(of_weeks(1), of_weeks(1, **PAUSED), created=START + 2 * DAY)
RENEWALS = [
    update(
        of_weeks(n, **PAUSED),
        of_weeks(n + 1, **PAUSED),
        id=f"evt_{n + 2}",
        created=START + n * WEEK,
    )
    for n in (1, 2)
]


async def void_pause(ingest: Ingest) -> list[Receipt]:
    """Deliver it: the pause comes an hour after the first renewal, and then once more."""
    first, second = RENEWALS
    return [
        await ingest.deliver(encoded(body), at)
        for body, at in (
            (CREATED, START + 1),
            (first, START + WEEK + 2),
            (PAUSE, START + WEEK + 3_600),
            (PAUSE, START + WEEK + 3_660),
            (second, START + 2 * WEEK + 3),
        )
    ]
