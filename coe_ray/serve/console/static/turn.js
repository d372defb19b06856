// One turn of a conversation: the question, and each reply to it with the answer first and its reasons folded.

import { announce, copied, copyButton, el, folded } from "./dom.js";
import { linkTo } from "./conversation.js";
import { counts, isDoubtful } from "./evidence.js";
import { isUnsure, steps, UNKNOWN } from "./flow.js";
import { drawMarkdown } from "./markdown.js";
import { has, number, t } from "./words.js";

const LONG_QUESTION = 600;
const PAINT_EVERY_MS = 60;
const WHOLE = ["stop", "tool_calls", "function_call"]; // how an answer ends that nothing cut off

const places = new WeakMap(); // reply → the elements that its words go to
const painting = new WeakSet(); // replies that are about to be painted

/** A turn; `doing` has what can be done with the last one: `again(turn)`, `ask(turn, expert)`, and the `experts`. */
export function drawTurn(turn, number_, doing) {
  const { question } = turn;
  const text = question.length > LONG_QUESTION ? folded(question, LONG_QUESTION) : el("p", { class: "text" }, question);
  const given = turn.given !== null && !turn.replies.length && [el("p", { class: "verdict soft" }, t("turn.given")), prose(turn.given)];
  return el(
    "article",
    { class: "turn", "aria-labelledby": `turn-${number_}` },
    el("h2", { class: "unseen", id: `turn-${number_}` }, t("turn.title", { number: number_ })),
    el("div", { class: "asked-for" }, text),
    given && el("section", { class: "reply" }, given),
    turn.replies.map((reply, place) => drawReply(turn, reply, place === turn.replies.length - 1 ? doing : null)),
  );
}

function drawReply(turn, reply, doing) {
  const isGoing = reply.phase === "deciding" || reply.phase === "answering";
  const answer = el("div", { class: "answer prose" });
  const thoughts = el("div", { class: "prose" });
  places.set(reply, { answer, thoughts });
  if (reply.text) drawMarkdown(answer, reply.text);
  if (reply.reasoning) drawMarkdown(thoughts, reply.reasoning);
  return el(
    "section",
    { class: `reply ${isGoing ? "going" : ""}`, "data-phase": reply.phase },
    route(reply),
    reply.reasoning && fold(reply, "reasoning", t("turn.reasoning"), thoughts),
    reply.phase === "answering" && !reply.text && el("p", { class: "note waiting" }, t("flow.waiting")),
    reply.text && answer,
    reply.phase === "done" && !reply.text && !reply.tools.length && el("p", { class: "note" }, t("row.silent")),
    reply.tools.length > 0 && tools(reply.tools),
    ending(reply),
    reply.decision && fold(reply, "why", t("turn.why"), el("ol", { class: "flow" }, steps(turn.question, reply))),
    !isGoing && actions(turn, reply, doing),
  );
}

/** "Operate (0.77) → basalt, best on Operate: 39 of 60". */
function route(reply) {
  const { decision, expert, model } = reply;
  if (!decision && model === "coe") return el("p", { class: "verdict soft" }, reply.phase === "deciding" && t("ask.deciding"));
  if (!decision) return el("p", { class: "verdict" }, el("strong", {}, expert ?? model), el("span", { class: "because" }, t("because.named")));
  const sure = number(decision.confidence, 2, 2);
  const confidence = isUnsure(decision)
    ? el("span", { class: "sure low", title: t("flow.unsure") }, `(${sure}, ${t("route.unsure")})`)
    : el("span", { class: "sure", title: t("flow.confidence.note") }, `(${sure})`);
  const isUnknown = decision.task === UNKNOWN;
  return el(
    "p",
    { class: "verdict" },
    el("span", { class: "to" }, isUnknown ? t("route.unknown") : decision.task, " ", !isUnknown && confidence, " → ", el("strong", {}, expert)),
    el("span", { class: "because" }, because(decision, expert)),
  );
}

function because(decision, expert) {
  const [first] = decision.row;
  if (decision.tried.length) return t("because.failover", { failed: decision.tried.map((each) => each.expert).join(", ") });
  if (decision.classifier.by === "conversation") return t("because.conversation");
  if (first?.expert !== expert) return decision.reason;
  if (!first.total) return t("because.average");
  return [t("because.best", { task: decision.task }), el("span", { class: isDoubtful(decision.row) ? "mark low" : "" }, counts(decision.row))];
}

/** A part that is opened by who wants it, and stays so when the reply is drawn anew. */
function fold(reply, name, title, content) {
  const details = el("details", { class: `fold ${name}`, open: Boolean(reply.open[name]) }, el("summary", { "data-keep": name }, title), content);
  details.addEventListener("toggle", () => (reply.open[name] = details.open));
  return details;
}

function tools(calls) {
  const each = calls.map((call) => el("li", {}, el("code", {}, call.name || "?"), el("pre", {}, readable(call.arguments))));
  return el("div", { class: "tools-called" }, el("h3", {}, t("turn.tools")), el("ul", {}, each), el("p", { class: "note" }, t("turn.tools.note")));
}

function readable(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // cut off, or no JSON
  }
}

/** How an answer came to its end, where that is not its own. */
function ending(reply) {
  if (reply.phase === "stopped") return el("p", { class: "ending" }, t(reply.text ? "ask.stopped.partly" : "ask.stopped"));
  if (reply.error) return el("p", { class: "wrong ending" }, t(reply.error.name, reply.error.values));
  if (reply.phase !== "done" || WHOLE.includes(reply.finish)) return null;
  const name = `ending.${reply.finish}`;
  return el("p", { class: "ending cut-off" }, has(name) ? t(name) : t("ending.other", { reason: reply.finish }));
}

function actions(turn, reply, doing) {
  const canAgain = doing && ["failed", "stopped"].includes(reply.phase);
  return el(
    "div",
    { class: "actions" },
    canAgain && el("button", { type: "button", "data-keep": "again", on: { click: () => doing.again(turn, reply.model) } }, t("ask.again")),
    reply.text && copyButton(reply.text, t("answer.copy")),
    el("button", { type: "button", class: "quiet", on: { click: () => copyLink(turn) } }, t("turn.link")),
    doing && others(turn, reply, doing),
  );
}

async function copyLink(turn) {
  const address = `${location.origin}${location.pathname}${linkTo(turn)}`;
  announce((await copied(address)) ? t("turn.link.done") : t("copy.failed"));
}

/** The same conversation, to an expert by its name. */
function others(turn, reply, doing) {
  const named = doing.experts.filter((expert) => expert !== reply.expert);
  if (!named.length) return null;
  const each = named.map((expert) => el("li", {}, el("button", { type: "button", on: { click: () => doing.ask(turn, expert) } }, expert)));
  return fold(reply, "others", t("turn.others"), el("ul", {}, each));
}

function prose(text) {
  const place = el("div", { class: "answer prose" });
  drawMarkdown(place, text);
  return place;
}

/** Shows the words that a reply has by now: soon, many at once. */
export function paintSoon(reply) {
  if (painting.has(reply)) return;
  painting.add(reply);
  setTimeout(() => {
    painting.delete(reply);
    const { answer, thoughts } = places.get(reply);
    following(() => {
      drawMarkdown(answer, reply.text);
      drawMarkdown(thoughts, reply.reasoning);
    });
  }, PAINT_EVERY_MS);
}

/** Changes the page; who is at its end stays at its end. */
export function following(change) {
  const root = document.documentElement;
  const wasAtEnd = root.scrollHeight - root.clientHeight - root.scrollTop < 60;
  change();
  if (wasAtEnd) root.scrollTop = root.scrollHeight;
}
