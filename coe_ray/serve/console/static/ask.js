// The conversation: what is asked, by whom it is answered, and the requests for it. First the decision alone, to be shown
// while the answer is on its way; then the answer, as it comes.

import * as conversation from "./conversation.js";
import { announce, byId, el, put } from "./dom.js";
import { ask, events, Gone, Refused } from "./endpoint.js";
import { steps } from "./flow.js";
import { drawTurn, following, paintSoon } from "./turn.js";
import { language, number, t } from "./words.js";

const DRAFT = "coe-draft";
const ROUTED = "coe";

let experts = []; // whom one can ask by name
let stopping = null; // stops the reply under way
let isLeaving = false; // the page is, or was just about to: its requests break then
let linkIsBroken = false;
let examples = {};

export async function start() {
  const [field, form] = [byId("question"), byId("composer")];
  field.value = sessionStorage.getItem(DRAFT) ?? "";
  field.addEventListener("input", () => sessionStorage.setItem(DRAFT, field.value));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submitQuestion(field.value.trim());
  });
  byId("stop").addEventListener("click", stop);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !byId("key-dialog").open) stop();
  });
  byId("new").addEventListener("click", () => {
    stop();
    conversation.restart();
    draw();
    field.focus();
  });
  window.addEventListener("beforeunload", () => {
    isLeaving = true;
    setTimeout(() => (isLeaving = false), 1000); // it stayed
  });
  window.addEventListener("pagehide", () => {
    stop();
    conversation.keep();
  });
  conversation.restore();
  examples = await (await fetch("console/examples.json")).json();
  draw();
}

/** A link brings a conversation with it: its last question waits in the field for a click. */
export function open(signal, parts, { c: link }) {
  if (link === undefined) return;
  history.replaceState(null, "", "#/ask");
  const messages = conversation.read(link);
  linkIsBroken = !messages;
  if (messages) {
    stop();
    conversation.restart();
    const question = messages.pop().content;
    for (let each = 0; each < messages.length; each += 2) conversation.begin(messages[each].content, messages[each + 1].content);
    write(question);
    announce(t("ask.from-link"));
  }
  draw();
  byId("question").focus();
}

/** Who answers here, as /healthz tells it. */
export function know(names) {
  if (names.join() === experts.join()) return;
  experts = names;
  draw();
}

/** In whatever language is chosen now. */
export function draw() {
  const turns = conversation.all();
  const doing = { again: request, ask: request, experts };
  const kept = document.activeElement?.dataset?.keep;
  put(
    byId("conversation"),
    turns.map((turn, place) => drawTurn(turn, place + 1, place === turns.length - 1 ? doing : null)),
  );
  if (kept) [...document.querySelectorAll(`[data-keep="${kept}"]`)].at(-1)?.focus({ preventScroll: true });
  put(byId("flow"), steps("", null));
  put(byId("examples"), (examples[language()] ?? []).map((each) => el("li", {}, example(each))));
  for (const id of ["ask-lead", "beginnings"]) byId(id).hidden = turns.length > 0;
  byId("new").hidden = !turns.length;
  byId("question").rows = turns.length ? 3 : 8;
  byId("question-label").textContent = t(turns.length ? "ask.follow-up" : "ask.label");
  byId("link-broken").textContent = linkIsBroken ? t("ask.link-broken") : "";
  byId("stop").hidden = !stopping;
  byId("send").disabled = Boolean(stopping);
}

function example({ task, question, options }) {
  const text = [question, ...options.map((option, index) => `${"ABCDEFGHIJ"[index]}. ${option}`)].join("\n");
  const take = () => {
    write(text);
    byId("question").focus();
  };
  return el("button", { type: "button", on: { click: take } }, el("span", { class: "task" }, task), el("span", {}, question));
}

function write(text) {
  byId("question").value = text;
  sessionStorage.setItem(DRAFT, text);
}

function stop() {
  stopping?.abort();
}

async function submitQuestion(question) {
  if (!question) {
    announce(t("ask.empty"));
    byId("question").focus();
    return;
  }
  write("");
  linkIsBroken = false;
  await request(conversation.begin(question), ROUTED);
}

