import { strict as assert } from "node:assert";
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { SeededRandom } from "../block/random.ts";
import { realClock } from "../front/clock.ts";
import { NbdClient } from "../nbd/client/client.ts";
import { parseUri } from "../nbd/uri.ts";
import { LogWritesReader } from "../record/log-reader.ts";
import { drawStates } from "./draw.ts";
import { writeImage } from "./image.ts";
import { Laboratory } from "./laboratory.ts";
import { HONEST, pointAt } from "./points.ts";
import { RecordedDisk } from "./recorded-disk.ts";
import type { CrashState } from "./state.ts";
import { parseName } from "./state-name.ts";
import { contentOf, FLUSH, type Said, write } from "./testing-history.ts";
import { sectorOf, writeLog } from "./testing-log.ts";

const SECTOR = 512;
const SECTORS = 4096;
const SIZE = SECTORS * SECTOR;
const BASE_FILL = 250;
/** The base ends here; zeroes follow. */
const BASE_SECTORS = 1000;
const LOG: readonly Said[] = [
  write(0, 2000),
  FLUSH,
  write(10, 30),
  write(20, 25),
  { ...write(100, 1500), discard: true },
  write(600, 610),
  { ...write(605, 620), fua: true },
  write(4090, 4096),
];

test("a state has the content that the model says, over the base", async (context) => {
  const { disk, laboratory } = await setUp(context);
  const end = LOG.length;
  let left = 40;
  for (const state of drawStates(disk.log, pointAt(disk.log, HONEST, end), { atomicSectors: 1 }, new SeededRandom(5))) {
    await laboratory.with(state, async ({ uri }) => assert(expected(disk, state).equals(await readAll(uri as string))));
    if (--left === 0) break;
  }
});

test("what is written to a state is seen there alone, also by others at the same time, and never again", async (context) => {
  const { disk, laboratory } = await setUp(context);
  const state = parseName(disk.log, HONEST, "4-3");
  const before = expected(disk, state);
  const untouched = Promise.withResolvers<void>();
  const other = laboratory.with(state, async ({ uri }) => {
    await untouched.promise;
    assert(before.equals(await readAll(uri as string)));
  });
  await laboratory.with(state, async ({ uri }) => {
    const client = await NbdClient.connect(uri as string);
    await client.write(0, Buffer.alloc(1 << 20, 7));
    await client.zero(SECTOR, SECTOR);
    await client.trim(3 * SECTOR, SECTOR);
    await client.flush();
    await client.close();
    const wanted = Buffer.from(before).fill(7, 0, 1 << 20);
    for (const sector of [1, 3]) wanted.fill(0, sector * SECTOR, (sector + 1) * SECTOR);
    assert(wanted.equals(await readAll(uri as string)));
  });
  untouched.resolve();
  await other;
  await laboratory.with(state, async ({ uri }) => assert(before.equals(await readAll(uri as string))));
});

test("any byte of a disk can be read and written, as of a file", async (context) => {
  const folder = mkdtempSync(join(tmpdir(), "skink-laboratory-"));
  const sector = 4096;
  writeLog(join(folder, "log"), [write(1, 3)], sector);
  const log = LogWritesReader.open(join(folder, "log"));
  const disk = new RecordedDisk(log, 4 * sector, undefined);
  const laboratory = await Laboratory.open({ disk, clock: realClock, form: "uri", mountOptions: undefined });
  context.after(async () => {
    await laboratory.close();
    log.close();
    rmSync(folder, { recursive: true });
  });
  await laboratory.with(parseName(log, HONEST, "1-0/1"), async ({ uri }) => {
    const client = await NbdClient.connect(uri as string);
    const wanted = Buffer.alloc(4 * sector);
    for (let number = 8; number < 16; number++) sectorOf(0, number).copy(wanted, number * SECTOR);
    await client.write(9 * SECTOR + 3, Buffer.alloc(2 * SECTOR, 7));
    wanted.fill(7, 9 * SECTOR + 3, 11 * SECTOR + 3);
    assert(wanted.subarray(7 * SECTOR + 1, 12 * SECTOR).equals(await client.read(7 * SECTOR + 1, 5 * SECTOR - 1)));
    assert(wanted.equals(await client.read(0, 4 * sector)));
    await client.close();
  });
});

