// One run: how far it is while it runs, what came of it at its end, and its rows.

import { sparkline, whisker } from "./charts.js";
import { announce, byId, cards, choice, el, facts, put, scrolling } from "./dom.js";
import { read } from "./endpoint.js";
import { state } from "./runs.js";
import { duration, interval, moment, number, percent, t } from "./words.js";

const EVERY_MS = 1000;
const RATES = 120;
const PAGE = 25;
const FILTERS = ["outcome", "task", "system", "expert"];
const OUTCOMES = ["correct", "wrong", "unparsed", "refused", "failed"];
const CALLS = ["issued", "reused", "repeated", "retried", "failed", "prompt_tokens", "completion_tokens"];

let run = null;
let rows = null;
let query = {};
let rates = [];

export async function open(signal, [id], wanted) {
  if (run?.id !== id) {
    [run, rows, rates] = [null, null, []];
    clear(id);
  }
  query = wanted;
  const before = run?.state;
  run = await read(pathOf(id), { signal });
  if (run.state === "running" && run.progress) rates = [...rates, run.progress.rate].slice(-RATES);
  drawLive();
  // What stands below changes only with the run's end, or with what is looked for: it is not drawn every second.
  if (before === run.state && rows?.of === JSON.stringify(query)) return;
  const isFirst = rows === null;
  rows = { of: JSON.stringify(query), page: await page(id, signal) };
  const isTurned = document.activeElement?.classList.contains("turn");
  draw();
  if (isTurned) byId("rows").focus();
  if (!isFirst) announce(byId("row-count")?.textContent ?? "");
}

/** Soon, while it runs; then no more. */
export const again = () => (run?.state === "running" ? EVERY_MS : null);

export function draw() {
  if (!run) return;
  drawLive();
  put(byId("run-result"), run.summary && result(run.summary));
  put(byId("run-rows"), found());
}

const pathOf = (id) => `v1/runs/${encodeURIComponent(id)}`;

function clear(id) {
  byId("run-title").textContent = id;
  byId("run-facts").textContent = "";
  put(byId("run-live"), el("p", { class: "note" }, t("loading")));
  put(byId("run-result"));
  put(byId("run-rows"));
}

async function page(id, signal) {
  if (!run.summary) return null;
  const params = new URLSearchParams({ limit: PAGE });
  for (const name of [...FILTERS, "offset"]) if (query[name]) params.set(name, query[name]);
  return read(`${pathOf(id)}/rows?${params}`, { signal });
}

// ---- how far it is

function drawLive() {
  const { data, split, profile, started } = run;
  byId("run-title").textContent = run.id;
  put(
    byId("run-facts"),
    state({ ...run, progress: null }),
    ` · ${t("run.facts", { data, split: split ?? "–", profile, started: moment(started) })}`,
    run.replay && ` · ${t("run.replay")}`,
  );
  put(byId("run-live"), run.progress && live(run.progress));
}

function live(progress) {
  const { done, total, rate } = progress;
  const isRunning = run.state === "running";
  return el(
    "section",
    { "aria-labelledby": "progress", class: isRunning ? "live" : "live over" },
    el("h2", { id: "progress" }, t("run.live")),
    meter(done, total),
    el(
      "p",
      { class: "far" },
      el("strong", {}, t(isRunning ? `phase.${progress.phase}` : "phase.stopped")),
      ` · ${t("run.done", { done: number(done), total: number(total) })}`,
      isRunning && rate > 0 && ` · ${t("run.left", { time: duration(Math.ceil((total - done) / rate)) })}`,
    ),
    facts([
      [t("run.rate"), [number(rate, rate < 10 ? 1 : 0), sparkline(rates)]],
      [t("run.in-flight"), number(progress.in_flight)],
      [t("run.waiting"), [number(progress.waiting), progress.waiting > 0 && why(t("run.waiting.why"))]],
      [t("run.backing-off"), counted(progress.backing_off)],
      [t("run.failed"), number(progress.failed)],
      [t("run.failures"), counted(progress.failures)],
    ].map(([term, value]) => [term, el("span", {}, [value].flat().filter(Boolean))])),
    el("p", { class: "note" }, isRunning ? "" : `${t("run.stopped.note")} `, t("run.age", { time: duration(Math.ceil(progress.age)) })),
  );
}

