import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { syncFolder } from "./sync-folder.ts";
import type { Workload } from "./workload.ts";

const STEPS = 5;
/** So many of the newest files are kept. */
const KEPT = 2;
const CONTENT_BYTES = 10_000;

/**
 * Files as careful programs make and remove them: written under another name, synced, renamed, and the folder synced. In between,
 * files and folders that nobody syncs.
 */
export const fileWorkload: Workload = {
  async run(root, acknowledge) {
    const folder = join(root, "kept");
    mkdirSync(folder);
    syncFolder(root);
    await acknowledge(0);
    for (let step = 1; step <= STEPS; step++) {
      mkdirSync(join(root, `passing ${step}`));
      writeFileSync(join(root, `passing ${step}`, "file"), contentOf(step));
      const fresh = join(folder, "fresh");
      writeFileSync(fresh, contentOf(step), { flush: true });
      renameSync(fresh, join(folder, nameOf(step)));
      rmSync(join(folder, nameOf(step - KEPT)), { force: true });
      syncFolder(folder);
      rmSync(join(root, `passing ${step - 1}`), { recursive: true, force: true });
      await acknowledge(step);
    }
  },

  async check(root, acknowledged) {
    const folder = join(root, "kept");
    const next = acknowledged + 1;
    for (let step = 1; step <= next; step++) {
      const path = join(folder, nameOf(step));
      const found = existsSync(path) ? readFileSync(path, "utf8") : undefined;
      const wanted = step > acknowledged - KEPT ? contentOf(step) : undefined;
      const isUncertain = step === next || step === next - KEPT;
      if (found === wanted || (isUncertain && found === undefined)) continue;
      const is = found === undefined ? "is not there" : wanted === undefined ? "is there again" : "has another content";
      throw new Error(`${nameOf(step)} ${is}, though step ${acknowledged} was acknowledged`);
    }
  },
};

function nameOf(step: number): string {
  return `file ${step}`;
}

function contentOf(step: number): string {
  return `${step} `.repeat(CONTENT_BYTES).slice(0, CONTENT_BYTES);
}
