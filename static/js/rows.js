// How a live row is written: the same words and units as routex_site/console/rows.py, into the page's row template.

const pad = (number) => String(number).padStart(2, "0");

export function durationText(ms) {
  if (ms === null || ms === undefined) return "";
  const tenths = Math.floor(ms * 10 + 0.5);
  if (tenths < 100) return `${Math.floor(tenths / 10)}.${tenths % 10} ms`;
  const whole = Math.floor(ms + 0.5);
  if (whole < 1000) return `${whole} ms`;
  const hundredths = Math.floor(ms / 10 + 0.5);
  if (hundredths < 6000) return `${Math.floor(hundredths / 100)}.${pad(hundredths % 100)} s`;
  const seconds = Math.floor(ms / 1000 + 0.5);
  return `${Math.floor(seconds / 60)} m ${seconds % 60} s`;
}

export function countText(count) {
  return count === null || count === undefined ? "" : count.toLocaleString("en-US");
}

// Exact amounts come as decimal strings; shown to the cent, or with three digits where they are less than a dollar.
export function moneyText(usd) {
  if (usd === null || usd === undefined) return "";
  const [whole, places = ""] = usd.split(".");
  const nano = Number(places.padEnd(9, "0"));
  if (whole !== "0") {
    const cents = Number(whole) * 100 + Math.floor(nano / 1e7 + 0.5);
    return `$${Math.floor(cents / 100).toLocaleString("en-US")}.${pad(cents % 100)}`;
  }
  const digits = nano ? Math.min(Math.max(12 - String(nano).length, 2), 9) : 2;
  const unit = 10 ** (9 - digits);
  const rounded = Math.floor(nano / unit + 0.5) * unit;
  if (rounded >= 1e9) return "$1.00";
  return `$0.${String(rounded).padStart(9, "0").replace(/0+$/, "").padEnd(2, "0")}`;
}

export function toneOf(outcome, status) {
  if (outcome === "gone") return "muted";
  if (outcome === "failed" || outcome === "cut" || status >= 500) return "bad";
  return outcome === "refused" || status >= 400 ? "warn" : "ok";
}

export function passes(row, filters) {
  if (filters.status && Math.floor(row.status / 100) !== Number(filters.status)) return false;
  if (filters.outcome && row.outcome !== filters.outcome) return false;
  if (filters.channel && row.channel_slug !== filters.channel) return false;
  return !filters.model || row.asked_model === filters.model || row.upstream_model === filters.model;
}

export class RowWriter {
  constructor(template, { outcomes, timezone, base }) {
    this.template = template;
    this.outcomes = outcomes;
    this.base = base;
    this.clock = new Intl.DateTimeFormat("en-US", {
      timeZone: timezone,
      month: "short",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      hourCycle: "h23",
    });
  }

  moment(date) {
    const part = {};
    for (const { type, value } of this.clock.formatToParts(date)) part[type] = value;
    return `${part.month} ${part.day} ${part.hour}:${part.minute}:${part.second}`;
  }

  write(row) {
    const tr = this.template.content.firstElementChild.cloneNode(true);
    const cell = (name) => tr.querySelector(`[data-cell="${name}"]`);
    const put = (name, text) => {
      cell(name).textContent = text || "–";
    };
    const putIf = (name, text) => {
      cell(name).hidden = !text;
      cell(name).textContent = text || "";
    };
    const started = new Date(row.started_us / 1000);
    tr.dataset.id = row.id;
    tr.dataset.started = row.started_us;
    cell("link").href = `${this.base}${encodeURIComponent(row.id)}/`;
    cell("time").dateTime = started.toISOString();
    cell("time").textContent = this.moment(started);
    cell("status").dataset.tone = toneOf(row.outcome, row.status);
    cell("code").textContent = row.status;
    cell("word").textContent = this.outcomes[row.outcome] ?? row.outcome;
    putIf("error", row.error_code);
    cell("asked").textContent = row.asked_model || row.operation;
    putIf("served", row.upstream_model !== row.asked_model ? row.upstream_model : "");
    cell("stream").hidden = !row.is_stream;
    put("channel", row.channel_slug);
    putIf("tries", row.attempts > 1 ? `${row.attempts} tries` : "");
    put("key", row.key_slug || row.key_id);
    put("input", countText(row.input_tokens));
    put("output", countText(row.output_tokens));
    put("cost", moneyText(row.cost_usd));
    cell("cost").value = row.cost_usd ?? "";
    put("first", durationText(row.first_token_ms));
    put("total", durationText(row.total_ms));
    return tr;
  }
}
