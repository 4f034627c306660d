import assert from "node:assert/strict";
import { test } from "node:test";
import { withResults } from "./document.ts";

const page = "before\n<!-- results: written by npm run bench -->\nold\n<!-- end of results -->\nafter\n";
const report = {
  part: "idle",
  machine: { cpu: "A CPU", cpus: 2, kernel: "6.1", node: "v24.0.0" },
  method: "Watched.",
  data: {},
  tables: ["| a |\n| --- |\n| 1 |"],
  verdicts: [{ goal: "less than 1 %", measured: "0.10 %", met: true }],
};

test("results replace what stood between the marks, and nothing else", () => {
  const once = withResults(page, [report]);
  assert.match(once, /^before\n/);
  assert.match(once, /- met: less than 1 %; 0\.10 %/);
  assert.match(once, /\nafter\n$/);
  assert.doesNotMatch(once, /old/);
  assert.equal(withResults(once, [report]), once);
});

test("a page without marks is left alone", () => {
  assert.throws(() => withResults("text", [report]), { code: "no-marks" });
});
