// Why this expert: question → neighbours → label → leaderboard row → answer, and where the time went.

import { bar, strip, whisker, wilson } from "./charts.js";
import { el, folded } from "./dom.js";
import { isThin, isTie, mayBeChance } from "./evidence.js";
import { duration, has, interval, number, percent, t } from "./words.js";

const LONG_QUESTION = 600;
const LONG_NEIGHBOUR = 150;
const SURE = 0.5;

export const UNKNOWN = "unknown";

/** The steps of a reply to a question; before anything was asked, what each of them will be. */
export function steps(question, reply) {
  if (!reply) return STEPS.map((name) => step(name, "rest", null, el("p", { class: "note" }, t(`flow.${name}.rest`))));
  const { decision } = reply;
  return [
    step("question", "done", null, asked(question)),
    step("neighbours", reached(reply), stage(reply, "retrieve"), decision && neighbours(decision)),
    step("label-step", reached(reply), stage(reply, "classify"), decision && label(decision)),
    step("row", reached(reply), stage(reply, "route"), decision && row(decision)),
    step("answer", answerState(reply), reply.seconds && duration(reply.seconds), answer(reply)),
    reply.clock && step("times", "done", duration(reply.clock), times(reply)),
  ];
}

const STEPS = ["question", "neighbours", "label-step", "row", "answer"];

function step(name, state, time, ...content) {
  const heading = el("div", { class: "step-head" }, el("h3", {}, t(`flow.${name}`)), time && el("p", { class: "time" }, time));
  return el("li", { class: `step ${state}`, "data-step": name }, heading, content);
}

/** A step that waits for the decision: going on, or not reached. */
function reached(reply) {
  if (reply.decision) return "done";
  return reply.phase === "deciding" ? "going" : "rest";
}

function answerState({ phase }) {
  return { done: "done", answering: "going", deciding: "rest" }[phase] ?? "broken";
}

function stage(reply, name) {
  const seconds = reply.stages[name];
  return seconds === undefined ? null : duration(seconds);
}

function asked(question) {
  const options = question.split("\n").filter((line) => /^\s*\(?[A-JＡ-Ｊ][.):：、．)]\s*\S/.test(line)).length;
  return [
    question.length > LONG_QUESTION ? folded(question, LONG_QUESTION) : el("p", { class: "text" }, question),
    el("p", { class: "note" }, options > 1 ? t("flow.options", { count: options }) : t("flow.no-options")),
  ];
}

function neighbours(decision) {
  if (!decision.neighbours?.length) return el("p", { class: "note" }, t("flow.no-neighbours"));
  const listed = decision.neighbours.map((near) =>
    el(
      "li",
      {},
      el(
        "p",
        { class: "near" },
        el("span", { class: "value", title: t("flow.similarity") }, number(near.similarity, 2, 2)),
        bar(near.similarity),
        el("span", { class: near.task === decision.task ? "task same" : "task" }, near.task),
      ),
      folded(near.question, LONG_NEIGHBOUR),
    ),
  );
  return el("ol", { class: "neighbours" }, listed);
}

function label(decision) {
  const { classifier } = decision;
  return [
    el("p", { class: "named" }, decision.task),
    el(
      "p",
      { class: "near" },
      el("span", { class: "value" }, number(decision.confidence, 2, 2)),
      bar(decision.confidence),
      el("span", { class: "soft", title: t("flow.confidence.note") }, t("flow.confidence")),
    ),
    isUnsure(decision) && el("p", { class: "mark low" }, t("flow.unsure")),
    el("p", { class: "note" }, by(classifier), " ", decision.cached && t("flow.cached")),
    classifier.tried?.length > 0 && el("p", { class: "note" }, t("flow.asked-in-vain", { errors: classifier.tried.map(failure).join(", ") })),
    classifier.raw &&
      el(
        "p",
        { class: "note" },
        `${t("flow.said")} `,
        el("code", {}, classifier.raw),
        classifier.rule && `, ${t("flow.rule", { rule: classifier.rule })}`,
      ),
    decision.task === UNKNOWN && el("p", { class: "note" }, t("flow.unknown")),
  ];
}