function meter(done, total) {
  const share = total ? done / total : 0;
  return el(
    "div",
    {
      class: "meter",
      role: "progressbar",
      "aria-label": t("run.live"),
      "aria-valuemin": "0",
      "aria-valuemax": total,
      "aria-valuenow": done,
      vars: { "--share": share },
    },
    el("span"),
  );
}

const why = (text) => el("span", { class: "soft small" }, text);

/** How many in all, and of which kind. */
function counted(kinds) {
  const listed = Object.entries(kinds).filter(([, count]) => count > 0);
  const sum = listed.reduce((all, [, count]) => all + count, 0);
  return [number(sum), listed.length > 0 && why(listed.map(([kind, count]) => `${number(count)} ${kind}`).join(", "))];
}

// ---- what came of it

function result(summary) {
  return [
    el(
      "section",
      { "aria-labelledby": "systems" },
      el("h2", { id: "systems" }, t("run.systems")),
      el("p", { class: "note" }, t("run.systems.note")),
      scrolling(t("run.systems.caption"), systems(summary.systems)),
      cutOff(summary.systems),
      named(summary.classifier),
    ),
    summary.failures?.length > 0 && problems(summary.failures),
    el(
      "section",
      { "aria-labelledby": "calls" },
      el("h2", { id: "calls" }, t("run.calls")),
      facts([
        ...CALLS.map((name) => [t(`run.calls.${name}`), summary.calls?.[name] === undefined ? null : number(summary.calls[name])]),
        [t("run.calls.cost"), summary.calls?.cost && number(summary.calls.cost, 4)],
        [t("run.rejected"), summary.rejected && number(summary.rejected)],
        [t("run.seconds"), duration(summary.seconds ?? 0)],
        [t("run.version"), [summary.version, summary.commit].filter(Boolean).join(" · ")],
      ]),
    ),
  ];
}

function systems(content) {
  const columns = [t("run.system"), t("run.accuracy"), "", ...OUTCOMES.map((name) => t(`outcome.${name}`))];
  const head = columns.map((text) => (text ? el("th", { scope: "col" }, text) : el("td", { class: "drawn", "aria-hidden": "true" })));
  const rows = Object.entries(content).map(([name, system]) =>
    el(
      "tr",
      { class: name === "coe" ? "coe" : "" },
      el("th", { scope: "row" }, name === "coe" ? "CoE" : name),
      el("td", {}, el("span", { class: "figure" }, percent(system.accuracy)), el("span", { class: "small soft" }, interval(system.ci95))),
      el("td", { class: "drawn", "aria-hidden": "true" }, system.ci95 && whisker(system.accuracy, system.ci95)),
      OUTCOMES.map((outcome) => el("td", { class: system[outcome] ? "" : "zero" }, number(system[outcome] ?? 0))),
    ),
  );
  return el(
    "table",
    { class: "systems" },
    el("caption", { class: "unseen" }, t("run.systems.caption")),
    el("thead", {}, el("tr", {}, head)),
    el("tbody", {}, rows),
  );
}

function cutOff(systems) {
  const cut = Object.entries(systems).filter(([, system]) => system.cut_off);
  const named = cut.map(([name, system]) => `${name === "coe" ? "CoE" : name} ${number(system.cut_off)}`);
  return named.length > 0 && el("p", { class: "note" }, t("run.cut", { systems: named.join(", ") }));
}

function named(content) {
  if (!content?.total) return null;
  const values = { accuracy: percent(content.accuracy), interval: interval(content.ci95), total: number(content.total) };
  return el("p", { class: "note" }, t("run.classifier", values));
}

