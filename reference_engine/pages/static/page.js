// Keeps lengths of time going between updates, and writes times in the reader's own time zone.
"use strict";
(() => {
  const pad = (number) => String(number).padStart(2, "0");

  function lengthOf(seconds) {
    const whole = Math.max(0, Math.floor(seconds));
    const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    return hours ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
  }

  function localTime(moment) {
    const date = `${moment.getFullYear()}-${pad(moment.getMonth() + 1)}-${pad(moment.getDate())}`;
    const time = `${pad(moment.getHours())}:${pad(moment.getMinutes())}:${pad(moment.getSeconds())}`;
    return new Date().toDateString() === moment.toDateString() ? time : `${date} ${time}`;
  }

  // The server's clock decides: lengths are counted from its time, not from this machine's.
  let ahead = 0;
  function readServerTime(root) {
    const told = root.querySelector?.("[data-server-time]");
    if (told) ahead = Date.parse(told.dataset.serverTime) - Date.now();
  }

  function write(root) {
    for (const element of root.querySelectorAll("time[data-since]")) {
      const text = lengthOf((Date.now() + ahead - Date.parse(element.dateTime)) / 1000);
      if (element.textContent !== text) element.textContent = text;
    }
    for (const element of root.querySelectorAll("time[data-local]")) {
      const text = localTime(new Date(element.dateTime));
      if (element.textContent !== text) { element.title = `${element.dateTime}`; element.textContent = text; }
    }
  }

  function state(text, name) {
    for (const element of document.querySelectorAll("[data-live-state]")) {
      element.textContent = text;
      element.className = `pill ${name}`;
    }
  }

  readServerTime(document);
  write(document);
  setInterval(() => write(document), 1000);
  document.addEventListener("htmx:load", (event) => { readServerTime(event.target); write(event.target); });
  document.addEventListener("htmx:sseOpen", () => state("live", "is-good"));
  document.addEventListener("htmx:sseError", () => state("not live: trying again", "is-warn"));
  document.addEventListener("htmx:sseClose", () => state("not live", "is-warn"));
})();