/** Asks for a reply to a turn: of `coe`, or of an expert by its name. What is under way is stopped for it. */
async function request(turn, model) {
  stop();
  const mine = (stopping = new AbortController());
  const reply = conversation.reply(turn, model);
  conversation.keep();
  following(draw);
  byId("conversation").lastElementChild.scrollIntoView({ block: "nearest" });
  try {
    await answered(turn, reply, mine.signal);
  } catch (error) {
    broken(reply, error, mine.signal);
  } finally {
    if (stopping === mine) stopping = null; // another reply may have taken its place
    if (!conversation.keep()) announce(t("ask.too-long"));
    following(draw);
  }
}

async function answered(turn, reply, signal) {
  const began = performance.now();
  const messages = conversation.messages(turn);
  if (reply.model === ROUTED) {
    const decided = await (await ask("v1/route", { body: { messages }, signal })).json();
    take(reply, decided);
    announce(t("ask.decided", { task: decided.task, confidence: number(decided.confidence, 2, 2), expert: decided.expert }));
    reply.phase = "answering";
    following(draw);
  }
  await spoken(reply, messages, signal);
  reply.clock = (performance.now() - began) / 1000;
  reply.phase = "done";
  announce(t("ask.done", { expert: reply.expert, answer: reply.text }));
}

/** The answer. The decision is not made again: the endpoint remembers it for some minutes. */
async function spoken(reply, messages, signal) {
  const began = performance.now();
  const since = () => (performance.now() - began) / 1000;
  const response = await ask("v1/chat/completions", { body: { model: reply.model, messages, stream: true }, signal });
  const named = response.headers.get("x-coe-expert");
  reply.expert = named ? decodeURIComponent(named) : (reply.expert ?? reply.model);
  following(draw);
  for await (const event of events(response)) {
    if (event.error) throw new Refused(200, event.error.message, event.error.code);
    const [choice] = event.choices ?? [];
    if (choice && say(reply, choice.delta ?? {})) reply.first ??= since();
    reply.finish = choice?.finish_reason ?? reply.finish;
    if (event.coe) take(reply, event.coe);
    reply.usage = event.usage ?? reply.usage;
  }
  reply.seconds = since();
  reply.first ??= reply.seconds;
  if (!reply.finish) throw new Refused(200, t("ask.no-end"));
}

/** What is known of the route; the stages of a cached decision are those of the time when it was made. */
function take(reply, decision) {
  reply.expert = decision.expert;
  if (!decision.row) return; // asked by name: there is no route
  reply.stages = { ...reply.stages, ...decision.stages };
  reply.decision = { ...decision, cached: decision.cached && (reply.decision?.cached ?? true) };
}

/** Adds what a piece of a stream brings, and tells whether that is anything. */
function say(reply, delta) {
  const isFirst = !reply.text && !reply.reasoning && !reply.tools.length;
  const before = [reply.text, reply.reasoning].map(Boolean).join();
  reply.text += delta.content || delta.refusal || "";
  reply.reasoning += delta.reasoning_content || delta.reasoning || "";
  for (const call of delta.tool_calls ?? []) callTool(reply, call);
  const isNewPart = before !== [reply.text, reply.reasoning].map(Boolean).join();
  if (isNewPart || delta.tool_calls?.length) following(draw);
  else paintSoon(reply);
  return isFirst && (reply.text || reply.reasoning || reply.tools.length);
}

/** A tool call comes in pieces: its name first, then its arguments. */
function callTool(reply, { index = 0, function: called = {} }) {
  const call = (reply.tools[index] ??= { name: "", arguments: "" });
  call.name += called.name ?? "";
  call.arguments += called.arguments ?? "";
}

function broken(reply, error, signal) {
  const isStopped = error.name === "AbortError" || (isLeaving && error instanceof Gone);
  reply.phase = isStopped ? "stopped" : "failed";
  if (!isStopped) reply.error = described(reply, error);
  announce(isStopped ? t("ask.stopped") : t(reply.error.name, reply.error.values));
  if (!(error instanceof Gone || error instanceof Refused || signal.aborted)) throw error;
}

/** As the name of a text, so that it is shown in the language of the moment. */
function described(reply, error) {
  if (error instanceof Gone) return { name: "ask.gone", values: {} };
  return { name: reply.text ? "ask.broken" : "ask.failed", values: { message: error.message } };
}
