import { strict as assert } from "node:assert";
import { stripTypeScriptTypes } from "node:module";
import { test } from "node:test";
import { parse, type Token } from "acorn";
import { SeededRandom } from "../../block/random.ts";
import { applyMutant } from "./change.ts";
import type { SourceFile } from "./code.ts";
import { drawMutant, type Mutant, mutantsOf } from "./mutants.ts";
import { OPERATORS } from "./operators/index.ts";
import { sourcesOf } from "./sources.ts";

const ROOT = new URL("../../../", import.meta.url);
const DRIVERS = [
  "src/drivers/memory.ts",
  "src/drivers/null/null.ts",
  "src/drivers/file/file.ts",
  "examples/tiny.ts",
  "examples/volatile.ts",
];
/** What no driver of ours does: it has nothing that is copied, or waited for, all at once. */
const NOT_IN_DRIVERS = ["raced-promises"];

const sources = DRIVERS.flatMap((path) => sourcesOf(new URL(path, ROOT).href));
/** Of each source, all of them. */
const mutantsBySource = new Map(sources.map((source) => [source, mutantsOf(source)]));

test("each mutant of every driver parses, and is another program by one change in one place", () => {
  for (const [source, mutants] of mutantsBySource) {
    const program = programOf(source.text);
    for (const mutant of mutants) {
      const changed = applyMutant(source.text, mutant);
      const untouched = source.text.length - (mutant.end - mutant.start);
      assert.equal(changed.length, untouched + mutant.replacement.length, about(mutant));
      assert.ok(changed.startsWith(source.text.slice(0, mutant.start)), about(mutant));
      assert.ok(changed.endsWith(source.text.slice(mutant.end)), about(mutant));
      assert.notEqual(programOf(changed), program, about(mutant));
    }
  }
});

test("each mutant is made once, and says where it is in one line", () => {
  for (const [source, mutants] of mutantsBySource) {
    assert.equal(new Set(mutants.map((mutant) => applyMutant(source.text, mutant))).size, mutants.length);
    for (const mutant of mutants) {
      assert.equal(mutant.file, source.url);
      assert.equal(mutant.line, source.text.slice(0, mutant.start).split("\n").length);
      assert.match(mutant.description, /^.{1,120} → .{1,120}$/);
      assert.deepEqual(JSON.parse(JSON.stringify(mutant)), mutant);
    }
  }
});

test("every operator finds something to do in the drivers, but for what they don't do", () => {
  const found = new Set([...mutantsBySource.values()].flat().map(({ kind }) => kind));
  const missing = OPERATORS.filter(({ name }) => !found.has(name)).map(({ name }) => name);
  assert.deepEqual(missing, NOT_IN_DRIVERS);
});

test("the same seed draws the same mutants", () => {
  assert.deepEqual(drawMany(7, 50), drawMany(7, 50));
  assert.notDeepEqual(drawMany(7, 50), drawMany(8, 50));
});

test("no class and no operator is drowned by the others", () => {
  const drawn = drawMany(1, 1500);
  const classes = Map.groupBy(drawn, classOf);
  for (const [name, mutants] of classes) {
    assert.ok(Math.abs(mutants.length - 500) < 100, `${mutants.length} of ${name}`);
    const operators = Map.groupBy(mutants, ({ kind }) => kind);
    const expected = mutants.length / operators.size;
    for (const [kind, { length }] of operators)
      assert.ok(length > expected / 2 && length < expected * 2, `${length} of ${kind}`);
  }
  assert.equal(classes.size, 3);
});

test("what doesn't parse is not drawn", () => {
  // To keep the buffer would be `void setImmediate(…) ** 2`.
  const source = { url: "file:///driver.ts", text: "x = to.set(from) ** 2" };
  for (let seed = 0; seed < 20; seed++) {
    const mutant = drawMutant([source], new SeededRandom(seed));
    assert.doesNotThrow(() => programOf(applyMutant(source.text, mutant)));
  }
});

test("a source without code, and one that is no module, are refused", () => {
  const random = new SeededRandom(1);
  const draw = (text: string) => (): Mutant => drawMutant([{ url: "file:///driver.ts", text }], random);
  assert.throws(draw("// nothing yet"), { code: "no-mutants", message: /^Cannot break file:\/\/\/driver\.ts: / });
  assert.throws(draw("const = 1"), { code: "bad-source", message: /^Cannot parse file:\/\/\/driver\.ts: .*$/ });
  assert.throws(draw("enum A { B }"), { code: "bad-source" });
});

test("a change for a longer text is refused", () => {
  assert.throws(() => applyMutant("short", { start: 3, end: 9, replacement: "" }), RangeError);
});

test("positions hold in a source with all kinds of types and letters", () => {
  const text = `// é 日本 😀
export const f = async <T extends { é: "日本😀" }>(x: T, offset: number): Promise<
  T
> => {
  const n = (await g(x as unknown as T, offset!)) satisfies T;
  return g(n /* 😀 */, offset);
};
declare const d: number;
function g<T>(this: void, x: T, n?: number): Promise<T>;
function g<T>(x: T, n = 7): Promise<T> { return Promise.resolve(x) }
abstract class A { abstract y: number; #z: string | undefined = f(1, 2) as never }
`;
  const source: SourceFile = { url: "file:///driver.ts", text };
  const texts = mutantsOf(source).map((mutant) => applyMutant(text, mutant));
  for (const [before, after] of [
    ["await g(", " g("],
    ["n /* 😀 */, offset", "offset /* 😀 */, n"],
    ["n = 7", "n = 14"],
    ["f(1, 2)", "f(2, 1)"],
  ] as const) {
    assert.ok(texts.includes(text.replace(before, after)), after);
  }
});

/** Its symbols, whatever the blanks, comments and types in between. Throws if it doesn't parse. */
function programOf(text: string): string {
  const symbols: Token[] = [];
  const stripped = stripTypeScriptTypes(text);
  parse(stripped, { ecmaVersion: "latest", sourceType: "module", onToken: symbols });
  return symbols.map(({ start, end }) => stripped.slice(start, end)).join(" ");
}

function drawMany(seed: number, count: number): Mutant[] {
  const random = new SeededRandom(seed);
  return Array.from({ length: count }, () => drawMutant(sources, random));
}

function classOf({ kind }: Mutant): string {
  return OPERATORS.find(({ name }) => name === kind)?.class ?? "";
}

function about({ file, line, kind, description }: Mutant): string {
  return `${file}:${line} ${kind}: ${description}`;
}
