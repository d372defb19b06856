// The page: which view is shown, in which language and colours, with which key, and whether the endpoint is there.

import * as ask from "./ask.js";
import { announce, byId, el, put } from "./dom.js";
import { Gone, health, key, onKeyWanted, Refused } from "./endpoint.js";
import { changeKey, wantKey } from "./key.js";
import * as leaderboard from "./leaderboard.js";
import * as row from "./row.js";
import * as run from "./run.js";
import * as runs from "./runs.js";
import { otherLanguage, t } from "./words.js";

const VIEWS = { ask, leaderboard, runs, run, row };
const THEMES = ["auto", "light", "dark"];
const HEALTH_EVERY_MS = 15000;

let shown = null; // the view's name
let leaving = new AbortController(); // what the view that is left still waits for
let state = null; // the last answer of /healthz

// ---- which view

/** The view that an address names, and its parts: #/runs/ID/rows/QUESTION?filters */
function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [first, ...parts] = path.split("/").filter(Boolean).map(decoded);
  const named = first === "runs" ? ["runs", "run", "run", "row"][Math.min(parts.length, 3)] : first;
  return { name: VIEWS[named] ? named : "ask", parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // no address of ours
  }
}

async function turn() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { name, parts, query } = place();
  const isOther = name !== shown;
  shown = name;
  for (const each of Object.keys(VIEWS)) byId(each).hidden = each !== name;
  entitle();
  if (isOther) window.scrollTo(0, 0);
  if (isOther && document.body.dataset.ready) byId(`${name}-title`).focus({ preventScroll: true });
  await follow(VIEWS[name], signal, parts, query);
}

/** Opens a view and, as long as it wants to, keeps it up to date. */
async function follow(view, signal, parts, query) {
  try {
    for (;;) {
      await view.open?.(signal, parts, query);
      if (signal.aborted) return;
      problem(null);
      window.dispatchEvent(new Event("view-drawn"));
      const wait = view.again?.();
      if (!wait) return;
      await pause(wait, signal);
    }
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    if (!(error instanceof Refused)) throw error;
    problem(error);
  }
}

/** A while, and as long as nobody looks. */
function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    const go = () => (document.hidden ? document.addEventListener("visibilitychange", go, { once: true }) : resolve());
    setTimeout(go, milliseconds);
  });
}

/** Why a view cannot be shown, above it. */
function problem(error) {
  byId("problem")?.remove();
  if (!error) return;
  const text = t("refused.status", { status: error.status, message: error.message });
  byId(shown).querySelector(".lead").after(el("p", { id: "problem", class: "wrong", role: "alert" }, text));
}

function entitle() {
  const tab = shown === "run" || shown === "row" ? "runs" : shown;
  document.title = `${t(`nav.${tab}`)} – CoE-Ops`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${tab}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

// ---- language and colours

function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // storage is blocked: it lasts as long as the page
  }
}

function translate() {
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
  const other = byId("change-language");
  other.textContent = t("language.other");
  other.lang = otherLanguage();
  byId("change-theme").textContent = t(`theme.${document.documentElement.dataset.theme}`);
  if (byId("gone").hidden) tellHealth();
  else tellGone();
  for (const view of Object.values(VIEWS)) view.draw?.();
  if (shown) entitle();
}

function changeLanguage() {
  document.documentElement.lang = otherLanguage();
  remember("coe-language", document.documentElement.lang);
  translate();
}

function changeTheme() {
  const root = document.documentElement;
  root.dataset.theme = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
  remember("coe-theme", root.dataset.theme);
  byId("change-theme").textContent = t(`theme.${root.dataset.theme}`);
}

// ---- the endpoint

async function lookAtHealth() {
  try {
    state = await health();
    byId("change-key").hidden = !state.asks_for_key;
    ask.know(state.experts);
    tellHealth();
  } catch (error) {
    if (!(error instanceof Gone)) throw error;
  }
}

function tellHealth() {
  if (!state) return;
  const { status, profile, version, waiting_for: names } = state;
  const line = t("health.line", { profile, version, leaderboard: state.leaderboard ?? t("health.none") });
  put(
    byId("health"),
    el("span", { class: `light ${status}`, "aria-hidden": "true" }),
    el("strong", {}, t(`health.${status}`, { names: names.join(", ") })),
    ` · ${line}`,
  );
}

/** What was known of it does not hold any more. */
function tellGone() {
  state = null;
  put(byId("health"), el("span", { class: "light gone-light", "aria-hidden": "true" }), el("strong", {}, t("gone.title")));
}

async function start() {
  onKeyWanted(wantKey);
  byId("change-language").addEventListener("click", changeLanguage);
  byId("change-theme").addEventListener("click", changeTheme);
  byId("change-key").addEventListener("click", async () => (await changeKey()) && turn());
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address says which view is shown
    byId("main").focus();
  });
  window.addEventListener("hashchange", turn);
  window.addEventListener("endpoint-gone", tellGone);
  window.addEventListener("endpoint-back", () => {
    announce(t("gone.back"));
    lookAtHealth();
  });
  translate();
  await ask.start();
  await lookAtHealth();
  if (state?.asks_for_key && !key.get()) await wantKey();
  setInterval(() => document.hidden || lookAtHealth(), HEALTH_EVERY_MS);
  const opened = turn();
  document.body.dataset.ready = "yes";
  await opened;
}

start();