function problems(failures) {
  const listed = failures.map((each) => el("li", {}, t("run.problem", { ...each, calls: number(each.calls) })));
  return el(
    "section",
    { class: "caution", "aria-labelledby": "problems" },
    el("h2", { id: "problems" }, t("run.problems")),
    el("ul", {}, listed),
  );
}

// ---- its rows

function found() {
  return el(
    "section",
    { "aria-labelledby": "rows" },
    el("h2", { id: "rows", tabindex: "-1" }, t("rows.title")),
    run.summary ? [filters(run.summary), listed()] : el("p", { class: "note" }, t("rows.not-yet")),
  );
}

function filters(summary) {
  const names = Object.keys(summary.systems);
  const tasks = [...new Set(Object.values(summary.systems).flatMap((system) => Object.keys(system.per_task ?? {})))].sort();
  const values = { outcome: OUTCOMES, task: tasks, system: names, expert: names.filter((name) => name !== "coe") };
  const shown = FILTERS.map((name) => {
    const text = (value) => (name === "outcome" ? t(`outcome.${value}`) : value === "coe" ? "CoE" : value);
    const options = [["", t("rows.any")], ...values[name].map((value) => [value, text(value)])];
    return choice(`filter-${name}`, t(`rows.${name}`), options, query[name] ?? "", (value) => go({ ...query, [name]: value, offset: "" }, `filter-${name}`));
  });
  const isFiltered = FILTERS.some((name) => query[name]);
  const clearAll = el("button", { type: "button", id: "clear-filters", class: "quiet", on: { click: () => go({}, "rows") } }, t("rows.clear"));
  return el("div", { class: "choices" }, shown, isFiltered && clearAll);
}

function listed() {
  const { page: content } = rows ?? {};
  if (!content) return el("p", { class: "note" }, t("loading"));
  if (!content.data.length) return el("p", { class: "note", id: "row-count" }, t("rows.none"));
  const names = ["outcome", "question", "task", "system", "letter", "answer"];
  const table = cards(t("rows.caption"), names.map((name) => t(`rows.${name}`)), content.data.map(line));
  table.classList.add("rows");
  const values = { from: number(content.offset + 1), to: number(content.offset + content.data.length), total: number(content.total) };
  return [el("p", { class: "note", id: "row-count" }, t("rows.count", values)), table, turning(content)];
}

function line(row) {
  const to = `#/runs/${encodeURIComponent(run.id)}/rows/${encodeURIComponent(row.question_id)}${asQuery(query)}`;
  return [
    outcome(row.outcome),
    el("a", { href: to }, row.question || row.question_id),
    row.task ?? "–",
    row.system === "coe" ? t("rows.by", { system: "CoE", expert: row.expert ?? "–" }) : row.system,
    el("span", {}, row.letter ?? "–", " ", el("span", { class: "soft small" }, row.answer && t("rows.right", { letter: row.answer }))),
    el("span", { class: "said" }, row.text || row.message || "–"),
  ];
}

function turning(content) {
  const to = (offset, text) => el("a", { class: "turn", href: `#/runs/${encodeURIComponent(run.id)}${asQuery({ ...query, offset })}` }, text);
  const next = content.offset + content.data.length;
  return el(
    "p",
    { class: "turning" },
    content.offset > 0 && to(Math.max(0, content.offset - PAGE) || "", t("rows.previous")),
    next < content.total && to(next, t("rows.next")),
  );
}

/** An outcome with its mark: never by colour alone. */
export function outcome(name) {
  return el("span", { class: `outcome ${name}` }, el("span", { "aria-hidden": "true" }, `${MARKS[name]} `), t(`outcome.${name}`));
}

const MARKS = { correct: "✓", wrong: "✕", unparsed: "?", refused: "⊘", failed: "!" };

export function asQuery(wanted) {
  const given = Object.entries(wanted).filter(([, value]) => value !== "" && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

/** Looks for other rows; who changed a control finds it again when they are there. */
function go(wanted, control) {
  location.hash = `#/runs/${encodeURIComponent(run.id)}${asQuery(wanted)}`;
  window.addEventListener("view-drawn", () => byId(control)?.focus(), { once: true });
}
