// A batch is sent to the API itself, which takes much more than a form may carry, with its progress.
const form = document.getElementById("begin");
const said = document.getElementById("begin-said");
const bar = document.getElementById("sent");
let choice = 0; // sent again the same files make no second batch; others do

function body(files) {
  const sent = new FormData();
  const isZip = files.length === 1 && files[0].name.toLowerCase().endsWith(".zip");
  for (const file of files) sent.append(isZip ? "archive" : "image", file, file.name);
  return sent;
}

function tell(text, isProblem = false) {
  said.textContent = text;
  said.classList.toggle("problem", isProblem);
  said.classList.toggle("muted", !isProblem);
}

function send(files) {
  const asked = new XMLHttpRequest();
  asked.open("POST", form.dataset.to);
  asked.setRequestHeader("X-CSRF-Token", document.body.dataset.csrf);
  asked.setRequestHeader("Idempotency-Key", `${form.elements.once.value}-${choice}`);
  asked.upload.onprogress = ({ loaded, total }) => {
    bar.value = total ? loaded / total : 0;
    tell(loaded < total ? `${Math.floor((100 * loaded) / total)} % sent` : "Sent; the service looks at it");
  };
  asked.onload = () => {
    let answer = {};
    try {
      answer = JSON.parse(asked.responseText);
    } catch {} // a proxy in between has answered
    if (asked.status === 202) location.assign(form.dataset.then.replace("ID", answer.id));
    else finish(answer.detail ?? `The service answered ${asked.status}`);
  };
  asked.onerror = () => finish("The service cannot be reached. Try again: nothing is done twice");
  asked.send(body(files));
}

function finish(text) {
  bar.hidden = true;
  form.querySelector("button").disabled = false;
  tell(text, true);
}

form.elements.file.addEventListener("change", () => {
  choice += 1;
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  bar.hidden = false;
  form.querySelector("button").disabled = true;
  tell("Sending");
  send(form.elements.file.files);
});
