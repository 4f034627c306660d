import { strict as assert } from "node:assert";
import { test } from "node:test";
import { withMark } from "./reached.ts";

/** What is between the brackets has been changed. */
for (const [name, code, expected] of [
  ["a statement", "function f() { a(); [b()]; }", "function f() { a(); skinkReached(); b(); }"],
  ["a part of one", "function f() { return a + [b]; }", "function f() { skinkReached(); return a + b; }"],
  ["a deleted one", "function f() { a(); [] c(); }", "function f() { a(); skinkReached();  c(); }"],
  ["the only one", "function f() { [] }", "function f() { skinkReached();  }"],
  ["a condition", "if ([x]) y();", "skinkReached(); if (x) y();"],
  ["a branch without braces", "if (x) [y]();", "if (x) { skinkReached(); y(); }"],
  ["another branch", "if (x) y(); else z([1]);", "if (x) y(); else { skinkReached(); z(1); }"],
  ["the body of a loop", "for (const x of y) z([1]);", "for (const x of y) { skinkReached(); z(1); }"],
  ["the head of a loop", "for (let i = 0; i < [1]; i++) z();", "skinkReached(); for (let i = 0; i < 1; i++) z();"],
  ["an arrow's body", "const f = (x) => g([x]);", "const f = (x) => (skinkReached(), g(x));"],
  ["an object as such", "const f = () => ({ x: [1] });", "const f = () => ((skinkReached(), { x: 1 }));"],
  ["an arrow's block", "const f = () => { g([1]); };", "const f = () => { skinkReached(); g(1); };"],
  ["a method", "const o = { async m() { await [x]; } };", "const o = { async m() { skinkReached(); await x; } };"],
  ["what is in a handler, all of which", "try { x(); } catch [{}]", "try { x(); } catch {skinkReached(); }"],
  ["what is in a branch, all of which", "if (x) [{ y(); }] else z();", "if (x) {skinkReached();  y(); } else z();"],
  ["a case", "switch (x) { case 1: y(); z([1]); }", "switch (x) { case 1: y(); skinkReached(); z(1); }"],
  ["a module's own", "import a from 'a';\n[a]();", "import a from 'a';\nskinkReached(); a();"],
  ["what exports", "export default f([1]);", "skinkReached(); export default f(1);"],
  ["what is no module", "if ([", "skinkReached(); if ("],
] as const) {
  test(`a mark is put before ${name}`, () => {
    const start = code.indexOf("[");
    const end = code.indexOf("]") - 1;
    assert.equal(withMark(code.replace("[", "").replace("]", ""), start, end < 0 ? start : end), expected);
  });
}
