import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";
import { inScene, type Scene, SKINK } from "./scene.ts";
import { serve } from "./serve.ts";

const FAILED = 1;
const BAD_USAGE = 2;
/** More wouldn't start any sooner on a small machine. */
const CASES_AT_ONCE = 3;

/** Arguments of `skink`; `FOLDER` stands for the scene's. */
interface Case {
  readonly args: readonly string[];
  readonly code: number;
  /** Everything that the one line has to say: the thing, and the mend. */
  readonly says: readonly RegExp[];
}

const SPECS: readonly Case[] = [
  { args: ["serve", "tape:1M"], code: BAD_USAGE, says: [/tape/, /memory:SIZE/] },
  { args: ["serve", "memroy:1M"], code: BAD_USAGE, says: [/memroy/, /memory/] },
  { args: ["serve", "exec:nbdkit"], code: BAD_USAGE, says: [/exec/, /\{socket\}/] },
  { args: ["serve", "nbd+unix:///disk"], code: BAD_USAGE, says: [/disk/, /socket/] },
  { args: ["serve", "nbd://host/?settle=soon"], code: BAD_USAGE, says: [/settle/, /5ms/] },
  { args: ["serve", "exec:x {socket}", "--link", "inline"], code: BAD_USAGE, says: [/inline/, /no link was wanted/] },
  { args: ["serve", "FOLDER/missing.ts"], code: BAD_USAGE, says: [/missing\.ts/, /a driver module was wanted/] },
  { args: ["serve", "memory:1M?bolck=512"], code: FAILED, says: [/bolck/, /block/] },
  { args: ["serve", "memory:lots"], code: FAILED, says: [/lots/, /256M/] },
  { args: ["serve", "memory:0"], code: FAILED, says: [/size/, /512/] },
  { args: ["serve", "null:1M?latency=soon"], code: FAILED, says: [/latency/, /5ms/] },
  { args: ["serve", "file:FOLDER/none.img"], code: FAILED, says: [/none\.img/, /\?size=/] },
  { args: ["serve", "file:FOLDER"], code: FAILED, says: [/folder/, /regular file/] },
  { args: ["serve", "file:FOLDER/no/disk.img?size=1M"], code: FAILED, says: [/no\/disk\.img/] },
  { args: ["serve", "file:FOLDER/2M.img?size=1M"], code: FAILED, says: [/2M/, /1M/] },
];

const USAGE: readonly Case[] = [
  { args: ["serve"], code: BAD_USAGE, says: [/spec/i] },
  { args: ["serve", "memory:1M", "--prot", "1"], code: BAD_USAGE, says: [/--prot/, /--port/] },
  { args: ["serve", "memory:1M", "--port", "high"], code: BAD_USAGE, says: [/high/] },
  { args: ["serve", "memory:1M", "--port", "65536"], code: BAD_USAGE, says: [/65536/, /from 0 to 65535/] },
  { args: ["serve", "FOLDER/none.yaml", "--name", "x"], code: BAD_USAGE, says: [/none\.yaml/, /--name/] },
  ...[["--standby"], ["--verify", "digests"], ["--fallback", "memory:1M"]].map((option) => ({
    args: ["serve", "FOLDER/none.yaml", ...option],
    code: BAD_USAGE,
    says: [/none\.yaml/, new RegExp(`${option[0]} beside it, this to be said of each device`)],
  })),
  { args: ["serve", "memory:1M", "--verify", "all"], code: BAD_USAGE, says: [/all/, /digests/] },
  { args: ["serve", "memory:1M", "--fallback", "memroy:1M"], code: BAD_USAGE, says: [/memroy/, /memory/] },
  { args: ["serve", "memory:1M", "--link", "rope"], code: BAD_USAGE, says: [/rope/, /process/] },
  { args: ["serve", "memory:1M", "--socket", "FOLDER/no/nbd"], code: FAILED, says: [/no\/nbd/] },
  { args: ["serve", "memory:1M", "--control", "FOLDER/no/control"], code: FAILED, says: [/no\/control/] },
  { args: ["serve", "memory:1M", "--name", ""], code: BAD_USAGE, says: [/""/, /1 to 4096 bytes/] },
  {
    args: ["serve", "memory:1M", "--name", "n".repeat(4097)],
    code: BAD_USAGE,
    says: [/4097 bytes/, /1 to 4096 bytes/],
  },
  {
    args: ["serve", "memory:1M", "--name", "a\nb"],
    code: BAD_USAGE,
    says: [/name a device "a\\nb"/, /control characters/],
  },
  { args: ["serve", "memory:1M", "--socket", `FOLDER/${"n".repeat(107)}`], code: FAILED, says: [/at most 107/] },
  { args: ["serve", "memory:1M", "--control", `FOLDER/${"n".repeat(107)}`], code: FAILED, says: [/at most 107/] },
  { args: ["burn"], code: BAD_USAGE, says: [/burn/] },
  { args: ["kill", "--control", "FOLDER/nobody"], code: BAD_USAGE, says: [/name/i] },
  { args: ["status", "--control", "FOLDER/nobody"], code: FAILED, says: [/nobody/, /running front/] },
  { args: ["stop"], code: FAILED, says: [/front/, /--control/] },
];

