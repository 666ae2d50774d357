// Single-letter shortcuts, off inside fields and when the person switched them off (WCAG 2.1.4).

const isOff = document.documentElement.dataset.shortcuts === "off";

function rowLinks() {
  return Array.from(document.querySelectorAll('[data-testid="row"] a[href]'));
}

function step(by) {
  const links = rowLinks();
  const at = links.indexOf(document.activeElement);
  links[Math.max(0, Math.min(links.length - 1, at === -1 ? 0 : at + by))]?.focus();
}

const actions = {
  j: () => step(1),
  k: () => step(-1),
  o: () => rowLinks().includes(document.activeElement) && document.activeElement.click(),
  l: () => document.dispatchEvent(new Event("routex:live")),
  "/": () => document.querySelector("#filters select, #filters input")?.focus(),
  "?": () => location.assign(`/preferences/?next=${encodeURIComponent(location.pathname + location.search)}`),
  Escape: () => document.activeElement?.blur(),
};

document.addEventListener("keydown", (event) => {
  if (isOff || event.ctrlKey || event.metaKey || event.altKey || !(event.key in actions)) return;
  if (event.target.closest("input, select, textarea, [contenteditable]")) return;
  event.preventDefault();
  actions[event.key]();
});
