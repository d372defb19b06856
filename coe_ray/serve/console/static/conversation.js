// A conversation: turns of a question and the replies to it, kept in the tab, sent as messages, carried by a link.

const KEPT = "coe-conversation";
const OVER = ["done", "stopped", "failed"];

let turns = [];

export const all = () => turns;

export function restart(with_ = []) {
  turns = with_;
  keep();
}

/** A new turn at the end. `given` is the answer that a link brought with it. */
export function begin(question, given = null) {
  const turn = { question, given, replies: [] };
  turns.push(turn);
  return turn;
}

/** A new reply to a turn: of `coe`, or of an expert by its name. What failed or was stopped without a word makes room. */
export function reply(turn, model) {
  turn.replies = turn.replies.filter((each) => each.text || each.phase === "done");
  const begun = { model, phase: model === "coe" ? "deciding" : "answering", text: "", reasoning: "", tools: [], stages: {}, open: {} };
  turn.replies.push(begun);
  return begun;
}

/** Everything before a turn and its question, as OpenAI's messages. A question without an answer is left out. */
export function messages(turn) {
  const before = turns.slice(0, turns.indexOf(turn)).filter(answerOf);
  const said = before.flatMap((each) => [user(each.question), { role: "assistant", content: answerOf(each) }]);
  return [...said, user(turn.question)];
}

const user = (content) => ({ role: "user", content });

/** The last reply that says something. */
const answerOf = (turn) => turn.replies.findLast((each) => each.text)?.text ?? turn.given;

// ---- in the tab

/** Whether it will still be here after a reload: a very long one is too much for the tab's storage. */
export function keep() {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(turns));
    return true;
  } catch {
    sessionStorage.removeItem(KEPT);
    return false;
  }
}

/** What the tab had before a reload. An answer that was on its way then has stopped. */
export function restore() {
  turns = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
  for (const each of turns.flatMap((turn) => turn.replies)) {
    if (!OVER.includes(each.phase)) each.phase = "stopped";
  }
}

// ---- in a link

/** The part of an address that has everything up to a turn's question. It is behind the #: no server sees it. */
export function linkTo(turn) {
  const bytes = new TextEncoder().encode(JSON.stringify(messages(turn)));
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return `#/ask?c=${btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

/** The messages in a link, the last of them a question; `null` where it is none of ours. */
export function read(text) {
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));
    const found = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isConversation(found) ? found : null;
  } catch {
    return null; // cut off on its way, or written by hand
  }
}

function isConversation(found) {
  const isMessage = (each, index) => each?.role === (index % 2 ? "assistant" : "user") && typeof each.content === "string";
  return Array.isArray(found) && found.length % 2 === 1 && found.every(isMessage);
}
