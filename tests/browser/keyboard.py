"""What the Tab key reaches."""

from dataclasses import dataclass

from playwright.sync_api import Page

_LOOKS = """() => {
  const wanted = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]';
  const path = (element) => {
    const parts = [];
    for (; element.parentElement; element = element.parentElement) {
      parts.unshift(`${element.localName}[${[...element.parentElement.children].indexOf(element)}]`);
    }
    return parts.join(' ');
  };
  const style = (element) => {
    const is = getComputedStyle(element);
    return [is.outlineStyle, is.outlineWidth, is.boxShadow, is.borderColor, is.backgroundColor, is.stroke, is.fill];
  };
  const look = (element) => [element, element.closest('label'), ...element.querySelectorAll('*')]
    .filter(Boolean).flatMap(style).join();
  const isFirst = (radio) => {
    const group = [...document.getElementsByName(radio.name)].filter((other) => other.form === radio.form);
    return radio === (group.find((other) => other.checked) ?? group[0]);
  };
  window.readFocus = () => {
    const element = document.activeElement;
    return [path(element), element.outerHTML.slice(0, 160), look(element)];
  };
  document.activeElement.blur();
  return [...document.querySelectorAll(wanted)]
    .filter((element) => !element.disabled && element.checkVisibility({ visibilityProperty: true }))
    .filter((element) => element.type !== 'radio' || isFirst(element))
    .map((element) => [path(element), element.outerHTML.slice(0, 160), look(element)]);
}"""


@dataclass(frozen=True, slots=True)
class Walk:
    """What came of pressing Tab again and again; elements are told by their HTML."""

    missed: list[str]
    """Whatever can be used, but was not reached."""
    unmarked: list[str]
    """What looks the same with the focus as without it."""


def tab_through(page: Page) -> Walk:
    """Press Tab until everything that can be used was reached, or until it would have been."""
    wanted = {path: (html, look) for path, html, look in page.evaluate(_LOOKS)}
    missed, unmarked = dict(wanted), []
    for _ in range(3 * len(wanted) + 20):  # the parts of a date are a stop each
        if not missed:
            break
        page.keyboard.press("Tab")
        path, html, look = page.evaluate("() => window.readFocus()")
        if path in missed:
            del missed[path]
            if look == wanted[path][1]:
                unmarked.append(html)
    return Walk([html for html, _ in missed.values()], unmarked)
