/* The list of calls in progress: what is known of them, drawn as rows. Everything from outside is set as text. */
"use strict";

window.phonegoggles = window.phonegoggles || {};

(function (phonegoggles) {
  const LINGER = 4000;
  const ROWS = 100;

  function clock(milliseconds) {
    const seconds = Math.max(0, Math.floor(milliseconds / 1000));
    const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
    if (hours >= 48) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
    const rest = String(seconds % 60).padStart(2, "0");
    return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  }

  function element(name, className, ...children) {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  }

  /* `now()` is the server's clock, in milliseconds; `onChange(calls)` hears of every change of the list. */
  phonegoggles.progress = function ({ now, onChange }) {
    const known = new Map();
    const rows = new Map();
    let total = 0;
    // What is there when the page opens is no news.
    let filled = false;
    let counted = Infinity;
    let pageOf = (id) => id;
    // Once a call is known to be over, nothing older may bring it back.
    const over = new Map();

    function draw(call) {
      const status = element("span", "pg-status");
      const pair = element("span", "pg-pair");
      const time = element("span", "pg-clock");
      const row = element("a", filled ? "pg-call pg-new" : "pg-call", status, pair, time);
      row.href = pageOf(call.id);
      row.dataset.key = row.dataset.call = call.id;
      row.dataset.started = call.started_at;
      rows.set(call.id, row);
      setTimeout(() => row.classList.remove("pg-new"), 1500);
      return row;
    }

    function fill(row, call) {
      const [status, pair] = row.children;
      status.textContent = (call.status || "").replaceAll("_", " ");
      status.dataset.status = call.status;
      const caller = call.caller_number || "unknown";
      const called = call.recipient_number || "unknown";
      const ways = { inbound: " (inbound)", outbound: " (outbound)" };
      pair.replaceChildren(
        call.direction !== "outbound" && call.client_name ? `${call.client_name}, ${caller}` : caller,
        element("span", "", " → "),
        call.direction === "outbound" && call.client_name ? `${call.client_name}, ${called}` : called,
        element("span", "", `${ways[call.direction] || ""}${call.handled_by_name ? ` · ${call.handled_by_name}` : ""}`),
      );
      pair.title = pair.textContent;
      row.classList.toggle("pg-over", Boolean(call.ended_at));
      tickOne(row, call);
    }

    function tickOne(row, call) {
      const time = row.lastElementChild;
      const since = Date.parse(call.answered_at || call.ringing_at || call.started_at);
      const until = call.ended_at ? Date.parse(call.ended_at) : now();
      const word = call.ended_at ? "over" : call.answered_at ? "talking" : call.ringing_at ? "ringing" : "dialling";
      const text = clock(until - since);
      if (time.dataset.shown !== word + text) {
        time.dataset.shown = word + text;
        time.replaceChildren(element("small", "", word), " ", text);
      }
    }

    function place() {
      const box = document.getElementById("progress");
      if (!box) return;
      const shown = [...known.values()]
        .sort((one, two) => (one.started_at < two.started_at ? 1 : one.started_at > two.started_at ? -1 : 0))
        .slice(0, ROWS);
      const wanted = new Set(shown.map((call) => call.id));
      for (const [id, row] of rows) {
        if (!wanted.has(id)) {
          row.remove();
          rows.delete(id);
        }
      }
      box.querySelector(".pg-nothing")?.remove();
      // Rows that are where they belong are not touched: a moved row would lose the focus.
      shown.forEach((call, index) => {
        const row = rows.get(call.id) || draw(call);
        fill(row, call);
        if (box.children[index] !== row) box.insertBefore(row, box.children[index] || null);
      });
      if (!shown.length) box.append(element("p", "pg-nothing", "Nobody is on the telephone at the moment."));
      const going = [...known.values()].filter((call) => !call.ended_at);
      const count = Math.max(going.length, total);
      const note = document.getElementById("progress-note");
      note.textContent = count > going.length || going.length > ROWS
        ? `The latest ${Math.min(going.length, ROWS)} of ${count >= counted ? `${counted} or more` : count}.` : "";
      onChange(going, count >= counted ? `${counted}+` : String(count));
    }

    function put(call) {
      const before = known.get(call.id);
      if (before && call.version !== undefined && before.version > call.version) return;
      if (call.ended_at) {
        if (over.has(call.id)) return;
        over.set(call.id, Date.now());
        if (over.size > 1000) over.delete(over.keys().next().value);
        if (!before) return;
        known.set(call.id, call);
        total -= 1;
        setTimeout(() => {
          known.delete(call.id);
          place();
        }, LINGER);
        return;
      }
      if (over.has(call.id)) return;
      if (!before) total += 1;
      known.set(call.id, { ...call, heard: Date.now() });
    }

    return {
      /* One change, from the socket. */
      update(call) {
        put(call);
        place();
      },
      /* The whole list as the server had it when it was asked for, at `asked` on our clock. */
      replace(list, asked) {
        pageOf = (id) => list.call_url.replace("/id/", `/${encodeURIComponent(id)}/`);
        const listed = new Set(list.calls.map((call) => call.id));
        for (const [id, call] of known) {
          if (!listed.has(id) && !call.ended_at && !(call.heard > asked)) known.delete(id);
        }
        list.calls.forEach(put);
        // What ended since the server counted is known here already, and so is what has begun since.
        const ended = list.calls.filter((call) => over.has(call.id)).length;
        const begun = [...known.values()].filter((call) => !call.ended_at && !listed.has(call.id)).length;
        [total, counted] = [list.total - ended + begun, list.counted];
        place();
        filled = true;
      },
      tick() {
        for (const [id, row] of rows) if (known.has(id)) tickOne(row, known.get(id));
      },
    };
  };

  phonegoggles.clock = clock;
})(window.phonegoggles);
