"""May this customer use this feature now? Decided from Stripe's subscription webhooks."""
