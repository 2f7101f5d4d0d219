// Photos that are dropped, pasted, chosen or taken, each asked about on its own, two at a time.

import { byTurns, takeDrops } from "./drop.js";

const form = document.getElementById("ask");
const photos = document.getElementById("photos");
const progress = document.getElementById("progress");
const sendAll = byTurns(send);

function ask(files) {
  const asked = [...files].map((file) => ({ file, card: waitingCard(file) }));
  photos.prepend(...asked.map(({ card }) => card).reverse()); // the last one on top
  sendAll(asked);
}

function waitingCard(file) {
  const card = document.createElement("article");
  card.className = "card answer waits";
  const title = document.createElement("h2");
  title.textContent = file.name;
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.setAttribute("aria-label", `Sending ${file.name}`);
  const preview = document.createElement("img");
  preview.alt = "";
  preview.src = URL.createObjectURL(file);
  preview.addEventListener("error", () => preview.remove()); // a kind that the browser cannot show
  card.append(title, bar, preview);
  return card;
}

// XMLHttpRequest tells how much of a photo is sent; fetch does not.
function send({ file, card }) {
  const bar = card.querySelector("progress");
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("HX-Request", "true");
    request.setRequestHeader("X-CSRF-Token", document.body.dataset.csrf);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) bar.value = event.loaded / event.total;
    });
    request.upload.addEventListener("load", () => bar.removeAttribute("value"));
    request.addEventListener("loadend", () => {
      URL.revokeObjectURL(card.querySelector("img")?.src ?? "");
      show(card, file, request.status ? request.responseText : "");
      resolve();
    });
    const body = new FormData();
    body.append("image", file, file.name || "photo.png");
    request.send(body);
  });
}

function show(card, file, html) {
  const answer = document.createElement("template");
  answer.innerHTML = html || '<p class="problem" role="alert">The service cannot be reached.</p>';
  const shown = answer.content.querySelector("article");
  if (shown) {
    card.replaceWith(shown);
    htmx.process(shown);
    const faces = [...shown.querySelectorAll("details.face .name")].map((name) => name.textContent);
    progress.textContent = `${file.name}: ${faces.join(", ") || shown.querySelector(".problem, p")?.textContent.trim()}`;
  } else {
    card.querySelector("progress").replaceWith(answer.content);
  }
}

form.image.addEventListener("change", () => {
  ask(form.image.files);
  form.image.value = "";
});
form.addEventListener("submit", (event) => event.preventDefault());

document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
  if (files.length) ask(files);
});

takeDrops(form, ask);

// The camera, where there is one and the page may ask for it.
const booth = document.getElementById("booth");
const video = booth.querySelector("video");
const refused = booth.querySelector(".problem");
const shoot = document.getElementById("shoot");
const camera = document.getElementById("camera");
camera.hidden = !navigator.mediaDevices?.getUserMedia;

camera.addEventListener("click", async () => {
  refused.hidden = true;
  shoot.disabled = true;
  booth.showModal();
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1920 } } });
    if (!booth.open) return release(); // closed while the reader was asked
    await video.play(); // before there is a picture nothing can be taken
    shoot.disabled = false;
  } catch (error) {
    refused.textContent = `The camera cannot be used: ${error.message}`;
    refused.hidden = false;
  }
});
shoot.addEventListener("click", () => {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => ask([new File([blob], "camera.jpg", { type: "image/jpeg" })]), "image/jpeg", 0.92);
  booth.close();
});
document.getElementById("close").addEventListener("click", () => booth.close());
booth.addEventListener("close", release);

function release() {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}
