/** What test/bad-input.test.ts has a few of, in full. */
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
import { inScene } from "./scene.ts";

const SPECS: readonly Case[] = [
  { args: ["serve", "memroy:1M"], code: BAD_USAGE, says: [/memroy/, /memory/] },
  { args: ["serve", "exec:nbdkit"], code: BAD_USAGE, says: [/exec/, /\{socket\}/] },
  { args: ["serve", "nbd+unix:///disk"], code: BAD_USAGE, says: [/disk/, /socket/] },
  { args: ["serve", "nbd://host/?settle=soon"], code: BAD_USAGE, says: [/settle/, /5ms/] },
  { args: ["serve", "exec:x {socket}", "--link", "inline"], code: BAD_USAGE, says: [/inline/, /no link was wanted/] },
  { args: ["serve", "memory:1M?bolck=512"], code: FAILED, says: [/bolck/, /block/] },
  { args: ["serve", "memory:lots"], code: FAILED, says: [/lots/, /256M/] },
  { args: ["serve", "null:1M?latency=soon"], code: FAILED, says: [/latency/, /5ms/] },
  { args: ["serve", "file:FOLDER"], code: FAILED, says: [/folder/, /regular file/] },
  { args: ["serve", "file:FOLDER/no/disk.img?size=1M"], code: FAILED, says: [/no\/disk\.img/] },
  { args: ["serve", "file:FOLDER/2M.img?size=1M"], code: FAILED, says: [/2M/, /1M/] },
];

const USAGE: readonly Case[] = [
  { args: ["serve", "memory:1M", "--port", "high"], code: BAD_USAGE, says: [/high/] },
  { args: ["serve", "memory:1M", "--port", "65536"], code: BAD_USAGE, says: [/65536/, /from 0 to 65535/] },
  ...[["--standby"], ["--verify", "digests"], ["--fallback", "memory:1M"]].map((option) => ({
    args: ["serve", "FOLDER/none.yaml", ...option],
    code: BAD_USAGE,
    says: [/none\.yaml/, new RegExp(`${option[0]} beside it, this to be said of each device`)],
  })),
  { args: ["serve", "memory:1M", "--verify", "all"], code: BAD_USAGE, says: [/all/, /digests/] },
  { args: ["serve", "memory:1M", "--fallback", "memroy:1M"], code: BAD_USAGE, says: [/memroy/, /memory/] },
  { args: ["serve", "memory:1M", "--link", "rope"], code: BAD_USAGE, says: [/rope/, /process/] },
  { args: ["serve", "memory:1M", "--socket", "FOLDER/no/nbd"], code: FAILED, says: [/no\/nbd/] },
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
  { args: ["kill", "--control", "FOLDER/nobody"], code: BAD_USAGE, says: [/name/i] },
  { args: ["stop"], code: FAILED, says: [/front/, /--control/] },
];

const DEVICE = "devices:\n  - name: disk\n    spec: memory:1M\n";
const YAML: readonly BadYaml[] = [
  { yaml: "", says: [/bad\.yaml/, /devices: it is missing/] },
  { yaml: `${DEVICE}    polcy: {}\n`, says: [/:4: devices\[0\]\.polcy: /, /policy/] },
  { yaml: `${DEVICE}    policy: { openTimeoutMs: soon }\n`, says: [/:4: devices\[0\]\.policy\.openTimeoutMs: /] },
  { yaml: `${DEVICE}listen: { port: 99999 }\n`, says: [/:4: listen\.port: /, /65535/] },
];

const MODULES: readonly BadModule[] = [
  { source: "throw new Error('no luck today');", says: [/no luck today/] },
  { source: module("throw new Error('no luck today');"), says: [/no luck today/] },
  { source: module("return Promise.reject(new Error('no\\nluck'));"), says: [/no luck/] },
  { source: module("throw undefined;"), says: [/undefined/] },
  { source: module("return { size: -1, read() {} };"), says: [/size -1/, /a positive number of bytes/] },
  { source: module("process.exit(3);"), says: [/3/] },
];

test("all that can't be served is said in one line that names the thing and the mend", () =>
  inScene(async (scene) => {
    scene.write("2M.img", new Uint8Array(2 << 20));
    await eachCase(scene, SPECS);
  }));

test("every bad usage is said in one line that names the thing and the mend", () =>
  inScene(async (scene) => {
    await eachCase(scene, USAGE);
  }));

test("all mistakes in a configuration are said with their file, line and path", () =>
  inScene(async (scene) => {
    await eachCase(scene, yamlCases(scene, YAML));
  }));

test("every module that can't be opened is said in one line that names it", () =>
  inScene(async (scene) => {
    await eachCase(scene, moduleCases(scene, MODULES));
  }));
