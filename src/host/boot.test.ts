import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { BOOT_FD, CODE_FD } from "../link/control.ts";

const text = readFileSync(new URL("boot.ts", import.meta.url), "utf8");

test("the boot code is plain JavaScript, for nobody strips its types", async () => {
  // A data URL is never stripped: a type would be a syntax error. Nothing of it runs, for the first line throws.
  const code = `throw new Error("parsed");\n${text.replaceAll(/^import .*$/gm, "")}`;
  await assert.rejects(import(`data:text/javascript,${encodeURIComponent(code)}`), /parsed/);
});

test("the boot code imports Node's own modules only, and agrees with the front on descriptors", () => {
  for (const [, from] of text.matchAll(/^import .* from "(.*)";$/gm)) assert.match(from ?? "", /^node:/);
  assert(text.includes(`const BOOT_FD = ${BOOT_FD};`) && text.includes(`const CODE_FD = ${CODE_FD};`));
});
