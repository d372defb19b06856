// The leaderboard: a heat map of every expert on every task, and how one version differs from another.

import { byId, el, choice, facts, put, scrolling } from "./dom.js";
import { read } from "./endpoint.js";
import { interval, moment, number, percent, points, t } from "./words.js";

let versions = null;
let shown = null; // the board that is looked at
let other = null; // the one that it is compared with
const known = new Map();

export async function open(signal) {
  if (!versions) put(byId("boards"), el("p", { class: "note" }, t("loading")));
  versions = (await read("v1/leaderboards", { signal })).data;
  known.clear();
  shown = versions.length ? await board(listed(shown?.version) ?? versions[0].version, signal) : null;
  other = listed(other?.version) ? await board(other.version, signal) : null;
  draw();
}

export function draw() {
  if (!versions) return;
  if (!shown) {
    put(byId("boards"), el("p", { class: "note" }, t("board.none")));
    return;
  }
  put(byId("boards"), choices(), heat(shown), other && difference(shown, other), made(shown));
}

/** The version, where it can still be read. */
const listed = (version) => versions.find((each) => each.version === version)?.version;

async function board(version, signal) {
  if (!known.has(version)) known.set(version, indexed(await read(`v1/leaderboards/${encodeURIComponent(version)}`, { signal })));
  return known.get(version);
}

/** A leaderboard with lookups: scores by task and expert, and the best expert of each task. */
function indexed(content) {
  const tasks = [...new Set(content.scores.map((score) => score.task))];
  const experts = [...new Set(content.scores.map((score) => score.expert))].sort();
  const scores = new Map(content.scores.map((score) => [keyOf(score.task, score.expert), score]));
  const score = (task, expert) => scores.get(keyOf(task, expert));
  const ranked = (task) => experts.filter((expert) => score(task, expert)).sort((one, two) => score(task, two).accuracy - score(task, one).accuracy);
  return { ...content, tasks, experts, score, best: (task) => ranked(task)[0] };
}

const keyOf = (task, expert) => JSON.stringify([task, expert]);

function choices() {
  const options = versions.map((each) => [each.version, named(each)]);
  const rest = options.filter(([version]) => version !== shown.version);
  const none = [["", t("board.compare.none")]];
  return el(
    "div",
    { class: "choices" },
    choice("board-version", t("board.version"), options, shown.version, look),
    choice("board-other", t("board.compare"), [...none, ...rest], other?.version ?? "", compare),
  );
}

function named(each) {
  const { created, run } = each.provenance;
  return [each.version, each.served && t("board.served"), run, created && created.slice(0, 10)].filter(Boolean).join(" · ");
}

async function look(version) {
  shown = await board(version);
  if (other?.version === version) other = null;
  draw();
  byId("board-version").focus();
}

async function compare(version) {
  other = version ? await board(version) : null;
  draw();
  byId("board-other").focus();
}

function heat(board) {
  const rows = board.tasks.map((task) =>
    el("tr", {}, el("th", { scope: "row" }, task), board.experts.map((expert) => cell(board, task, expert))),
  );
  const table = el(
    "table",
    { class: "heat" },
    el("caption", { class: "unseen" }, t("board.caption")),
    head(board.experts),
    el("tbody", {}, rows),
    el("tfoot", {}, el("tr", {}, el("th", { scope: "row" }, t("board.mean")), board.experts.map((expert) => mean(board, expert)))),
  );
  return el("section", {}, el("p", { class: "note" }, t("board.note")), scrolling(t("board.caption"), table));
}

function head(experts, ...more) {
  const columns = [t("board.task"), ...experts, ...more];
  return el("thead", {}, el("tr", {}, columns.map((text) => el("th", { scope: "col" }, text))));
}

