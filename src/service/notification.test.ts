import { strict as assert } from "node:assert";
import { test } from "node:test";
import { formatNotification, isDescriptorName, parseNotification } from "./notification.ts";

test("a notification is a line for each field", () => {
  const bytes = formatNotification({ READY: "1", STATUS: "serving a=b" });
  assert.equal(Buffer.from(bytes).toString(), "READY=1\nSTATUS=serving a=b");
  assert.deepEqual(fieldsOf(bytes), { READY: "1", STATUS: "serving a=b" });
});

test("of a notification that is odd, what can be understood counts", () => {
  assert.deepEqual(fieldsOf("READY=1\n"), { READY: "1" });
  assert.deepEqual(fieldsOf("\n\nnothing\n=1\nSTATUS=\nREADY=1\nREADY=2"), { STATUS: "", READY: "1" });
  assert.deepEqual(fieldsOf(""), {});
});

test("what is not text is no notification", () => {
  assert.equal(parseNotification(Buffer.from([0x52, 0xff, 0x3d])), undefined);
  assert.equal(parseNotification(Buffer.from("READY=1\0STOPPING=1")), undefined);
});

test("names of descriptors are printable ASCII without colons, up to 255 characters", () => {
  for (const name of ["", "a", "skink/nbd", "~!@#;", "x".repeat(255)]) assert.equal(isDescriptorName(name), true, name);
  for (const name of ["a:b", "a\nb", "ä", "\x7f", "x".repeat(256)]) assert.equal(isDescriptorName(name), false, name);
});

function fieldsOf(bytes: Uint8Array | string): Record<string, string> {
  const fields = parseNotification(typeof bytes === "string" ? Buffer.from(bytes) : bytes);
  assert.ok(fields !== undefined);
  return Object.fromEntries(fields);
}
