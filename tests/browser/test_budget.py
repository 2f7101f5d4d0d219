"""How much and how long the first page takes in a browser that has been nowhere yet."""

from playwright.sync_api import Browser

from local.stack import Stack

_MOST_BYTES = 150_000


def test_the_first_page_is_small(browser: Browser, stack: Stack) -> None:
    context = browser.new_context(base_url=stack.url)
    page = context.new_page()
    network = context.new_cdp_session(page)
    sizes: list[int] = []
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    network.send("Network.enable")
    page.goto("/recognise", wait_until="networkidle")
    painted = page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    context.close()
    print(f"first page: {len(sizes)} files, {sum(sizes) / 1000:.1f} kB, first contentful paint {painted:.0f} ms")
    assert len(sizes) > 2
    assert sum(sizes) < _MOST_BYTES
