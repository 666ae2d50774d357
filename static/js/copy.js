// Copy buttons: `data-copy` names the element whose text goes to the clipboard.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.querySelector(button.dataset.copy);
  const text = source.value ?? source.textContent;
  const status = document.querySelector("#copy-status, #toasts");
  try {
    await navigator.clipboard.writeText(text.trim());
    say(button, status, "Copied");
  } catch {
    // Without https there is no clipboard: select it, so that one key press copies.
    const range = document.createRange();
    range.selectNodeContents(source);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    say(button, status, "Selected: press Ctrl+C");
  }
});

function say(button, status, word) {
  button.dataset.label ??= button.textContent;
  button.textContent = word;
  if (status?.id === "copy-status") status.textContent = word;
  window.setTimeout(() => {
    button.textContent = button.dataset.label;
  }, 2000);
}
