// A zip goes to the API straight from the disk, piece by piece, however large it is.

import { takeDrops } from "./drop.js";

const form = document.getElementById("import");
const drop = form.querySelector(".drop");
const chosen = document.getElementById("chosen");
const sending = document.getElementById("sending");
const fault = document.getElementById("fault");
const bar = sending.querySelector("progress");
const told = sending.querySelector("p");
const MEGABYTE = 2 ** 20;
let archive = null;
let choice = 0; // sent again the same form makes no second import; another one does

form.elements.archive.required = false;

function choose(file) {
  if (!file) return;
  archive = file;
  chosen.textContent = `${file.name}, ${(file.size / MEGABYTE).toFixed(1)} MB`;
  fault.replaceChildren();
}

function refuse(text) {
  const line = document.createElement("p");
  line.className = "problem";
  line.textContent = text;
  fault.replaceChildren(line);
  sending.hidden = true;
  form.querySelector("button").disabled = false;
}

function send() {
  const query = new URLSearchParams({ collection: form.dataset.collection });
  if (form.elements.reference.value.trim()) query.set("consent", form.elements.reference.value.trim());
  if (form.elements.insist.checked) query.set("insist", "true");
  const request = new XMLHttpRequest(); // it tells how much is sent; fetch does not
  request.open("POST", `${form.dataset.imports}?${query}`);
  request.responseType = "json";
  request.setRequestHeader("Content-Type", "application/zip");
  request.setRequestHeader("X-CSRF-Token", document.body.dataset.csrf);
  request.setRequestHeader("Idempotency-Key", `${form.elements.once.value}-${archive.size}-${archive.lastModified}-${choice}`);
  request.upload.addEventListener("progress", (event) => {
    bar.value = event.loaded / event.total;
    told.textContent = `${(event.loaded / MEGABYTE).toFixed(1)} of ${(event.total / MEGABYTE).toFixed(1)} MB sent`;
  });
  request.upload.addEventListener("load", () => {
    bar.removeAttribute("value");
    told.textContent = "All is sent; the zip is looked through.";
  });
  request.addEventListener("loadend", () => {
    if (request.status === 202) {
      const place = new URL(form.dataset.jobs, location);
      place.pathname += request.response.id;
      location.assign(place);
    } else {
      refuse(request.response?.detail ?? "The service cannot be reached.");
    }
  });
  sending.hidden = false;
  form.querySelector("button").disabled = true;
  fault.replaceChildren();
  request.send(archive);
}

form.addEventListener("change", () => {
  choice += 1;
});
form.elements.archive.addEventListener("change", () => choose(form.elements.archive.files[0]));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (archive) send();
  else refuse("Choose a zip of photos first.");
});
takeDrops(drop, (files) => choose(files[0]));