test("a state that is over can't be reached any more, by those who are connected either", async (context) => {
  const { disk, laboratory } = await setUp(context);
  const state = parseName(disk.log, HONEST, "0");
  const { client, uri } = await laboratory.with(state, async (places) => {
    const connected = await NbdClient.connect(places.uri as string);
    context.after(() => connected.destroy());
    return { client: connected, uri: places.uri as string };
  });
  await assert.rejects(client.read(0, SECTOR), { code: "ESHUTDOWN" });
  await assert.rejects(NbdClient.connect(uri), { code: "unknown-export" });
});

test("many large requests at a time are all answered", async (context) => {
  const { disk, laboratory } = await setUp(context);
  const state = parseName(disk.log, HONEST, "8");
  await laboratory.with(state, async ({ uri }) => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => NbdClient.connect(uri as string)));
    const reads = clients.flatMap((client) => Array.from({ length: 32 }, () => client.read(0, SIZE)));
    const wanted = expected(disk, state);
    for (const found of await Promise.all(reads)) assert(wanted.equals(found));
    await Promise.all(clients.map((client) => client.close()));
  });
});

test("an image has the content of its state; one that was not finished is gone", async (context) => {
  const { disk, folder } = await setUp(context);
  const path = join(folder, "image");
  const state = parseName(disk.log, HONEST, "8-5");
  const interruption = new AbortController();
  const { signal } = interruption;
  await writeImage(disk, state, path, signal);
  assert(expected(disk, state).equals(readFileSync(path)));
  await assert.rejects(writeImage(disk, state, path, signal), { code: "bad-usage" });
  const other = join(folder, "other");
  const written = writeImage(disk, state, other, signal);
  interruption.abort();
  await assert.rejects(written, { code: "interrupted" });
  assert(!existsSync(other));
});

test("a laboratory leaves nothing behind", async (context) => {
  const { disk, laboratory } = await setUp(context);
  const folder = await laboratory.with(parseName(disk.log, HONEST, "0"), async ({ uri }) => {
    const { address } = parseUri(uri as string);
    return dirname("path" in address ? address.path : "");
  });
  assert.deepEqual(readdirSync(folder), ["nbd.sock"]);
  await laboratory.close();
  assert(!existsSync(folder));
});

async function setUp(context: TestContext): Promise<{ disk: RecordedDisk; laboratory: Laboratory; folder: string }> {
  const folder = mkdtempSync(join(tmpdir(), "skink-laboratory-"));
  writeLog(join(folder, "log"), LOG);
  writeFileSync(join(folder, "base"), Buffer.alloc(BASE_SECTORS * SECTOR, BASE_FILL));
  const log = LogWritesReader.open(join(folder, "log"));
  const base = openSync(join(folder, "base"), "r");
  const disk = new RecordedDisk(log, SIZE, base);
  const laboratory = await Laboratory.open({ disk, clock: realClock, form: "uri", mountOptions: undefined });
  context.after(async () => {
    await laboratory.close();
    log.close();
    closeSync(base);
    rmSync(folder, { recursive: true });
  });
  return { disk, laboratory, folder };
}

/** One sector at a time, by the model alone. */
function expected(disk: RecordedDisk, state: CrashState): Buffer {
  const content = contentOf(disk.log, state, SECTORS);
  assert.equal(content.length, SECTORS);
  return Buffer.concat(
    [...content].map((name, sector) => {
      if (name === "-") return Buffer.alloc(SECTOR, sector < BASE_SECTORS ? BASE_FILL : 0);
      // Entry 0 is a write, too: a discard has no content to tell it by.
      const isDiscarded = name === "0" && disk.index.sources(state, { from: sector, to: sector + 1 })[0]?.entry !== 0;
      return isDiscarded ? Buffer.alloc(SECTOR) : sectorOf(Number(name), sector);
    }),
  );
}

async function readAll(uri: string): Promise<Buffer> {
  const client = await NbdClient.connect(uri);
  const found = Buffer.from(await client.read(0, SIZE));
  await client.close();
  return found;
}