/** How the task was found; of a later endpoint perhaps in a way that this page has no words for. */
function by({ by: way, fallback }) {
  if (fallback) return t("flow.by.fallback", { error: fallback });
  return has(`flow.by.${way}`) ? t(`flow.by.${way}`) : t("flow.by-other", { way });
}

/** The name of a failure, however an endpoint tells it. */
const failure = (each) => (typeof each === "string" ? each : (each.error ?? JSON.stringify(each)));

/** Whether less than half of the neighbours' weight speaks for the task, as far as two digits show. */
export const isUnsure = ({ task, confidence }) => task !== UNKNOWN && Number(confidence.toFixed(2)) < SURE;

function row(decision) {
  const failed = new Map(decision.tried.map((each) => [each.expert, each]));
  const [first, second] = decision.row;
  const listed = decision.row.map((standing, place) =>
    el("li", { class: standing.expert === decision.expert ? "chosen" : "" }, standingOf(decision, standing, place, failed)),
  );
  return [
    decision.task === UNKNOWN && el("p", { class: "note" }, t("flow.average")),
    el("ol", { class: "standings" }, listed),
    second && el("p", { class: "note" }, lead(decision, first, second)),
    mayBeChance(decision.row) && el("p", { class: "mark low" }, t("evidence.overlap")),
    decision.reason && el("p", { class: "note" }, t("flow.reason", { reason: decision.reason })),
    failed.size > 0 && tried(decision),
  ];
}

function standingOf(decision, standing, place, failed) {
  const ends = wilson(standing.correct, standing.total);
  const marks = [
    place === 0 && el("span", { class: "mark" }, `▲ ${t("flow.winner")}`),
    place === 1 && el("span", { class: "mark plain" }, t("flow.runner-up")),
    isThin(standing) && el("span", { class: "mark low" }, t("evidence.thin")),
    failed.has(standing.expert) && el("span", { class: "mark bad" }, `✕ ${failed.get(standing.expert).error}`),
    failed.size > 0 && standing.expert === decision.expert && el("span", { class: "mark" }, t("flow.answers")),
  ];
  const counted = standing.total > 0 && t("flow.of", { correct: number(standing.correct), total: number(standing.total) });
  return [
    el("p", { class: "who" }, el("strong", {}, standing.expert), marks),
    el("p", { class: "how" }, el("span", { class: "value" }, percent(standing.accuracy)), whisker(standing.accuracy, ends)),
    el("p", { class: "soft small" }, [ends && interval(ends), counted].filter(Boolean).join(" · ")),
  ];
}

function lead(decision, first, second) {
  if (isTie(decision.row)) return t("flow.tie", { first: first.expert, second: second.expert });
  return t("flow.margin", { first: first.expert, points: number(100 * decision.margin, 1) });
}

function tried(decision) {
  const failed = decision.tried.map((each) =>
    el("li", {}, t("flow.tried.one", { expert: each.expert, error: each.error, time: duration(each.seconds) })),
  );
  return el(
    "div",
    { class: "tried" },
    el("h4", {}, t("flow.tried")),
    el("ul", {}, failed),
    el("p", {}, t("flow.failover", { expert: decision.expert })),
  );
}

function answer(reply) {
  const count = reply.usage?.completion_tokens;
  const streamed = reply.seconds - reply.first;
  const parts = [
    reply.expert && t("flow.by", { expert: reply.expert }),
    count && t("flow.tokens", { count: number(count) }),
    count > 1 && streamed > 0.05 && t("flow.speed", { rate: number((count - 1) / streamed, 1) }),
  ];
  return el("p", { class: "note" }, parts.filter(Boolean).join(" · "));
}

/** The server's stages, the client's clock for the rest of the answer, and what is between them. */
function times(reply) {
  const { retrieve = 0, classify = 0, route = 0, expert = 0 } = reply.stages;
  const streamed = Math.max(0, reply.seconds - reply.first);
  const rest = Math.max(0, reply.clock - retrieve - classify - route - expert - streamed);
  const parts = Object.entries({ retrieve, classify, route, expert, stream: streamed, rest }).filter(([, seconds]) => seconds > 0);
  const listed = parts.map(([kind, seconds]) =>
    el("li", {}, el("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), `${t(`time.${kind}`)} `, el("span", { class: "value" }, duration(seconds))),
  );
  return [strip(parts), el("ul", { class: "legend" }, listed)];
}
