import { strict as assert } from "node:assert";
import { test } from "node:test";
import { parseReply, parseRequest } from "./control-protocol.ts";

test("a request with an unknown command or key is refused by name", () => {
  assert.deepEqual(parseRequest('{"command":"kill","name":"disk"}'), { command: "kill", name: "disk" });
  const upgrade = { command: "upgrade", name: "disk", spec: "memory:1M", base: "/", wait: false } as const;
  assert.deepEqual(parseRequest(JSON.stringify(upgrade)), upgrade);
  assert.deepEqual(parseRequest('{"command":"hand-over","pid":7}'), { command: "hand-over", pid: 7 });
  const mark = { command: "mark", name: "disk", text: "here" } as const;
  assert.deepEqual(parseRequest(JSON.stringify(mark)), mark);
  for (const socket of ["@abstract", "/run/a.sock"])
    assert.deepEqual(parseRequest(JSON.stringify({ command: "offer", socket })), { command: "offer", socket });
  for (const line of [
    "",
    "null",
    "[]",
    '{"command":"burn"}',
    '{"command":"stop","now":true}',
    '{"command":"kill"}',
    '{"command":"events"}',
    '{"command":"events","follow":1}',
    '{"command":"events","follow":true,"from":3}',
    JSON.stringify({ ...upgrade, base: "relative" }),
    JSON.stringify({ ...upgrade, wait: undefined }),
    '{"command":"constructor"}',
    '{"command":"__proto__"}',
    '{"command":["stop"]}',
    '{"command":"kill","title":"disk"}',
    '{"command":"mark","name":"disk"}',
    '{"command":"kill","name":7}',
    '{"command":"offer"}',
    '{"command":"offer","socket":""}',
    '{"command":"offer","socket":"@"}',
    '{"command":"offer","socket":"relative"}',
    '{"command":"hand-over","pid":7,"now":true}',
  ]) {
    assert.throws(() => parseRequest(line), { code: "bad-request" }, line);
  }
});

test("a reply that isn't one is refused", () => {
  assert.deepEqual(parseReply('{"ok":true,"result":1}'), { ok: true, result: 1 });
  assert.deepEqual(parseReply('{"ok":true,"more":true,"result":1}'), { ok: true, more: true, result: 1 });
  assert.throws(() => parseReply('{"ok":true,"more":false,"result":1}'), { code: "bad-reply" });
  assert.deepEqual(parseReply('{"ok":true,"result":null,"later":1}').ok, true);
  for (const line of ['{"ok":false}', '{"ok":false,"code":1,"message":"x"}', '{"ok":1}', "[]", "null", "7"])
    assert.throws(() => parseReply(line), { code: "bad-reply" }, line);
  assert.throws(() => parseReply("220 mail.example ESMTP"), { code: "bad-reply" });
});
