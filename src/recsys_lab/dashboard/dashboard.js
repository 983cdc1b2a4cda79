"use strict";
// The address of the page says what is shown. This script changes the address, asks the server for
// the parts of the page at that address, and puts those that changed in their places.

const form = document.getElementById("controls");
const lost = document.getElementById("lost");
const refresh = 1000 * Number(document.body.dataset.refresh);
const soon = 250; // milliseconds after the last key
const shown = {}; // the HTML of each part, as it came
let tag = ""; // of the last answer
let asked = 0; // number of the last request: answers of earlier ones are dropped

async function update() {
  const number = ++asked;
  const query = location.search;
  try {
    const answer = await fetch(`view${query}`, {
      cache: "no-store", headers: tag ? { "If-None-Match": tag } : {},
    });
    if (number !== asked) return;
    lost.hidden = answer.ok || answer.status === 304;
    if (!answer.ok) return;
    const parts = await answer.json();
    if (number !== asked || query !== location.search) return;
    tag = answer.headers.get("ETag") || "";
    const place = focused();
    for (const [id, html] of Object.entries(parts)) {
      if (shown[id] === html) continue;
      shown[id] = html;
      put(document.getElementById(id), html);
    }
    placeholders();
    const lostFocus = place && document.activeElement === document.body;
    if (lostFocus) document.querySelector(place)?.focus({ preventScroll: true });
  } catch {
    if (number === asked) lost.hidden = false;
  }
}

// Where a reader who uses the keyboard is, to be found again in new content.
function focused() {
  const key = document.activeElement.closest("[data-key]")?.dataset.key;
  return key && `[data-key="${CSS.escape(key)}"] ${document.activeElement.localName}`;
}

// Replace the content of an element. Rows of a table that are the same stay as they are, with the
// reader's selection and place.
function put(element, html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  const old = element.querySelector("tbody");
  const body = fresh.content.querySelector("tbody");
  const head = element.querySelector("thead");
  const hasRows = old && body && old.querySelector("[data-key]");
  if (!hasRows || head.innerHTML !== fresh.content.querySelector("thead").innerHTML) {
    const box = element.querySelector(".scroll");
    const [top, left] = box ? [box.scrollTop, box.scrollLeft] : [0, 0];
    element.replaceChildren(fresh.content);
    const now = element.querySelector(".scroll");
    if (now) now.scrollTo(left, top);
    return;
  }
  const known = new Map([...old.children].map((row) => [row.dataset.key, row]));
  for (const row of [...body.children]) {
    const same = known.get(row.dataset.key);
    if (same && source(same) === row.outerHTML) row.replaceWith(same);
  }
  old.replaceWith(body);
  const note = element.querySelector(":scope > p");
  if (note) note.replaceWith(fresh.content.querySelector("p"));
}

// A row as the server would write it: what it has of this script is left out.
function source(row) {
  row.classList.remove("near");
  return row.outerHTML;
}

function placeholders() {
  for (const hint of document.querySelectorAll("[data-placeholder]")) {
    if (hint.textContent) form.elements[hint.dataset.placeholder].placeholder = hint.textContent;
  }
}

function go(params, { back = true } = {}) {
  const text = params.toString();
  const address = `${location.pathname}${text ? `?${text}` : ""}`;
  if (back) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  tag = "";
  update();
}

function toggle(id, on) {
  const params = new URLSearchParams(location.search);
  const ticked = params.getAll("run").filter((other) => other !== id);
  params.delete("run");
  for (const one of on ? [...ticked, id] : ticked) params.append("run", one);
  go(params, { back: false });
}

function fromForm() {
  const params = new URLSearchParams(location.search);
  for (const name of ["where", "group", "metric", "curve"]) {
    const value = form.elements[name].value.trim();
    if (value) params.set(name, value);
    else params.delete(name);
  }
  const column = form.elements.add.value.trim();
  if (column) {
    const hidden = params.getAll("hide").filter((other) => other !== column);
    params.delete("hide");
    for (const one of hidden) params.append("hide", one);
    params.append("add", column);
    form.elements.add.value = "";
  }
  go(params, { back: false });
}

function toForm() {
  const params = new URLSearchParams(location.search);
  for (const name of ["where", "group", "metric", "curve"]) {
    form.elements[name].value = params.get(name) || "";
  }
}

let waiting = 0;
form.addEventListener("input", (event) => {
  clearTimeout(waiting);
  if (event.target.name === "where") waiting = setTimeout(fromForm, soon);
});
form.addEventListener("change", (event) => {
  if (event.target.form === form && event.target.type !== "checkbox") fromForm();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  fromForm();
});
document.addEventListener("change", (event) => {
  if (event.target.name === "run") toggle(event.target.value, event.target.checked);
});
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="?"]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(new URLSearchParams(link.getAttribute("href")));
  toForm();
});
document.addEventListener("mouseover", (event) => {
  const near = event.target.closest("[data-run]");
  for (const one of document.querySelectorAll(".near")) one.classList.remove("near");
  if (!near) return;
  for (const one of document.querySelectorAll(`[data-run="${near.dataset.run}"]`)) {
    one.classList.add("near");
  }
});
window.addEventListener("popstate", () => {
  toForm();
  tag = "";
  update();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) update();
});

placeholders();
(async function watch() {
  if (!document.hidden) await update();
  const reading = document.querySelector(".busy"); // the first look at many records
  setTimeout(watch, reading ? soon : refresh);
})();
