// Photos to enrol: each is sent by itself, and has its verdict as soon as it is known.

import { byTurns, takeDrops } from "./drop.js";

for (const form of document.querySelectorAll("form.enrol")) {
  const verdicts = form.querySelector(".verdicts") ?? form.parentElement.querySelector(".verdicts");
  const shown = document.getElementById("photos") ?? document.getElementById("people");
  const sendAll = byTurns(send, end);
  let enrolled = 0;

  function enrol(files, insist = false) {
    const asked = [...files].map((file) => ({ file, line: document.createElement("li"), insist }));
    for (const { line } of asked) {
      line.className = "verdict";
      verdicts.prepend(line);
    }
    sendAll(asked);
  }

  async function send({ file, line, insist }) {
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = file.name;
    const bar = document.createElement("progress");
    bar.setAttribute("aria-label", `Enrolling ${file.name}`);
    line.replaceChildren(name, bar);
    const body = new FormData(form);
    body.delete("image");
    body.delete("once"); // each photo is a request of its own
    body.append("image", file, file.name || "photo.png");
    if (insist) body.set("insist", "true");
    const headers = { "HX-Request": "true", "X-CSRF-Token": document.body.dataset.csrf };
    const html = document.createElement("template");
    try {
      const answer = await fetch(form.action, { method: "POST", headers, body });
      html.innerHTML = await answer.text();
    } catch {
      html.innerHTML = '<p class="problem" role="alert">The service cannot be reached.</p>';
    }
    const verdict = html.content.querySelector(".verdict");
    if (!verdict) {
      line.replaceChildren(name, html.content);
      return;
    }
    if (verdict.dataset.verdict === "accepted") enrolled += 1;
    verdict.querySelector(".insist")?.addEventListener("click", () => {
      verdict.remove();
      enrol([file], true);
    });
    line.replaceWith(verdict);
  }

  // What the page shows is shown anew; from the form for somebody new one goes to their page.
  function end() {
    if (enrolled) htmx.trigger(shown, "enrolled");
    if (enrolled && form.dataset.person && !verdicts.querySelector(".to-person")) {
      const line = document.createElement("li");
      const link = document.createElement("a");
      const place = new URL(form.dataset.person, location);
      place.pathname += `/${encodeURIComponent(form.elements.person.value.trim())}`;
      link.href = place;
      link.textContent = `Show ${form.elements.person.value.trim()}`;
      link.className = "button";
      line.className = "to-person";
      line.append(link);
      verdicts.append(line);
    }
    enrolled = 0;
  }

  function begin() {
    enrol([...form.elements.image.files]);
    form.elements.image.value = "";
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    verdicts.querySelector(".to-person")?.remove();
    begin();
  });
  if (!form.classList.contains("drop")) continue;
  form.elements.image.addEventListener("change", begin);
  takeDrops(form, enrol);
}

// Where a photo is not kept, or cannot be shown, the initials behind it are.
function isBroken(image) {
  return image.complete && !image.naturalWidth && image.currentSrc;
}
for (const image of document.querySelectorAll(".face-of img")) {
  if (isBroken(image)) image.remove();
}
document.addEventListener("error", (event) => {
  if (event.target.matches?.(".face-of img, .namings img")) event.target.remove();
}, true);

const print = document.getElementById("print");
if (print) {
  print.hidden = false;
  print.addEventListener("click", () => window.print());
}
