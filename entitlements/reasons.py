"""The codes that answers carry, and what each means. Stable: match on them."""

from collections.abc import Mapping

from entitlements.policy import BEHAVIORS, STATUSES

REASONS: Mapping[str, str] = {
    "trialing": "the subscription is in its trial",
    "active": "the subscription is in good standing",
    "past_due": "a payment failed: granted while the policy's grace runs, denied after it",
    "unpaid": "payment was given up",
    "canceled": "the subscription has ended, or reached the end that was set for it",
    "incomplete": "the first payment has not been made yet",
    "incomplete_expired": "the first payment was never made",
    "paused": "the subscription itself is paused, service included",
    "paused_keep_as_draft": "collection is paused, invoices are kept as drafts",
    "paused_mark_uncollectible": "collection is paused, invoices are marked uncollectible",
    "paused_void": "collection is paused, invoices are voided: granted while what was paid lasts, denied after it",
    "review_pending": "policy leaves it to a person, who has not decided yet",
    "review_grant": "a person reviewed this pause and granted",
    "review_revoke": "a person reviewed this pause and revoked",
    "metadata_grant": "support granted it in Stripe's Dashboard, by the policy's metadata key",
    "metadata_revoke": "support revoked it in Stripe's Dashboard, by the policy's metadata key",
    "override_grant": "a person granted this feature to this customer",
    "override_deny": "a person denied this feature to this customer",
    "unknown_status": "Stripe sent a status that is not known here: what held before goes on",
    "unknown_behavior": "Stripe sent a pause behaviour that is not known here: what held before goes on",
    "unknown_feature": "no subscription of the customer speaks of this feature",
    "unknown_customer": "nothing was ever heard of this customer",
}

RULES: Mapping[str, str] = {
    **{f"status.{status}": f"the policy's cell for the status `{status}`" for status in STATUSES},
    **{
        f"pause_collection.{behavior}": f"the policy's cell for the behaviour `{behavior}`"
        for behavior in BEHAVIORS
    },
    "metadata": "the value of the policy's `metadata_key` on the subscription",
    "review.grant": "a person's review",
    "review.revoke": "a person's review",
    "override.grant": "a person's override",
    "override.deny": "a person's override",
    "unknown": "nothing is stated for the unknown value: as before, or denied where nothing was held",
    "unknown.status": "the policy's cell for unknown statuses",
    "unknown.behavior": "the policy's cell for unknown behaviours",
}

FLAGS: Mapping[str, str] = {
    "ambiguous": "two events of one second could not be put in order: the answer holds until that is healed",
    "not_understood": "Stripe sent a status or behaviour that is not known here",
    "metadata_not_understood": "the policy's metadata key holds neither `grant` nor `revoke`, and is passed over",
    "pause_start_assumed": "no event tells when the pause began (a backfill, or one was lost): "
    "it is taken to have begun when first seen, so the period of that moment counts as paid",
    "has_more_items": "the subscription has more items than its events carry: what is missing may still be sold",
}


def markdown_table() -> str:
    """Return the tables of codes as the README shows them."""
    tables = ("reason", REASONS), ("rule", RULES), ("flag", FLAGS)
    return "\n\n".join(_table(head, codes) for head, codes in tables)


def _table(head: str, codes: Mapping[str, str]) -> str:
    return "\n".join(
        [
            f"| {head} | means |",
            "| --- | --- |",
            *(f"| `{code}` | {text} |" for code, text in codes.items()),
        ]
    )