function cell(board, task, expert) {
  const score = board.score(task, expert);
  if (!score) return el("td", { class: "empty" }, "–", el("span", { class: "unseen" }, t("board.never")));
  const isBest = board.best(task) === expert;
  return el(
    "td",
    { class: isBest ? "best" : "", vars: { "--share": score.accuracy } },
    el("span", { class: "figure" }, isBest && bestMark(), percent(score.accuracy)),
    el("span", { class: "small" }, interval(score.ci95)),
    el("span", { class: "small" }, t("flow.of", { correct: number(score.correct), total: number(score.total) })),
  );
}

const bestMark = () => [el("span", { class: "mark-best", "aria-hidden": "true" }, "▲ "), el("span", { class: "unseen" }, `${t("board.best")} `)];

/** Every task weighs the same, as where the task is unknown. */
function mean(board, expert) {
  const scores = board.tasks.map((task) => board.score(task, expert)).filter(Boolean);
  const value = scores.reduce((sum, score) => sum + score.accuracy, 0) / scores.length;
  const isPart = scores.length < board.tasks.length;
  return el("td", {}, el("span", { class: "figure" }, percent(value)), isPart && el("span", { class: "small" }, t("board.partly")));
}

function difference(newer, older) {
  const names = { newer: newer.version, older: older.version };
  const tasks = [...new Set([...newer.tasks, ...older.tasks])];
  const experts = [...new Set([...newer.experts, ...older.experts])].sort();
  const rows = tasks.map((task) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, task),
      experts.map((expert) => change(newer.score(task, expert), older.score(task, expert))),
      el("td", { class: "asked" }, bestNow(newer.best(task), older.best(task))),
    ),
  );
  const table = el(
    "table",
    { class: "heat diff" },
    el("caption", { class: "unseen" }, t("board.diff.caption", names)),
    head(experts, t("board.diff.best")),
    el("tbody", {}, rows),
  );
  return el(
    "section",
    { "aria-labelledby": "difference" },
    el("h2", { id: "difference" }, t("board.diff.title", names)),
    el("p", { class: "note" }, t("board.diff.note", names)),
    scrolling(t("board.diff.caption", names), table),
  );
}

function change(now, before) {
  if (!now && !before) return el("td", { class: "empty" }, "–", el("span", { class: "unseen" }, t("board.never")));
  if (!before) return el("td", { class: "empty" }, t("board.diff.new"), el("span", { class: "small" }, percent(now.accuracy)));
  if (!now) return el("td", { class: "empty" }, t("board.diff.left"), el("span", { class: "small" }, percent(before.accuracy)));
  const by = now.accuracy - before.accuracy;
  const isClear = now.ci95[0] > before.ci95[1] || now.ci95[1] < before.ci95[0];
  const kind = [by > 0 ? "up" : by < 0 ? "down" : "", isClear ? "clear" : ""].join(" ");
  return el(
    "td",
    { class: kind, vars: { "--share": Math.abs(by) } },
    el("span", { class: "figure" }, isClear && clearMark(), points(by)),
    el("span", { class: "small" }, `${percent(before.accuracy)} → ${percent(now.accuracy)}`),
  );
}

const clearMark = () => [el("span", { "aria-hidden": "true" }, "◆ "), el("span", { class: "unseen" }, `${t("board.diff.clear")} `)];

function bestNow(newer, older) {
  if (newer === older) return t("board.diff.kept", { expert: newer });
  return el("strong", {}, t("board.diff.changed", { newer: newer ?? "–", older: older ?? "–" }));
}

function made(board) {
  const { run, data, split, profile, created, commit } = board.provenance;
  const answers = versions.find((each) => each.version === board.version).answers;
  return el(
    "section",
    { "aria-labelledby": "made" },
    el("h2", { id: "made" }, t("board.made")),
    facts(
      [
        [t("board.version"), `${board.version}, ${t("board.answers", { count: number(answers) })}`],
        [t("board.run"), run],
        [t("board.data"), data],
        [t("board.split"), split],
        [t("board.profile"), profile],
        [t("board.created"), created && moment(created)],
        [t("board.commit"), commit],
      ],
      "made",
    ),
  );
}
