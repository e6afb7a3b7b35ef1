"""OpenID AuthZEN's door to the answers, for whoever asks a policy decision point.

https://openid.net/specs/authorization-api-1_0.html
"""

from entitlements.http.authzen import evaluation, metadata, search

routes = [*evaluation.routes, *search.routes, *metadata.routes]
