"""Opens pages as a reader's browser does, and notes whatever no page may do."""

import re
from contextlib import suppress
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request, ViewportSize, WebError

PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1280, height=900)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PATIENCE_MS = 15_000
"""A worker may be busy."""
_LEFT_BY_THE_READER = "net::ERR_ABORTED"  # the answer to a request of a page that is left meanwhile


class Visits:
    """Pages of one service."""

    def __init__(self, browser: Browser, home: str) -> None:
        """`home`: the service's address."""
        self.home = home
        self.faults: list[str] = []
        """Errors and warnings on the console, exceptions, requests that failed or left the host."""
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._allowed: list[re.Pattern[str]] = []

    def __call__(self, path: str, *, size: ViewportSize = DESKTOP, script: bool = True) -> Page:
        """Open a page in a browser that nobody has used before."""
        context = self._browser.new_context(base_url=self.home, viewport=size, java_script_enabled=script)
        context.set_default_timeout(PATIENCE_MS)
        context.on("console", self._said)
        context.on("weberror", self._threw)
        context.on("request", self._asked)
        context.on("requestfailed", self._failed)
        self._contexts.append(context)
        page = context.new_page()
        page.goto(path)
        return page

    def allow(self, pattern: str) -> None:
        """A fault that the test is about."""
        self._allowed.append(re.compile(pattern))

    def close(self) -> None:
        """Close every page."""
        for context in self._contexts:
            context.close()

    def _note(self, fault: str) -> None:
        if not any(pattern.search(fault) for pattern in self._allowed):
            self.faults.append(fault)

    def _said(self, message: ConsoleMessage) -> None:  # what the content security policy forbids is said here too
        if message.type in {"error", "warning"}:
            self._note(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _threw(self, error: WebError) -> None:
        self._note(f"exception: {error.error}")

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in {"data", "blob"} and f"{address.scheme}://{address.netloc}" != self.home:
            self._note(f"left the host: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != _LEFT_BY_THE_READER:
            self._note(f"failed: {request.url} {request.failure}")


def settle(page: Page) -> None:
    """Wait until the page has asked for everything that it asks for by itself; one that looks again and again has."""
    with suppress(Error):
        page.wait_for_load_state("networkidle", timeout=3_000)
