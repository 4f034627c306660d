import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import type { Scene } from "./scene.ts";

/** A storm of kills takes a minute, most of which there is no front on a busy machine, and a round may last through all of it. */
const FIO_TIMEOUT_MS = 180_000;

interface FioJob {
  readonly error: number;
  readonly read: { readonly total_ios: number };
  readonly write: { readonly total_ios: number };
}

export interface VerifyOptions {
  /** Another one, other contents: what is left of an older one would be found. */
  readonly round: number;
  /** How much of the device: "128M". */
  readonly size: string;
}

/** Has fio write at random, read all of it back and compare. Returns how many requests it made. */
export async function verify(scene: Scene, uri: string, { round, size }: VerifyOptions): Promise<number> {
  const results = scene.path("fio.json");
  const args = [
    "--name=verify",
    "--ioengine=nbd",
    `--uri=${uri}`,
    "--rw=randwrite",
    "--bssplit=512/10:4k/50:16k/25:64k/15",
    `--size=${size}`,
    "--iodepth=32",
    "--fsync=32",
    `--randseed=${round}`,
    "--verify=crc32c",
    "--verify_fatal=1",
    "--verify_state_save=0",
    "--output-format=json",
    `--output=${results}`,
  ];
  await scene.need("fio", args, FIO_TIMEOUT_MS);
  const { jobs } = JSON.parse(readFileSync(results, "utf8")) as { jobs: FioJob[] };
  for (const { error } of jobs) assert.equal(error, 0);
  return jobs.reduce((ios, { read, write }) => ios + read.total_ios + write.total_ios, 0);
}
