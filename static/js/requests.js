// The live request list: rows appear as requests finish, keyed by id, in one batch a frame, and never under a hand.

import { LiveFeed } from "./live.js";
import { RowWriter, passes, toneOf } from "./rows.js";

const MAX_ROWS = 500;
// More rows at once than an eye can follow come without a fade, which would repaint hundreds of them each frame.
const FADED_ROWS = 8;
const SUMMARY_MS = 10000;
const RELOAD_PAUSE_MS = 5000;

const page = JSON.parse(document.getElementById("live").textContent);
const main = document.getElementById("main");
const body = document.getElementById("rows");
const list = document.getElementById("list");
const pill = document.getElementById("pill");
const pauseButton = document.getElementById("pause");
const summary = document.getElementById("live-summary");
const count = document.querySelector('[data-testid="count"]');
const dot = document.querySelector('[data-testid="live"]');
const word = dot.querySelector('[data-part="word"]');

const writer = new RowWriter(document.getElementById("row-template"), { ...page, base: `${location.pathname}` });
const known = new Set(Array.from(body.rows, (row) => row.dataset.id));
// Below the last row of a full page lies the next page; what is older than that belongs there.
const floor = page.has_older ? Number(body.lastElementChild?.dataset.started ?? 0) : 0;

let waiting = [];
let waitingCount = 0;
let isPaused = false;
let isHovered = false;
let mustReload = false;
let frame = 0;
let tally = { rows: 0, errors: 0 };

function isHeld() {
  return isPaused || isHovered || body.contains(document.activeElement);
}

function take(rows) {
  for (const row of rows) {
    if (known.has(row.id) || row.started_us < floor || !passes(row, page.filters)) continue;
    known.add(row.id);
    waiting.push(row);
    waitingCount += 1;
  }
  // A page that is held, or hidden, keeps what it could show at most.
  if (waiting.length > MAX_ROWS) {
    waiting.sort((a, b) => b.started_us - a.started_us);
    waiting.length = MAX_ROWS;
  }
  settle();
}

function settle() {
  if (isHeld()) {
    showPill();
  } else if (waiting.length && !frame) {
    frame = window.requestAnimationFrame(flush);
  }
}

function flush() {
  frame = 0;
  if (isHeld()) {
    showPill();
    return;
  }
  const rows = waiting.sort((a, b) => a.started_us - b.started_us || (a.id < b.id ? -1 : 1));
  tally.rows += waitingCount;
  waiting = [];
  waitingCount = 0;
  pill.hidden = true;
  for (const row of rows) {
    if (toneOf(row.outcome, row.status) === "bad") tally.errors += 1;
    const tr = writer.write(row);
    tr.classList.toggle("is-new", rows.length <= FADED_ROWS);
    body.insertBefore(tr, placeFor(row));
  }
  while (body.rows.length > MAX_ROWS) {
    known.delete(body.lastElementChild.dataset.id);
    body.lastElementChild.remove();
  }
  count.textContent = body.rows.length.toLocaleString("en-US");
  list.querySelector('[data-part="table"]').hidden = false;
  list.querySelector('[data-part="empty"]')?.remove();
  main.dataset.state = "ready";
}

// Newest on top by start, as the server lists them: a long request may finish after a later one.
function placeFor(row) {
  for (const tr of body.rows) {
    const started = Number(tr.dataset.started);
    if (started < row.started_us || (started === row.started_us && tr.dataset.id < row.id)) return tr;
  }
  return null;
}

function showPill() {
  pill.hidden = waitingCount === 0 && !mustReload;
  pill.textContent = mustReload ? "Much is new: load again" : `${waitingCount.toLocaleString("en-US")} new`;
}

function showState(state, seconds) {
  dot.dataset.live = state;
  if (state === "on") word.textContent = isPaused ? "Paused" : "Live";
  else if (state === "reconnecting") word.textContent = `Reconnecting in ${seconds} s`;
  else word.textContent = "Not live: load the page again";
  pauseButton.hidden = state === "off";
}

function pause(now) {
  isPaused = now;
  pauseButton.setAttribute("aria-pressed", String(now));
  pauseButton.querySelector("span").textContent = now ? "Resume" : "Pause";
  const icon = pauseButton.querySelector("use");
  icon.setAttribute("href", icon.getAttribute("href").replace(/#.*/, now ? "#play" : "#pause"));
  if (dot.dataset.live === "on") showState("on");
  settle();
}

const feed = new LiveFeed({
  path: page.socket,
  since: page.since,
  onRows: take,
  onState: showState,
  onReload: () => {
    mustReload = true;
    if (isHeld()) showPill();
    // Not at once: a page that is told so twice in a row must not spin.
    else window.setTimeout(() => location.reload(), RELOAD_PAUSE_MS * Math.random());
  },
});

pauseButton.addEventListener("click", () => pause(!isPaused));
pill.addEventListener("click", () => {
  if (mustReload) {
    location.reload();
    return;
  }
  isHovered = false;
  if (isPaused) pause(false);
  document.activeElement?.blur();
  settle();
});
body.addEventListener("pointerenter", (event) => {
  isHovered = event.pointerType === "mouse";
});
body.addEventListener("pointerleave", () => {
  isHovered = false;
  settle();
});
body.addEventListener("focusout", () => window.setTimeout(settle));
document.addEventListener("routex:live", () => pause(!isPaused));

window.setInterval(() => {
  if (!tally.rows) return;
  const errors = tally.errors ? `, ${tally.errors} failed` : "";
  summary.textContent = `${tally.rows} new ${tally.rows === 1 ? "request" : "requests"}${errors}`;
  tally = { rows: 0, errors: 0 };
}, SUMMARY_MS);

document.querySelector('[data-part="refresh"]').hidden = true;
feed.connect();
