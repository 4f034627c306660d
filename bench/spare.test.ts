import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { until } from "../test/until.ts";
import { hasReadySpare } from "./spare.ts";

const DEADLINE_MS = 10_000;

/** In a session of its own, as a driver host is. */
async function child(script: string) {
  const process = spawn("sh", ["-c", `echo begun; ${script}`], { detached: true, stdio: ["pipe", "pipe", "ignore"] });
  await once(process.stdout, "data");
  return {
    pid: process.pid as number,
    async end(): Promise<void> {
      process.kill("SIGKILL");
      await once(process, "close");
    },
  };
}

test("a spare is a child that sleeps, and isn't the driver", async () => {
  // It sleeps as soon as it has nothing more to read.
  const sleeper = await child("read line");
  try {
    assert.equal(await hasReadySpare(process.pid, sleeper.pid), false);
    await until("it to sleep", DEADLINE_MS, async () => ((await hasReadySpare(process.pid, 0)) ? true : undefined));
  } finally {
    await sleeper.end();
  }
  assert.equal(await hasReadySpare(process.pid, 0), false);
});

test("a child that takes CPU time is no spare yet", async () => {
  const busy = await child("while :; do :; done");
  try {
    assert.equal(await hasReadySpare(process.pid, 0), false);
  } finally {
    await busy.end();
  }
});
