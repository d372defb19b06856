// The list of bench runs, kept up to date while one of them runs.

import { bar } from "./charts.js";
import { byId, cards, el, put } from "./dom.js";
import { read } from "./endpoint.js";
import { interval, moment, number, percent, t } from "./words.js";

const EVERY_MS = 5000;

let runs = null;

export async function open(signal) {
  if (!runs) put(byId("run-list"), el("p", { class: "note" }, t("loading")));
  runs = (await read("v1/runs", { signal })).data;
  draw();
}

/** How soon to look again, in milliseconds. */
export const again = () => EVERY_MS;

export function draw() {
  if (!runs) return;
  const focused = document.activeElement?.closest?.("#run-list a")?.getAttribute("href");
  put(byId("run-list"), runs.length ? table() : el("p", { class: "note" }, t("runs.none")));
  // Drawn anew every few seconds: who stands on a link stays there.
  if (focused) [...byId("run-list").querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
}

function table() {
  const names = ["run", "state", "started", "data", "profile", "questions", "accuracy"];
  const rows = runs.map((run) => [
    el("a", { href: `#/runs/${encodeURIComponent(run.id)}` }, run.id),
    state(run),
    moment(run.started),
    [run.data, run.split].filter(Boolean).join(", "),
    run.profile,
    number(run.questions),
    accuracy(run.accuracy),
  ]);
  return cards(t("runs.caption"), names.map((name) => t(`runs.${name}`)), rows);
}

/** What a run is at: a mark, a word, and how far where it is not over. */
export function state(run) {
  const word = run.state === "finished" && run.incomplete ? "incomplete" : run.state;
  const { progress } = run;
  const share = progress && progress.total ? progress.done / progress.total : null;
  return el(
    "span",
    { class: `state ${word}` },
    el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[word]),
    ` ${t(`state.${word}`)}`,
    share !== null && [" ", bar(share, "far"), ` ${number(100 * share)} %`],
  );
}

const SIGNS = { running: "◐", finished: "●", incomplete: "▲", stopped: "■" };

function accuracy(figures) {
  if (!figures) return "–";
  return el("span", {}, percent(figures.accuracy), " ", el("span", { class: "soft small" }, figures.ci95 ? interval(figures.ci95) : ""));
}
