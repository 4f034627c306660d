import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { applyMutant } from "../change.ts";
import { mutantsOf } from "../mutants.ts";
import { OPERATORS } from "./index.ts";

/** For each operator: a source, and all that the operator makes of it. What comes to nothing is listed too. */
const CASES: { readonly [operator: string]: readonly (readonly [source: string, ...mutants: string[]])[] } = {
  "missing-initialisation": [
    ["let at: number = 0, on; const f = () => 1;", "let at: number = undefined, on; const f = () => 1;"],
    ["class A { #x?: number = 1; y = undefined }", "class A { #x?: number = undefined; y = undefined }"],
    ["function f(a: number = 1) {}", "function f(a: number = undefined) {}"],
  ],
  "off-by-one": [
    ["if (a /* < */ < (b)) c", "if (a /* < */ <= (b)) c"],
    ["a >= b; a > b; a === b", "a > b; a > b; a === b", "a >= b; a >= b; a === b"],
    ["f(a + b, c)", "f(a + b + 1, c)", "f(a + b - 1, c)"],
    ["x = list[at]", "x = list[at + 1]", "x = list[at - 1]"],
    ["throw f(`a` + b)"],
  ],
  "wrong-length": [
    ["f(from.byteLength)", "f((from.byteLength + 512))", "f((from.byteLength / 2))"],
    ["const g = (length: number) => f(length)", ...both("const g = (length: number) => f((length", "))")],
    ["x.length = 1; f(length, deviceSize)"],
  ],
  "wrong-constant": [
    ["const a: 8 = 8", "const a: 8 = 0", "const a: 8 = 9", "const a: 8 = 16"],
    ["f(0, true)", "f(1, true)", "f(0, false)"],
    ["x = { 1: null, b: 'c' }"],
  ],
  "deleted-assignment": [
    ["page.dirty |= f(x)", "page.dirty"],
    ["for (let i = 0; i < 3; i++);", "for (let i = 0; i < 3; i);"],
    ["[a, b] = c"],
  ],
  "wrong-source": [
    ["function f(a, b) { return a - b }", "function f(a, b) { return b - b }", "function f(a, b) { return a - a }"],
    ["function f(a, b) { return { a } }", "function f(a, b) { return { a: b } }"],
    // What is a number here is no object there, and nobody takes one for the other.
    ["function f(a, b) { a.x(); b * 2 }"],
    // What is declared, and what is written to.
    ["function f(a, b) { const { c } = x(); a = 1 }"],
    // Not there yet, and not there at all.
    ["function f(a) { return a; } const b = 1; import { c } from 'c'"],
  ],
  "wrong-destination": [
    ["let a = 1; let b = 2; a += 1", "let a = 1; let b = 2; b += 1"],
    ["let a = 1; const b = 2; a += 1"],
    ["function f(to, from) { to.set(from); from.x }", "function f(to, from) { from.set(from); from.x }"],
    ["function f(a, b) { a[0].c++; b.d }", "function f(a, b) { b[0].c++; b.d }"],
    ["function f(a, b) { a.get(b); b.d }"],
  ],
  "swapped-copy": [["to.set(from.subarray(1), at)", "from.subarray(1).set(to, at)"], ["to.set(a ? b : c); set(x)"]],
  "wrong-offset": [
    ["function f(offset: number) { g(offset!) }", ...moved("function f(offset: number) { g(offset", "!) }")],
    ["f((a - b))", ...moved("f((a - b", "))")],
    ["f(offset, 'x' + y)"],
  ],
  "wrong-argument": [["function f(a, b) { g(a); g(1) }", "function f(a, b) { g(b); g(1) }"]],
  "swapped-arguments": [
    ["f(a, b as X, c)", "f(b, a as X, c)", "f(a, c as X, b)"],
    ["f(a, a); f(...a, b); Math.min(a, b)"],
  ],
  "missing-argument": [
    ["f(a, (b)); f(a)", "f(a); f(a)"],
    ["new F(a, b, c)", "new F(a, b)"],
  ],
  "deleted-branch": [
    ["if (a) b", "if (true) b", "if (false) b"],
    ["if (true) a", "if (false) a"],
    ["x = a && b ? c : d", "x = true ? c : d", "x = false ? c : d"],
    ["while (a) b"],
  ],
  "inverted-condition": [
    ["if (a === b) c", "if (!(a === b)) c"],
    ["for (; a < b; ) c", "for (; !(a < b); ) c"],
    ["x = (a) === (b)", "x = (a) !== (b)"],
    ["if (a && b != c) d", "if (!(a && b != c)) d", "if (a && b == c) d"],
  ],
  "confused-connective": [["x = a && b", "x = a || b"], ["x = a || b", "x = a && b"], ["x = a ?? b"]],
  "endless-loop": [["while (a) b", "while (true) b"], ["do a; while (b)", "do a; while (true)"], ["for (;;) a"]],
  "deleted-statement": [
    [
      "f()\nif (a) throw b; else c()",
      ";\nif (a) throw b; else c()",
      "f()\nif (a) ; else c()",
      "f()\nif (a) throw b; else ;",
    ],
    ["for (;;) break", "for (;;) ;"],
    ["'use strict'; a = f(); b++"],
  ],
  "wrong-operator": [
    ["x = (a + b) % c", "x = (a + b) * c", "x = (a - b) % c"],
    ["x <<= 1", "x >>= 1"],
    ["x = 'a' + b; y += `c`; z = a ** b; w ||= 1"],
  ],
  "dropped-await": [["const a = await f()", "const a =  f()"], ["await f()"]],
  "dropped-return": [
    ["function f() { if (a) return; b() }", "function f() { if (a) ; b() }"],
    [
      "function f() { if (a) return g(); return { b } }",
      "function f() { if (a) void (g()); return { b } }",
      "function f() { if (a) return g(); void ({ b }); }",
    ],
    // The work is done, and nobody waits for it: that is an early acknowledgement.
    ["function f() { return g() }"],
  ],
  "early-acknowledgement": [
    ["await f()", "void f()"],
    ["async () => { return await f() }", "async () => { { void f(); return; } }"],
    ["export default { flush: () => sync(fd) }", "export default { flush: () => void sync(fd) }"],
    ["x = new Promise<void>((done) => f(done))", "x = new Promise<void>((done) => (done(), f(done)))"],
    ["x = new Promise((done) => { f(done) })", "x = new Promise((done) => { done(); f(done) })"],
    ["list.map((a) => f(a)); x = { write: () => to.set(from), max: () => Math.max(1, 2) }"],
  ],
  "raced-promises": [["await Promise.all(a)", "await Promise.race(a)"], ["await all(a)"]],
  "double-completion": [
    ["callback(null);", "{ callback(null); callback(null); }"],
    ["if (a) f(); else b", "if (a) { f(); f(); } else b"],
    ["await f()", "{ await f(); await f(); }"],
    [
      "new Promise((resolve, reject) => { if (a) reject(b); else resolve(c) })",
      "{ new Promise((resolve, reject) => { if (a) reject(b); else resolve(c) }); new Promise((resolve, reject) => { if (a) reject(b); else resolve(c) }); }",
    ],
  ],
  "kept-buffer": [
    ["kept = from.slice(1)", "kept = from.subarray(1)"],
    ["kept = Buffer.from(from)", "kept = from"],
    ["kept = new Uint8Array(from); from.length", "kept = from; from.length"],
    ["kept = structuredClone(a.b)", "kept = a.b"],
    [
      "const write = (from) => blocks.set(from, 0)",
      "const write = (from) => void setImmediate(() => blocks.set(from, 0))",
    ],
    ["blocks = new Uint8Array(size); Array.from(a)"],
    // It would be no program any more.
    ["x = to.set(from) ** 2"],
  ],
  "swallowed-error": [
    ["try { a() } catch (error) { throw error }", "try { a() } catch (error) {}"],
    ["f().catch(g)", "f().catch(() => {})"],
    ["new Promise((yes, no) => no(a))", "new Promise((yes, no) => yes())"],
    ["try { a() } catch {}; reject(a)"],
  ],
  "missing-finally": [["try { a() } finally { b() }", "try { a() } finally {}"], ["try { a() } finally {}"]],
};

