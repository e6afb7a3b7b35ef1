"""What is held, reconciled with Stripe: its subscriptions are walked, and what differs is read in by the one door.

Each read is fenced (reading.py): it never overwrites what is newer, whatever comes between the preview and the writing,
and what is in step is not written. Only a whole walk can say what is gone there, and even then Stripe is asked for it.
"""

from entitlements.reconcile.found import Found, Scope, Sums
from entitlements.reconcile.walk import Reconciliation

__all__ = ["Found", "Reconciliation", "Scope", "Sums"]
