import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { wholeNumber } from "./command-line.ts";

const MODULE = fileURLToPath(new URL("./command-line.ts", import.meta.url));
const PROGRAM = `
  import { readCommandLine, wholeNumber } from ${JSON.stringify(MODULE)};
  const options = { count: { type: "string", default: "3" } };
  console.log(readCommandLine("usage: it\\n\\nWhat it does.", { options }, ({ values }) => wholeNumber("count", values.count, 1)));
`;

for (const [claim, given, status, out, error] of [
  ["what is asked for is read", ["--count", "4"], 0, "4\n", ""],
  ["defaults stand for what isn't said", [], 0, "3\n", ""],
  ["help goes to stdout", ["--help"], 0, "usage: it\n\nWhat it does.\n", ""],
  [
    "what makes no sense ends with the reason, the usage and code 2",
    ["--count", "0"],
    2,
    "",
    "Cannot use --count 0: a whole number from 1 on was wanted\nusage: it\n(--help shows what there is)\n",
  ],
] as const) {
  test(claim, () => {
    const args = ["--input-type=module", "--eval", PROGRAM, "--", ...given];
    const ended = spawnSync(process.execPath, args, { encoding: "utf8" });
    assert.deepEqual([ended.status, ended.stdout, ended.stderr], [status, out, error]);
  });
}

test("a number has digits alone", () => {
  assert.equal(wholeNumber("n", "0"), 0);
  for (const text of ["", "-1", "1.5", "1e3", "0x10", " 1", "9".repeat(16)]) {
    assert.throws(() => wholeNumber("n", text), /^Error: Cannot use --n /);
  }
});