const DEVICE = "devices:\n  - name: disk\n    spec: memory:1M\n";
const YAML: readonly { readonly yaml: string; readonly says: readonly RegExp[] }[] = [
  { yaml: "devices: [", says: [/bad\.yaml:\d+: /] },
  { yaml: "", says: [/bad\.yaml/, /devices: it is missing/] },
  { yaml: "devices:\n  - name: disk\n    spec: memroy:1M\n", says: [/bad\.yaml:3: devices\[0\]\.spec: /, /memory/] },
  { yaml: `${DEVICE}    polcy: {}\n`, says: [/:4: devices\[0\]\.polcy: /, /policy/] },
  { yaml: `${DEVICE}    policy: { openTimeoutMs: soon }\n`, says: [/:4: devices\[0\]\.policy\.openTimeoutMs: /] },
  { yaml: `${DEVICE}listen: { port: 99999 }\n`, says: [/:4: listen\.port: /, /65535/] },
];

/** Modules that don't get as far as serving. What is refused of a module is the subject of the links' compliance suite. */
const MODULES: readonly { readonly source: string; readonly says: readonly RegExp[] }[] = [
  { source: "throw new Error('no luck today');", says: [/no luck today/] },
  { source: "import 'no-such-package'; export default {};", says: [/no-such-package/] },
  { source: module("throw new Error('no luck today');"), says: [/no luck today/] },
  { source: module("return Promise.reject(new Error('no\\nluck'));"), says: [/no luck/] },
  { source: module("throw undefined;"), says: [/undefined/] },
  { source: module("return undefined;"), says: [/undefined/, /an object was wanted/] },
  { source: module("return { size: -1, read() {} };"), says: [/size -1/, /a positive number of bytes/] },
  { source: module("process.exit(3);"), says: [/3/] },
  { source: module("process.kill(process.pid, 'SIGKILL'); return new Promise(() => {});"), says: [/SIGKILL/] },
];

test("what can't be served is said in one line that names the thing and the mend", () =>
  inScene(async (scene) => {
    scene.write("2M.img", new Uint8Array(2 << 20));
    await eachCase(scene, SPECS);
    assert.equal(existsSync(scene.path("none.img")), false);
  }));

test("bad usage is said in one line that names the thing and the mend", () =>
  inScene(async (scene) => {
    await eachCase(scene, USAGE);
  }));

test("an older Node is told so in one line", () =>
  inScene(async (scene) => {
    const old = "data:text/javascript,Object.defineProperty(process,'version',{value:'v20.20.2'})";
    const { code, stdout, stderr } = await scene.run(process.execPath, ["--import", old, SKINK, "status"]);
    assert.equal(code, BAD_USAGE);
    assert.equal(stdout, "");
    assert.match(stderr, /^Cannot run skink: this is Node v20\.20\.2, 24 or newer was wanted[^\n]*\n$/);
  }));

test("each mistake in a configuration is said with its file, line and path", () =>
  inScene(async (scene) => {
    const cases = YAML.map(({ yaml, says }, index) => {
      const folder = `FOLDER/${index}-bad.yaml`;
      scene.write(`${index}-bad.yaml`, yaml);
      return { args: ["serve", folder], code: BAD_USAGE, says };
    });
    cases.push({ args: ["serve", "FOLDER/none.yaml"], code: BAD_USAGE, says: [/none\.yaml/] });
    await eachCase(scene, cases);
  }));

