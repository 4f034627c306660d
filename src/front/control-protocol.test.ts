import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { LineReader, parseReply, parseRequest } from "./control-protocol.ts";

test("lines come out whole however their bytes are split", () => {
  const lines = fc.array(fc.string({ maxLength: 20 }).map((line) => line.replaceAll("\n", "")));
  fc.assert(
    fc.property(lines, fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }), (wanted, sizes) => {
      const bytes = Buffer.from(wanted.map((line) => `${line}\n`).join(""));
      const reader = new LineReader(1000);
      const found: string[] = [];
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const size = sizes[turn % sizes.length] ?? 1;
        found.push(...(reader.push(bytes.subarray(at, at + size)) ?? []));
        at += size;
      }
      // Half a surrogate pair does not survive UTF-8.
      assert.deepEqual(found, Buffer.from(wanted.join("\n")).toString("utf8").split("\n").slice(0, wanted.length));
    }),
  );
});

test("a line that is longer than allowed is refused before it has ended", () => {
  const reader = new LineReader(8);
  assert.deepEqual(reader.push(Buffer.from("12345678")), []);
  assert.equal(reader.push(Buffer.from("9")), undefined);
});

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
