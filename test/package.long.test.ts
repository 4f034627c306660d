/** The publishable package, as its user meets it: packed, installed into an empty folder, with a driver of the user's own. */
import { strict as assert } from "node:assert";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const BUILD = fileURLToPath(new URL("../scripts/build.ts", import.meta.url));

const folder = mkdtempSync(join(tmpdir(), "skink-package-"));
const built = join(folder, "built");
const installed = join(folder, "installed");
const env = {
  ...process.env,
  // The Node that runs this test, for npm and for what npx starts.
  PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ""}`,
  XDG_RUNTIME_DIR: folder,
};
after(() => rmSync(folder, { recursive: true, force: true }));

const DRIVER = `
import { defineDriver } from "skink/driver";

interface Options {
  readonly mebibytes: number;
}

export default defineDriver<Options>({
  options: { parse: ({ mebibytes }) => ({ mebibytes: Number(mebibytes) }) },
  open({ mebibytes }, context) {
    const size = mebibytes << 20;
    const disk = context.keep("disk", size);
    return {
      size,
      read: (offset, into) => into.set(disk.subarray(offset, offset + into.length)),
      write: (offset, from) => disk.set(from, offset),
      flush() {},
    };
  },
});
`;

const CLIENT = `
import assert from "node:assert";
import { NbdClient } from "skink/nbd";
import { Front, parseSpec } from "skink";

assert.equal(typeof Front, "function");
assert.equal(parseSpec("memory:1M").kind, "memory");
const client = await NbdClient.connect(process.argv[2]);
const data = new Uint8Array(8192).fill(42);
await client.write(4096, data);
await client.flush();
assert.deepEqual(await client.read(4096, 8192), data);
console.log(client.size);
await client.close();
`;

test("the packed package serves a driver of its user's own from an empty folder", async () => {
  run(process.execPath, [BUILD, "--out", built], folder);
  assert.deepEqual(
    readdirSync(built, { recursive: true, encoding: "utf8" }).filter((path) => /\.test\.|testing|^src\/sim/.test(path)),
    [],
  );
  for (const path of ["LICENSE", ...linksOf("README.md"), ...linksOf("docs/drivers.md")])
    assert.ok(existsSync(join(built, path)), `${path} is not in the package`);
  run("npm", ["pack", "--pack-destination", folder], built);
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  assert.ok(tarball !== undefined);

  mkdirSync(installed);
  run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", join(folder, tarball)], installed);
  assert.ok(existsSync(join(installed, "node_modules/skink/src/index.d.ts")));
  writeFileSync(join(installed, "own-driver.ts"), DRIVER);
  writeFileSync(join(installed, "client.mjs"), CLIENT);

  const front = spawn("npx", ["skink", "serve", "./own-driver.ts?mebibytes=8"], { cwd: installed, env });
  const exited = new Promise((resolve) => front.on("close", resolve));
  try {
    const { name, uri } = await ready(front);
    assert.equal(name, "own-driver");
    assert.equal(run(process.execPath, ["client.mjs", uri], installed).trim(), String(8 << 20));
    run("npx", ["skink", "kill", name], installed);
    run(process.execPath, ["client.mjs", uri], installed);
    run("npx", ["skink", "stop"], installed);
    assert.equal(await exited, 0);
  } finally {
    front.kill();
  }
});

/** The files that a page of the package links to, from the package's folder on. */
function linksOf(page: string): string[] {
  const links = [...readFileSync(join(built, page), "utf8").matchAll(/\]\(([^)#]+)/g)].map((match) => match[1] ?? "");
  return links.filter((link) => !/^\w+:/.test(link)).map((link) => join(dirname(page), link));
}

function run(program: string, arguments_: string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(program, arguments_, { cwd, env, encoding: "utf8" });
  if (error !== undefined) throw error;
  assert.equal(status, 0, `${program} ${arguments_.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

/** The first device that the front says is ready. */
function ready(front: ChildProcess): Promise<{ name: string; uri: string }> {
  return new Promise((resolve, reject) => {
    let said = "";
    front.stderr?.on("data", (text) => {
      said += text;
    });
    createInterface({ input: front.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const [, name, uri] = line.split(" ");
      if (name !== undefined && uri !== undefined) resolve({ name, uri });
    });
    front.on("close", () => reject(new Error(`the front ended before it was ready: ${said}`)));
  });
}
