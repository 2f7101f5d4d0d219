// A gallery's file goes to the API as it is: however large it may be, and no copy of it is made on the way.
const form = document.getElementById("import-form");
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = document.getElementById("import-said");
  const button = form.querySelector("button");
  const file = form.elements.file.files[0];
  button.disabled = true;
  said.className = "small";
  said.textContent = `${file.name} is being checked and imported …`;
  try {
    const answer = await fetch(form.dataset.to, {
      method: "POST",
      body: file,
      headers: {
        "Content-Type": "application/jsonl",
        "X-CSRF-Token": document.body.dataset.csrf,
        "Idempotency-Key": `${form.elements.once.value}-${file.size}-${file.lastModified}`,
      },
    });
    const told = await answer.json();
    said.className = answer.ok ? "said" : "problem";
    said.textContent = answer.ok
      ? `Imported: ${told.templates} templates of ${told.people} people; ${told.present} were there already. This is version ${told.gallery_version}.`
      : `${told.detail}.`;
  } catch {
    said.className = "problem";
    said.textContent = "The file could not be sent.";
  }
  button.disabled = false;
});
