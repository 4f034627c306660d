import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { until } from "../../test/until.ts";
import { Guardian } from "./guardian.ts";
import { MARK, newMark } from "./process-mark.ts";

const LIMIT = { timeout: 60_000 };
const DEADLINE_MS = 20_000;
/** A single look of each misses two of them, more or less. */
const GUARDIANS = 40;
const EXEC_FOR_EVER = 'again=\'exec /bin/sh -c "$0" "$0"\'; exec /bin/sh -c "$again" "$again"';

test("guardians whose process is killed take along what is in the midst of an exec", LIMIT, async (t) => {
  const { root, families, strays } = stage(t, GUARDIANS);
  const script = `
    const { Guardian } = await import(${JSON.stringify(new URL("guardian.ts", import.meta.url).href)});
    for (const { mark, folder } of ${JSON.stringify(families)}) new Guardian(mark, folder);
    console.log("up");
    setInterval(() => {}, 1e6);`;
  const args = ["--input-type=module", "--eval", script];
  const front = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
  t.after(() => front.kill("SIGKILL"));
  await once(front.stdout, "data");
  front.kill("SIGKILL");
  await until("all folders to be gone", DEADLINE_MS, () => (readdirSync(root).length === 0 ? true : undefined));
  await allKilled(strays);
});

test("a guardian that is to finish takes everything along at once", LIMIT, async (t) => {
  const { root, families, strays } = stage(t, 1);
  for (const { mark, folder } of families) await new Guardian(mark, folder).finish();
  assert.deepEqual(readdirSync(root), []);
  await allKilled(strays);
});

interface Stage {
  readonly root: string;
  /** Each with a folder in the root, and one process that begins a program again and again. */
  readonly families: readonly { readonly mark: string; readonly folder: string }[];
  readonly strays: readonly ChildProcess[];
}

function stage(t: TestContext, count: number): Stage {
  const root = mkdtempSync(join(tmpdir(), "skink-guardian-"));
  const families = Array.from({ length: count }, (_, index) => ({
    // None is the beginning of another one's.
    mark: `${newMark([])}.`,
    folder: join(root, `${index}`),
  }));
  const strays = families.map(({ mark, folder }) => {
    mkdirSync(folder);
    const env = { ...process.env, [MARK]: mark };
    return spawn("/bin/sh", ["-c", EXEC_FOR_EVER], { env, stdio: "ignore", detached: true });
  });
  t.after(() => {
    for (const stray of strays) stray.kill("SIGKILL");
    rmSync(root, { recursive: true, force: true });
  });
  return { root, families, strays };
}

async function allKilled(strays: readonly ChildProcess[]): Promise<void> {
  const isAlive = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode === null && signalCode === null;
  await until("the strays to be gone", DEADLINE_MS, () => (strays.some(isAlive) ? undefined : true));
}
