import { strict as assert } from "node:assert";
import { test } from "node:test";
import { parseReply, parseRequest } from "./control-protocol.ts";

test("a request with an unknown command or key is refused by name", () => {
  assert.deepEqual(parseRequest('{"command":"kill","name":"disk"}'), { command: "kill", name: "disk" });
  const upgrade = { command: "upgrade", name: "disk", spec: "memory:1M", base: "/", wait: false } as const;
  assert.deepEqual(parseRequest(JSON.stringify(upgrade)), upgrade);
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
  ]) {
    assert.throws(() => parseRequest(line), { code: "bad-request" }, line);
  }
});

test("a reply that isn't one is refused", () => {
  assert.deepEqual(parseReply('{"ok":true,"result":1}'), { ok: true, result: 1 });
  assert.deepEqual(parseReply('{"ok":true,"more":true,"result":1}'), { ok: true, more: true, result: 1 });
  assert.throws(() => parseReply('{"ok":true,"more":false,"result":1}'), { code: "bad-reply" });
  assert.throws(() => parseReply("220 mail.example ESMTP"), { code: "bad-reply" });
});
