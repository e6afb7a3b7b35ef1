"""The three doors to one answer, asked alike: what each says of one customer and feature, in the words of the first."""

from httpx2 import Response

from entitlements.sandbox.shapes import Body
from tests.support.service import READ, Service, bearer

FIELDS = ("reason", "rule", "subscription", "quantity", "until", "then", "policy", "flags")
"""The fields of an entitlement, beside `feature` and `granted`, that are null or left out where there is nothing."""


async def post(service: Service, path: str, body: object, **headers: str) -> Response:
    """Post JSON as a known caller. `headers` as keywords, with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await service.http.post(path, json=body, headers=bearer(READ) | named)


def customer(name: str = "cus_1") -> Body:
    """Return AuthZEN's subject."""
    return {"type": "customer", "id": name}


def feature(name: str = "pro") -> Body:
    """Return AuthZEN's resource."""
    return {"type": "feature", "id": name}


USE: Body = {"name": "use"}


def question(who: str = "cus_1", what: str = "pro", **more: object) -> Body:
    """Return AuthZEN's question, with more fields if given."""
    return {"subject": customer(who), "action": USE, "resource": feature(what)} | more


def target(who: object = "cus_1", **more: object) -> Body:
    """Return OFREP's body."""
    return {"context": {"targetingKey": who} | more}


def of_v1(said: Body) -> Body:
    """Return what an entitlement says."""
    return {"granted": said["granted"], **{name: said.get(name) for name in FIELDS}}


def of_authzen(said: Body) -> Body:
    """Return what a decision says."""
    return {"granted": said["decision"], **{name: said["context"].get(name) for name in FIELDS}}


def of_ofrep(said: Body) -> Body:
    """Return what a flag says."""
    metadata = said["metadata"]
    told = {name: metadata.get(name) for name in FIELDS}
    if "then_granted" in metadata:
        told["then"] = {"granted": metadata["then_granted"], "reason": metadata["then_reason"]}
    if "flags" in metadata:
        told["flags"] = metadata["flags"].split(",")
    return {"granted": said["value"], **told}
