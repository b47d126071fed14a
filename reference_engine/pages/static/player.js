// The recording's player and the timeline follow each other; without a recording, the timeline leads to the words.
"use strict";
(() => {
  const one = (selector) => document.querySelector(selector);
  const audio = () => one("[data-player]");
  const drawing = () => one("[data-timeline]");
  const scroller = () => one("[data-scroller]");
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let shown = -1;

  // The cursor and the words of that moment.
  function show(seconds, follow) {
    const svg = drawing();
    if (!svg) return;
    const x = seconds * Number(svg.dataset.pxAS);
    for (const cursor of document.querySelectorAll("[data-cursor]")) {
      cursor.setAttribute("visibility", "visible");
      if (cursor.dataset.cursor === "overview") cursor.setAttribute("x", x);
      else { cursor.setAttribute("x1", x); cursor.setAttribute("x2", x); }
    }
    for (const row of document.querySelectorAll("[data-from]")) {
      const from = Number(row.dataset.from), until = Math.max(Number(row.dataset.until), from + 0.4);
      row.classList.toggle("now", from <= seconds && seconds <= until);
    }
    const box = scroller();
    if (follow && box && (x < box.scrollLeft + 20 || x > box.scrollLeft + box.clientWidth - 60)) {
      box.scrollLeft = Math.max(0, x - box.clientWidth / 4);
    }
    shown = seconds;
  }

  function follow() {
    const player = audio();
    if (!player) return;
    if (player.currentTime !== shown) show(player.currentTime, true);
    if (!player.paused && !player.ended) requestAnimationFrame(follow);
  }

  function seek(seconds, reveal) {
    const player = audio();
    if (player) player.currentTime = seconds;
    show(seconds, reveal);
  }

  function nearestRow(seconds) {
    let best = null;
    for (const row of document.querySelectorAll("[data-from]")) if (Number(row.dataset.from) <= seconds + 0.05) best = row;
    return best;
  }

  // Where the reader has scrolled to, which an update of a call that goes on must not undo; null: nowhere yet.
  let kept = null, placed = 0;

  function place() {
    const box = scroller(), svg = drawing();
    if (!box || !svg) return;
    const focus = Number(svg.dataset.focus);
    const first = focus > box.clientWidth * 0.6 ? focus - box.clientWidth * 0.4 : 0;
    box.scrollLeft = kept === "end" ? box.scrollWidth : kept ?? first;
    placed = box.scrollLeft;
    windowMoved();
  }

  function scrolled(box) {
    if (Math.abs(box.scrollLeft - placed) < 1) return;  // it was us
    kept = box.scrollLeft + box.clientWidth >= box.scrollWidth - 4 ? "end" : box.scrollLeft;
    windowMoved();
  }

  function windowMoved() {
    const box = scroller(), svg = drawing(), rect = one("[data-window]");
    if (!box || !svg || !rect) return;
    const fits = box.scrollWidth <= box.clientWidth + 1;
    rect.setAttribute("x", fits ? 0 : box.scrollLeft);
    rect.setAttribute("width", fits ? 0 : box.clientWidth);
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("[data-seek]");
    if (link) {
      event.preventDefault();
      seek(Number(link.dataset.seek), true);
      return;
    }
    const all = event.target.closest?.("[data-overview]");
    const svg = drawing();
    if (!svg) return;
    if (all) {
      const box = all.getBoundingClientRect();
      seek((event.clientX - box.left) / box.width * Number(svg.dataset.seconds), true);
      return;
    }
    if (svg.contains(event.target)) {
      const seconds = (event.clientX - svg.getBoundingClientRect().left) / Number(svg.dataset.pxAS);
      seek(Math.max(0, seconds), false);
      if (!audio()) nearestRow(seconds)?.scrollIntoView({ block: "center", behavior: calm ? "auto" : "smooth" });
    }
  });

  for (const name of ["play", "timeupdate", "seeked"]) {
    document.addEventListener(name, (event) => { if (event.target === audio()) follow(); }, true);
  }
  document.addEventListener("scroll", (event) => { if (event.target === scroller()) scrolled(event.target); }, true);
  addEventListener("resize", windowMoved);
  document.addEventListener("htmx:load", place);
  place();
})();
