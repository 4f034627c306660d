import assert from "node:assert/strict";
import { test } from "node:test";
import { onStage, Stage } from "./stage.ts";

const LIMIT = { timeout: 20_000 };

/** What every link to a driver module does alike, beside what links do in general. */
export function moduleCompliance(kind: "process" | "inline"): void {
  for (const [name, text, message] of REFUSED) {
    test(`${kind}: ${name} is refused with one line`, LIMIT, () =>
      onStage(new Stage(kind, text), async (stage) => {
        stage.start(1);
        const failed = await stage.recorder.seen("openFailed", 1);
        assert.match(failed.message, message);
        assert.match(failed.message, /^Cannot open driver driver\.ts: [^\n]+$/);
        await stage.recorder.seen("exited", 1);
        assert.deepEqual(stage.recorder.story(), ["openFailed 1", "exited 1"]);
      }),
    );
  }
}

const open = (body: string) => `export default { open(options, context) { ${body} } };`;
const opened = (device: string) => open(`return { read() {}, size: 4096, ${device} };`);

const REFUSED: readonly [name: string, text: string, message: RegExp][] = [
  ["a module that throws", "throw new TypeError('boom')", /loading it failed: TypeError: boom/],
  ["a module that is no TypeScript", "export default {{", /loading it failed: /],
  ["a module with a missing import", "import './nowhere.ts'", /loading it failed: .*nowhere/],
  ["a module without a default export", "export const x = 1", /no default export, an object with a method open/],
  ["a default export that is no driver", "export default 7", /default export is 7, an object/],
  ["an open that throws", open("throw new Error('a\\nb')"), /: a b$/],
  ["an open that rejects with nothing", open("return Promise.reject()"), /: undefined$/],
  ["an open that returns nothing", open(""), /open returned undefined, an object was wanted$/],
  ["a missing size", opened("size: undefined"), /open returned size undefined, a positive number of bytes was wanted$/],
  ["a size that is no number", opened("size: '4096'"), /size "4096"/],
  ["a size below a block", opened("size: 100"), /size 100, at least one block of 512 bytes/],
  ["a size past all bounds", opened("size: 2 ** 60"), /size 1152921504606847000/],
  ["an odd block size", opened("blockSize: 1000"), /block size 1000, a power of two from 512 to 65536/],
  ["a missing read", opened("read: undefined"), /read undefined, a method/],
  ["a method that is none", opened("trim: true"), /trim true, a method/],
  ["a write without a flush", opened("write() {}"), /write without flush/],
  ["an identity that is no string", opened("identity: 7"), /identity 7, a string/],
  ["a flag that is none", opened("fua: 'yes'"), /fua "yes", a boolean/],
  [
    "a region of another size",
    open("context.keep('a', 4096); context.keep('a', 8192)"),
    /Cannot keep a: there are 4096 bytes of it, 8192 were wanted/,
  ],
  ["a region of no size", open("context.keep('a', -1)"), /Cannot keep a: -1 bytes, a positive number was wanted/],
  [
    "an option against the schema",
    `export default { open() {}, options: { parse() {
      throw { issues: [{ path: ["size"], message: "too big" }, { path: [], message: "unknown" }] }; } } };`,
    /option size: too big; options: unknown$/,
  ],
];
