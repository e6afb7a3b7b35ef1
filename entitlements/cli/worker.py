"""`entitlements worker`: what must happen without anybody asking."""


def worker() -> None:
    """Announce what the clock changes, and trim the log and the change feed to what is retained, until stopped."""
    import asyncio
    import signal

    from entitlements.cli import running

    settings = running.settings_from_environment()
    url = running.running_store_url(settings)

    async def until_stopped() -> None:
        task = asyncio.ensure_future(running.work(settings, url))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled():
            task.result()

    running.run(until_stopped)
