// Reviewing by keyboard, one key each, and without leaving the page. Without this script every form works by itself.

const review = document.getElementById("review");
const last = document.getElementById("last");
const DELAY = 6000; // ms in which a dismissal can be undone
let current = null; // the item that is worked on
let done = null; // the item that was worked on last
let pending = null; // the dismissal that has not been sent yet

const items = () => [...review.querySelectorAll(".item:not([hidden])")];

function select(item) {
  current = item ?? null;
  item?.focus();
  item?.scrollIntoView({ block: "nearest" });
}

function beside(item, step) {
  const all = items();
  const place = all.indexOf(item);
  return all[place < 0 ? 0 : Math.min(Math.max(place + step, 0), all.length - 1)];
}

// Who comes next once an item has gone.
function goOn(item) {
  const all = items();
  const place = all.indexOf(item);
  item.hidden = true;
  const left = items();
  if (left.length) select(left[Math.min(Math.max(place, 0), left.length - 1)]);
  else {
    review.querySelector(".empty").hidden = false;
    review.querySelector(".keys")?.setAttribute("hidden", "");
    (last.querySelector("button") ?? document.getElementById("main")).focus();
  }
}

function bringBack(item) {
  item.hidden = false;
  item.classList.remove("busy");
  review.querySelector(".empty").hidden = true;
  review.querySelector(".keys")?.removeAttribute("hidden");
  select(item);
}

function parse(html) {
  return document.createRange().createContextualFragment(html);
}

async function send(form, button) {
  const body = new FormData(form, button);
  for (const joined of form.closest(".item")?.dataset.joined?.split(" ") ?? []) body.append("joined", joined);
  const headers = { "HX-Request": "true", "X-CSRF-Token": document.body.dataset.csrf ?? "" };
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers, keepalive: true });
    return { ok: answer.ok, html: await answer.text() };
  } catch {
    return { ok: false, html: '<p class="problem" role="alert">The service cannot be reached. Try again.</p>' };
  }
}

async function carryOut(form, button) {
  const item = form.closest(".item") ?? current;
  item?.classList.add("busy");
  const answer = await send(form, button);
  item?.classList.remove("busy");
  if (!answer.ok) {
    for (const once of item?.querySelectorAll('[name="once"]') ?? []) once.value = String(Math.random()).slice(2);
    (item?.querySelector(".told") ?? last).replaceChildren(parse(answer.html));
    item?.focus();
    return;
  }
  last.replaceChildren(parse(answer.html));
  done = item;
  if (item) goOn(item);
}

// A dismissal waits, so that it can be undone: what is dismissed is not kept.
function dismiss(form) {
  flush();
  const item = form.closest(".item");
  pending = { form, item, timer: setTimeout(flush, DELAY) };
  const told = parse('<div class="said outcome" role="status"><span>Dismissed.</span><button type="button" data-undo>Undo <kbd class="live">u</kbd></button></div>');
  last.replaceChildren(told);
  goOn(item);
}

async function flush() {
  if (!pending) return;
  const { form, item, timer } = pending;
  pending = null;
  clearTimeout(timer);
  last.querySelector("[data-undo]")?.remove();
  const answer = await send(form);
  if (answer.ok) return;
  bringBack(item);
  item.querySelector(".told").replaceChildren(parse(answer.html));
}

async function undo() {
  if (pending) {
    const { item, timer } = pending;
    pending = null;
    clearTimeout(timer);
    last.replaceChildren();
    bringBack(item);
    return;
  }
  const form = last.querySelector('form[data-act="undo-last"]');
  if (!form) return;
  const answer = await send(form);
  last.replaceChildren(parse(answer.html));
  if (answer.ok && done && form.action.includes("/review/rejections/")) bringBack(done);
  else (beside(current, 0) ?? document.getElementById("main")).focus();
}

// Two groups are one person: they are named, or dismissed, together.
function join(item) {
  const all = items();
  const before = all[all.indexOf(item) - 1];
  if (!before || review.dataset.list !== "unknown") return;
  const joined = [before.dataset.joined, item.dataset.id, item.dataset.joined].filter(Boolean);
  before.dataset.joined = joined.join(" ");
  before.querySelector(".strip").append(...item.querySelector(".strip").children);
  const count = before.querySelector(".count");
  count.textContent = Number(count.textContent) + Number(item.querySelector(".count").textContent);
  count.parentElement.lastChild.textContent = " faces";
  item.remove();
  select(before);
}

function skip(item) {
  item.classList.add("skipped");
  const next = beside(item, 1);
  if (next !== item) select(next);
}

review.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-act]");
  if (!form) return;
  event.preventDefault();
  if (form.dataset.act === "dismiss") dismiss(form);
  else if (form.dataset.act === "undo-last") undo();
  else flush().then(() => carryOut(form, event.submitter));
});
review.addEventListener("click", (event) => {
  if (event.target.closest("[data-undo]")) undo();
});
review.addEventListener("focusin", (event) => {
  current = event.target.closest(".item") ?? current;
});

const moves = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
review.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input");
  if (typing && event.key !== "Escape") return;
  const item = event.target.closest(".item") ?? current;
  const button = item?.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (event.key === "Escape") item?.focus();
  else if (event.key in moves) select(beside(item, moves[event.key]));
  else if (event.key === "u") undo();
  else if (!item) return;
  else if (event.key === "n") item.querySelector(".name input[list]")?.focus();
  else if (event.key === "s") skip(item);
  else if (event.key === "m") join(item);
  else if (button) button.click();
  else return;
  event.preventDefault();
});
addEventListener("pagehide", flush);
if (!location.hash && document.activeElement === document.body) items()[0]?.focus({ preventScroll: true });