test("a module that can't be opened is said in one line that names it", () =>
  inScene(async (scene) => {
    const cases = MODULES.map(({ source, says }, index) => {
      const name = `module-${index}`;
      scene.write(`${name}.ts`, source);
      return { args: ["serve", `FOLDER/${name}.ts`], code: FAILED, says: [new RegExp(name), ...says] };
    });
    await eachCase(scene, cases);
  }));

test("a module that never opens is given up after openTimeoutMs", () =>
  inScene(async (scene) => {
    scene.write("never.ts", module("return new Promise(() => {});"));
    scene.write("spins.ts", module("for (;;);"));
    for (const name of ["never", "spins"]) {
      const yaml = `devices:\n  - name: disk\n    spec: ./${name}.ts\n    policy: { openTimeoutMs: 500 }\n`;
      scene.write(`${name}.yaml`, yaml);
    }
    const says = [/disk/, /500 ms/];
    const cases = ["never", "spins"].map((name) => ({ args: ["serve", `FOLDER/${name}.yaml`], code: FAILED, says }));
    await eachCase(scene, cases);
  }));

test("a living front's sockets are an error, a dead one's are replaced", () =>
  inScene(async (scene) => {
    const front = await serve(scene, "memory:1M");
    const [nbd, control] = [scene.path("nbd"), front.control];
    const other = scene.path("other");
    await eachCase(scene, [
      { args: ["serve", "memory:1M", "--socket", nbd, "--control", other], code: FAILED, says: [/nbd/, /listens/] },
      { args: ["serve", "memory:1M", "--socket", other, "--control", control], code: FAILED, says: [/control/] },
    ]);
    assert.equal((await front.device()).state, "live");
    await front.end("SIGKILL");
    assert.equal(existsSync(nbd), true);
    const next = await serve(scene, "memory:1M");
    await next.stop();
  }));

test("a port in use is an error, and a file that is no socket is left alone", () =>
  inScene(async (scene) => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    scene.defer(() => server.close());
    const { port } = server.address() as { port: number };
    const file = scene.write("precious", "data");
    await eachCase(scene, [
      { args: ["serve", "memory:1M", "--port", `${port}`], code: FAILED, says: [new RegExp(`${port}`)] },
      { args: ["serve", "memory:1M", "--socket", file], code: FAILED, says: [/precious/] },
      { args: ["serve", "memory:1M", "--control", file], code: FAILED, says: [/precious/] },
    ]);
    assert.equal(readFileSync(file, "utf8"), "data");
  }));

test("a file that another front serves is not served twice", () =>
  inScene(async (scene) => {
    const spec = `file:${scene.path("disk.img")}?size=1M`;
    const front = await serve(scene, spec);
    await eachCase(scene, [{ args: ["serve", spec], code: FAILED, says: [/disk\.img/, /is served by device "file"/] }]);
    await front.stop();
  }));

/** A driver module whose `open` has this body. */
function module(body: string): string {
  return `export default { open(options, context) { ${body} } };`;
}

/** A line of the log, which is JSON where stderr is no terminal, or a hint in parentheses after the error itself. */
function isAside(line: string): boolean {
  return line.startsWith("{") || /^\(.*\)$/.test(line);
}

/** Runs all cases, and holds of each: its exit code, one line on stderr, nothing on stdout, nothing left behind. */
async function eachCase(scene: Scene, cases: readonly Case[]): Promise<void> {
  const before = readdirSync(scene.folder);
  const checkOne = async ({ args, code, says }: Case): Promise<void> => {
    const given = args.map((arg) => arg.replace("FOLDER", scene.folder));
    const ended = await scene.skink(...given);
    const what = `skink ${args.join(" ")}: ${ended.stderr}`;
    assert.equal(ended.code, code, what);
    assert.equal(ended.stdout, "", what);
    const lines = ended.stderr.split("\n").filter((line) => line !== "" && !isAside(line));
    assert.equal(lines.length, 1, what);
    for (const expected of says) assert.match(ended.stderr, expected, what);
  };
  for (let at = 0; at < cases.length; at += CASES_AT_ONCE) {
    await Promise.all(cases.slice(at, at + CASES_AT_ONCE).map(checkOne));
    assert.deepEqual(readdirSync(scene.folder), before);
    assert.deepEqual(readdirSync(scene.path("tmp")), []);
  }
}
