// What every page needs beside htmx.

// A link to a folded part of the page opens it, and one goes on by keyboard from there.
function unfold(id) {
  const target = id && document.getElementById(id);
  if (!(target instanceof HTMLDetailsElement)) return false;
  target.open = true;
  target.querySelector("summary").focus();
  return true;
}
document.addEventListener("click", (event) => {
  const address = event.target.closest?.("a")?.getAttribute("href") ?? "";
  if (address.startsWith("#") && unfold(address.slice(1))) event.preventDefault();
});
unfold(location.hash.slice(1));

// A menu closes when one goes elsewhere.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// What is asked for again and again stays as it was when the service cannot answer for a while, and is asked for again.
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const { status } = detail.xhr;
  if (!detail.requestConfig.triggeringEvent && (status === 429 || status >= 500)) detail.shouldSwap = false;
});

// Text that a button copies.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = "Copied";
});
