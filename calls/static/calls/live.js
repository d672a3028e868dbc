/* The browser's end of /ws/calls/: one socket that comes back by itself, and misses nothing meanwhile. */
"use strict";

window.phonegoggles = window.phonegoggles || {};

(function (phonegoggles) {
  const FIRST_WAIT = 1000;
  const LONGEST_WAIT = 30000;
  // So long a socket must have stood before the next failure counts as the first one again.
  const STEADY = 10000;
  // Changes that were seen already may come again after a reconnection; so many are remembered.
  const REMEMBERED = 2000;

  /* Calls `onState("connecting" | "live" | "lost")`, `onHello()` at each connection, `onCall(call, event)` for
     each change. Returns a function that tries again at once. */
  phonegoggles.listen = function ({ onState, onHello, onCall }) {
    const address = new URL("/ws/calls/", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    let cursor = null;
    let wait = FIRST_WAIT;
    let timer = null;
    let socket = null;
    const seen = new Set();

    function isNew(event) {
      const key = event && event.event_id !== undefined ? `${event.source} ${event.event_id}` : null;
      if (key === null) return true;
      if (seen.has(key)) return false;
      seen.add(key);
      if (seen.size > REMEMBERED) seen.delete(seen.values().next().value);
      return true;
    }

    function read(message) {
      if (message.cursor !== undefined) cursor = message.cursor;
      if (message.type === "hello") {
        onState("live");
        onHello();
      } else if (message.type === "call.updated" && message.call && isNew(message.event)) {
        onCall(message.call, message.event);
      }
    }

    function connect() {
      timer = null;
      if (cursor === null) address.searchParams.delete("since");
      else address.searchParams.set("since", cursor);
      const opened = Date.now();
      let lost = false;
      let greeted = false;
      socket = new WebSocket(address);
      socket.onmessage = (message) => {
        greeted = true;
        read(JSON.parse(message.data));
      };
      socket.onclose = () => {
        if (lost) return;
        lost = true;
        if (Date.now() - opened > STEADY) wait = FIRST_WAIT;
        // Perhaps the cursor is too old to catch up from, which the browser does not tell us.
        if (!greeted) cursor = null;
        onState("lost");
        // Not all at the same moment, when a server comes back that many pages wait for.
        timer = setTimeout(connect, wait * (0.5 + Math.random() / 2));
        wait = Math.min(2 * wait, LONGEST_WAIT);
      };
    }

    function retry() {
      if (timer === null) return;
      clearTimeout(timer);
      wait = FIRST_WAIT;
      connect();
    }

    addEventListener("online", retry);
    // A page that is left and comes back from the browser's memory finds its socket dead.
    addEventListener("pageshow", (event) => event.persisted && retry());
    onState("connecting");
    connect();
    return retry;
  };
})(window.phonegoggles);
