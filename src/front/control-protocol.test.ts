import { strict as assert } from "node:assert";
import { test } from "node:test";
import { parseReply, parseRequest } from "./control-protocol.ts";

test("a request with an unknown command or key is refused by name", () => {
  assert.deepEqual(parseRequest('{"command":"kill","name":"disk"}'), { command: "kill", name: "disk" });
  for (const line of ["", "null", "[]", '{"command":"burn"}', '{"command":"stop","now":true}', '{"command":"kill"}']) {
    assert.throws(() => parseRequest(line), { code: "bad-request" });
  }
});

test("a reply that isn't one is refused", () => {
  assert.deepEqual(parseReply('{"ok":true,"result":1}'), { ok: true, result: 1 });
  assert.throws(() => parseReply("220 mail.example ESMTP"), { code: "bad-reply" });
});
