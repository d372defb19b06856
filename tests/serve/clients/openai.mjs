// OpenAI's Node client against the endpoint at argv[2], used as its documentation shows; prints what it got as JSON.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "unused", maxRetries: 0 });
const model = "coe";
const ask = (content) => [{ role: "user", content }];
const tools = ["list_pods", "read_log"].map((name) => ({
  type: "function",
  function: {
    name,
    parameters: { type: "object", properties: { node: { type: "string" } }, required: ["node"] },
  },
}));
const got = {};

const plain = await client.chat.completions.create({ model, messages: ask("Which node is slow?") });
got.plain = { message: plain.choices[0].message, expert: plain.coe.expert };

got.pieces = [];
got.roles = [];
for await (const chunk of await client.chat.completions.create({ model, messages: ask("Which node is slow?"), stream: true })) {
  const delta = chunk.choices[0]?.delta ?? {};
  if (delta.content) got.pieces.push(delta.content);
  if (delta.role) got.roles.push(delta.role);
}

const helper = client.chat.completions.stream({ model, messages: ask("Which node is slow?") });
got.helper = (await helper.finalChatCompletion()).choices[0].message;

const messages = ask("Which pod of the node leaks?");
got.rounds = [];
for (;;) {
  const completion = await client.chat.completions.create({ model, messages, tools });
  const { message } = completion.choices[0];
  messages.push(message);
  got.rounds.push([completion.coe.expert, completion.coe.classifier.by, message.tool_calls?.map((call) => call.function)]);
  if (!message.tool_calls) break;
  for (const call of message.tool_calls) messages.push({ role: "tool", tool_call_id: call.id, content: "blue-4" });
}
got.answer = messages.at(-1).content;

const runner = client.chat.completions.runTools({
  model,
  stream: true,
  messages: ask("Which pod of the node leaks?"),
  tools: tools.map(({ function: f }) => ({
    type: "function",
    function: { ...f, parse: JSON.parse, function: ({ node }) => `${f.name} of ${node}` },
  })),
});
got.run = await runner.finalContent();

const Fix = z.object({ node: z.string(), minutes: z.number(), risk: z.enum(["low", "high"]) });
const parsed = await client.chat.completions.parse({
  model,
  messages: ask("Which node is slow?"),
  response_format: zodResponseFormat(Fix, "fix"),
});
got.parsed = parsed.choices[0].message.parsed;

console.log(JSON.stringify(got));
