import { strict as assert } from "node:assert";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";
import {
  BAD_USAGE,
  type BadModule,
  type BadYaml,
  type Case,
  eachCase,
  FAILED,
  module,
  moduleCases,
  yamlCases,
} from "./bad-input-cases.ts";
import { inScene, SKINK } from "./scene.ts";
import { serve } from "./serve.ts";

/** One or two of each kind; the long run has the others. */
const SPECS: readonly Case[] = [
  { args: ["serve", "tape:1M"], code: BAD_USAGE, says: [/tape/, /memory:SIZE/] },
  { args: ["serve", "FOLDER/missing.ts"], code: BAD_USAGE, says: [/missing\.ts/, /a driver module was wanted/] },
  { args: ["serve", "memory:0"], code: FAILED, says: [/size/, /512/] },
  { args: ["serve", "file:FOLDER/none.img"], code: FAILED, says: [/none\.img/, /\?size=/] },
];

const USAGE: readonly Case[] = [
  { args: ["serve"], code: BAD_USAGE, says: [/spec/i] },
  { args: ["serve", "memory:1M", "--prot", "1"], code: BAD_USAGE, says: [/--prot/, /--port/] },
  { args: ["serve", "FOLDER/none.yaml", "--name", "x"], code: BAD_USAGE, says: [/none\.yaml/, /--name/] },
  { args: ["serve", "memory:1M", "--control", "FOLDER/no/control"], code: FAILED, says: [/no\/control/] },
  { args: ["burn"], code: BAD_USAGE, says: [/burn/] },
  { args: ["status", "--control", "FOLDER/nobody"], code: FAILED, says: [/nobody/, /running front/] },
];

const YAML: readonly BadYaml[] = [
  { yaml: "devices: [", says: [/bad\.yaml:\d+: /] },
  { yaml: "devices:\n  - name: disk\n    spec: memroy:1M\n", says: [/bad\.yaml:3: devices\[0\]\.spec: /, /memory/] },
];

/** Modules that don't get as far as serving. What is refused of a module is the subject of the links' compliance suite. */
const MODULES: readonly BadModule[] = [
  { source: "import 'no-such-package'; export default {};", says: [/no-such-package/] },
  { source: module("return undefined;"), says: [/undefined/, /an object was wanted/] },
  { source: module("process.kill(process.pid, 'SIGKILL'); return new Promise(() => {});"), says: [/SIGKILL/] },
];

test("what can't be served is said in one line that names the thing and the mend", () =>
  inScene(async (scene) => {
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
    const none = { args: ["serve", "FOLDER/none.yaml"], code: BAD_USAGE, says: [/none\.yaml/] };
    await eachCase(scene, [...yamlCases(scene, YAML), none]);
  }));

test("a module that can't be opened is said in one line that names it", () =>
  inScene(async (scene) => {
    await eachCase(scene, moduleCases(scene, MODULES));
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
