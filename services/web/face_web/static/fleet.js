// Beside each slider stands its value.
document.addEventListener("input", (event) => {
  const shown = document.querySelector(`output[for="${CSS.escape(event.target.id)}"] span`);
  if (shown) shown.textContent = event.target.value;
});