for (const { name } of OPERATORS) {
  test(`${name} makes of a source what it says, and nothing else`, () => {
    const cases = CASES[name] ?? [];
    assert.ok(cases.length > 0, `there is no case for ${name}`);
    for (const [text, ...expected] of cases) {
      const mutants = mutantsOf({ url: "file:///driver.ts", text }).filter(({ kind }) => kind === name);
      assert.deepEqual(
        mutants.map((mutant) => applyMutant(text, mutant)),
        expected,
        text,
      );
    }
  });
}

test("docs/torture.md has a row for each operator, in the same words, and no other", () => {
  const page = readFileSync(new URL("../../../../docs/torture.md", import.meta.url), "utf8");
  const [, section = ""] = page.split("\n## What is broken: code\n");
  const rows = (section.split("\n## ")[0] ?? "").split("\n").filter((line) => line.startsWith("| `"));
  const wanted = OPERATORS.map(({ name, class: of, does, bug }) => `| \`${name}\` | ${of} | ${does} | ${bug} |`);
  assert.deepEqual(
    rows.map((row) => row.replaceAll("\\|", "|")),
    wanted,
  );
});

function both(before: string, after: string): [string, string] {
  return [`${before} + 512${after}`, `${before} / 2${after}`];
}

function moved(before: string, after: string): [string, string] {
  return [`${before} + 512${after}`, `${before} - 512${after}`];
}
