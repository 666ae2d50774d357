// A websocket that comes back: growing pauses with jitter, and always asking for what came after the last message.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;
const COME_BACK = 4408;

export class LiveFeed {
  // since: up to where the page knows everything. onState(state, pauseSeconds): "on", "reconnecting" or "off".
  constructor({ path, since, onRows, onReload, onState }) {
    this.path = path;
    this.since = Number(since);
    this.onRows = onRows;
    this.onReload = onReload;
    this.onState = onState;
    this.failures = 0;
    this.timer = 0;
  }

  connect() {
    window.clearTimeout(this.timer);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${this.path}?since=${this.since}`);
    this.socket = socket;
    let opened = false;
    socket.addEventListener("open", () => {
      opened = true;
      this.failures = 0;
      this.onState("on");
    });
    socket.addEventListener("message", (event) => this.take(JSON.parse(event.data)));
    socket.addEventListener("close", async (event) => {
      if (socket !== this.socket) return;
      if (!opened && (await this.isShutOut())) {
        this.onState("off");
        return;
      }
      this.comeBack(event.code === COME_BACK);
    });
  }

  take(message) {
    if (message.type === "rows") {
      this.since = Math.max(this.since, message.recorded_us);
      this.onRows(message.rows);
    } else if (message.type === "reload") {
      this.onReload();
    }
  }

  comeBack(atOnce) {
    const longest = atOnce ? FIRST_PAUSE_MS : Math.min(FIRST_PAUSE_MS * 2 ** this.failures, LONGEST_PAUSE_MS);
    this.failures += 1;
    // Jitter, so that a restarted server is not met by every page at once.
    const pause = longest * (0.5 + Math.random() / 2);
    this.onState("reconnecting", Math.ceil(pause / 1000));
    this.timer = window.setTimeout(() => this.connect(), pause);
  }

  // A refused handshake looks the same for a server that is away and for a person who was signed out: ask for the page.
  async isShutOut() {
    try {
      const answer = await fetch(location.href, { method: "HEAD", redirect: "manual", cache: "no-store" });
      return answer.type === "opaqueredirect" || answer.status === 404;
    } catch {
      return false;
    }
  }
}
