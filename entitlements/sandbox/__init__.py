"""A Stripe to try everything against: its objects, their life, and the events that tell of it.

- `shapes`: the subscription object, in the shape of each API version; pure
- `subscription`: its transitions; pure
- `event`: the events of a transition, as webhook bodies with their signature
- `scenario`: the story of one subscription, with the answers that policy promises
- `peer`: the service at the other end: events are posted to it, questions asked of it
- `forms`, `account`, `delivery`, `world`: a stateful Stripe in memory; `calls`, `api`, `hosting`: the same over HTTP
- `memory`: the subscriptions that earlier commands left
"""
