"""`entitlements serve`: the HTTP server."""

from entitlements.errors import SettingsError


def serve() -> None:
    """Serve webhooks and queries over HTTP, as the environment says (see the README's table of settings)."""
    from entitlements.cli import running

    settings = running.settings_from_environment()
    if missing := settings.missing_for_serve():
        raise SettingsError(missing)
    with running.own_store(settings) as store:
        running.run(lambda: running.serve(settings, store, _ready))


def _ready(url: str) -> None:
    from entitlements.cli.running import log

    log.info("serving", url=url)
