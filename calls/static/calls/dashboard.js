/* Keeps the front page true while it stands open: the socket for calls, and fresh figures now and then. */
"use strict";

(function (phonegoggles) {
  const page = document.getElementById("dashboard");
  const figures = document.getElementById("figures");
  const banner = document.getElementById("not-live");
  const state = document.getElementById("live-state");
  // Figures are fetched again so long after a call changed them, at least so often, and so often without a socket.
  const AFTER_CHANGE = 3000;
  // And never so often that the server spends more than a part of its time on it.
  const TIMES_AS_LONG = 10;
  const AT_LEAST_EVERY = 60000;
  const WITHOUT_SOCKET = 10000;

  let skew = 0;
  let socketState = "connecting";
  let fetchedAt = Date.now();
  let took = 0;
  let due = fetchedAt + AT_LEAST_EVERY;
  let fetching = false;
  let failed = false;
  let signedOut = false;

  const now = () => Date.now() + skew;

  // -- Calls in progress ------------------------------------------------------------------------

  const progress = phonegoggles.progress({
    now,
    onChange(going, count) {
      const talking = going.filter((call) => call.answered_at).length;
      for (const one of figures.querySelectorAll("[data-live-count]")) one.textContent = count;
      for (const one of figures.querySelectorAll("[data-live-split]")) {
        one.textContent = going.length ? `${talking} talking, ${going.length - talking} not answered yet` : "nobody on the telephone";
      }
    },
  });

  function readGoingOn(root, asked) {
    const list = JSON.parse(root.querySelector("#going-on").textContent);
    skew = Date.parse(list.at) - Date.now();
    progress.replace(list, asked);
  }

  function tell(call) {
    const news = document.getElementById("progress-news");
    if (news) news.textContent = `${call.caller_number} to ${call.recipient_number}: ${(call.status || "").replaceAll("_", " ")}`;
  }

  // -- Fresh figures ----------------------------------------------------------------------------

  async function refresh() {
    if (fetching || signedOut) return;
    fetching = true;
    const asked = Date.now();
    try {
      const answer = await fetch(page.dataset.figures, { headers: { Accept: "text/html" }, credentials: "same-origin", cache: "no-store" });
      // Whoever is signed out is led to the sign-in page; whoever lost the right is refused.
      signedOut = answer.redirected || answer.status === 403;
      if (signedOut) return;
      if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
      exchange(new DOMParser().parseFromString(await answer.text(), "text/html"), asked);
      failed = false;
      fetchedAt = Date.now();
      took = fetchedAt - asked;
    } catch {
      failed = true;
    } finally {
      fetching = false;
      due = Date.now() + (socketState === "live" && !failed ? AT_LEAST_EVERY : WITHOUT_SOCKET);
      showState();
    }
  }

  function exchange(fresh, asked) {
    const panels = (root) => [...root.querySelectorAll("[data-panel]")].map((panel) => panel.dataset.panel).join();
    if (panels(fresh) !== panels(figures)) {
      // The first call has come, or a right was given: the page is laid out anew.
      figures.replaceChildren(...fresh.body.childNodes);
      prepare(figures);
      readGoingOn(fresh, asked);
      return;
    }
    const focused = document.activeElement?.dataset?.key;
    for (const panel of figures.querySelectorAll("[data-panel]:not([data-kept])")) {
      const newer = fresh.querySelector(`[data-panel="${panel.dataset.panel}"]`);
      for (const opened of panel.querySelectorAll("details[open]")) {
        newer.querySelector(`details[data-key="${opened.dataset.key}"]`)?.setAttribute("open", "");
      }
      if (panel.dataset.was !== newer.innerHTML) {
        panel.dataset.was = newer.innerHTML;
        panel.replaceChildren(...newer.childNodes);
        prepare(panel);
      }
    }
    if (focused && document.activeElement === document.body) {
      figures.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    }
    readGoingOn(fresh, asked);
  }

  // -- Live, or not -----------------------------------------------------------------------------

  function showState() {
    const words = { connecting: "Connecting …", live: "Live", lost: "Not live" };
    state.dataset.state = failed || signedOut ? "lost" : socketState;
    state.querySelector("[data-text]").textContent = words[state.dataset.state];
    let text = "";
    if (failed) text = `Not live: the server does not answer. These are the figures of ${new Date(fetchedAt).toLocaleTimeString()}; retrying.`;
    else if (socketState === "lost") text = "Not live: the connection is lost, retrying. Meanwhile the page is refreshed every 10 seconds.";
    if (signedOut) {
      const link = document.createElement("a");
      link.href = location.href;
      link.textContent = "sign in again";
      banner.replaceChildren("Not live: you are signed out. Please ", link, ".");
    } else if (banner.textContent !== text) {
      banner.textContent = text;
    }
    banner.hidden = !text && !signedOut;
  }

  phonegoggles.listen({
    onState(changed) {
      socketState = changed;
      if (changed === "lost") due = Math.min(due, Date.now() + WITHOUT_SOCKET);
      showState();
    },
    onHello() {
      // What happened between the page and this moment.
      refresh();
    },
    onCall(call) {
      progress.update(call);
      tell(call);
      due = Math.min(due, Date.now() + Math.max(AFTER_CHANGE, TIMES_AS_LONG * took));
    },
  });

  // -- Once a second: clocks tick, and figures that are due are fetched ---------------------------

  function ago(milliseconds) {
    const seconds = Math.max(0, Math.floor(milliseconds / 1000));
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
    return `${Math.floor(seconds / 86400)} d`;
  }

  function tick() {
    if (document.hidden) return;
    progress.tick();
    for (const time of figures.querySelectorAll("time[data-ago]")) time.textContent = `${ago(now() - Date.parse(time.dateTime))} ago`;
    for (const time of figures.querySelectorAll("time[data-age]")) time.textContent = ago(now() - Date.parse(time.dateTime));
    if (Date.now() >= due) refresh();
  }
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", tick);

  // -- Charts: one stop for the Tab key each, arrows from bar to bar, words beside the picture -----

  function prepare(root) {
    for (const chart of root.querySelectorAll(".pg-bars")) {
      const bars = [...chart.querySelectorAll(".pg-bar")];
      bars.forEach((bar, index) => bar.setAttribute("tabindex", index ? "-1" : "0"));
    }
  }

  function say(bar) {
    const panel = bar.closest("[data-panel]");
    panel.querySelector("[data-readout]").textContent = bar.getAttribute("aria-label");
  }

  for (const kind of ["pointerover", "focusin"]) {
    figures.addEventListener(kind, (event) => {
      const bar = event.target.closest?.(".pg-bar");
      if (bar) say(bar);
    });
  }
  figures.addEventListener("keydown", (event) => {
    const bar = event.target.closest?.(".pg-bar");
    if (!bar) return;
    const bars = [...bar.closest(".pg-bars").querySelectorAll(".pg-bar")];
    const last = bars.length - 1;
    const index = bars.indexOf(bar);
    const next = { ArrowRight: Math.min(last, index + 1), ArrowLeft: Math.max(0, index - 1), Home: 0, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    bar.setAttribute("tabindex", "-1");
    bars[next].setAttribute("tabindex", "0");
    bars[next].focus();
  });

  // -- What to show -----------------------------------------------------------------------------

  // Another period or zone is another page; until it is there, the old figures are faint.
  const form = page.querySelector("form");
  const wait = () => figures.setAttribute("aria-busy", "true");
  form.addEventListener("submit", wait);
  for (const link of page.querySelectorAll(".pg-periods a")) link.addEventListener("click", (event) => event.ctrlKey || event.metaKey || wait());
  addEventListener("pageshow", () => figures.removeAttribute("aria-busy"));

  const mine = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zones = form.elements.tz;
  if ("zoneFree" in page.dataset && mine !== zones.value && [...zones.options].some((zone) => zone.value === mine)) {
    const offer = document.getElementById("use-my-zone");
    offer.textContent = `Show times in ${mine}`;
    offer.hidden = false;
    offer.addEventListener("click", () => {
      zones.value = mine;
      form.requestSubmit();
    });
  }

  prepare(figures);
  readGoingOn(figures, Date.now());
  tick();
})(window.phonegoggles);
