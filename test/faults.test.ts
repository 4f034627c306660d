/** The table of docs/faults.md, row by row, with real processes: what befalls a driver is found, named and cured. */
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { FAULT_KINDS, type FaultKind } from "../src/block/fault.ts";
import { FAULT_TABLE, HANG_GOAL_MS, type Row } from "./fault-table.ts";
import { newDisk } from "./foreign.ts";
import { newest, nextEvent } from "./front-events.ts";
import { withinGoal } from "./goal.ts";
import { GENTLE, Load } from "./load.ts";
import { peer } from "./peers.ts";
import { inScene } from "./scene.ts";
import { serve } from "./serve.ts";
import { signal } from "./sick-disk.ts";
import { DEVICES, type DeviceName, Ward } from "./ward.ts";

test("every kind of fault has its row", () => {
  assert.deepEqual(Object.keys(FAULT_TABLE).sort(), [...FAULT_KINDS].sort());
  for (const [kind, rows] of Object.entries(FAULT_TABLE)) assert.notEqual(rows.length, 0, `${kind} has no row`);
});

test("every fault is found, named and cured", async (context) => {
  await inScene(async (scene) => {
    const ward = await Ward.open(scene);
    for (const device of Object.keys(DEVICES) as DeviceName[]) {
      const load = DEVICES[device].load ? await ward.load(device) : undefined;
      for (const { kind, row } of rowsOf(device)) {
        const limit = row.withinMs === undefined ? "" : ` within ${row.withinMs} ms`;
        await context.test(`${kind} of the ${device} device, by ${row.by}, is found${limit}`, async (subtest) => {
          const tookMs = await withinGoal(row.withinMs ?? Number.POSITIVE_INFINITY, () =>
            fallIll(ward, kind, row, load),
          );
          subtest.diagnostic(`found after ${tookMs} ms`);
        });
      }
      await load?.stop();
      await load?.readAll();
      await load?.close();
    }
    await ward.close();
  });
});

for (const [program, command] of [
  ["nbdkit", "nbdkit -f -U {socket} file disk.img"],
  ["qemu-nbd", "qemu-nbd --persistent --shared=8 --format=raw --socket {socket} disk.img"],
] as const) {
  for (const isBusy of [false, true]) {
    const what = `SIGSTOP of ${program} is found within ${HANG_GOAL_MS} ms, ${isBusy ? "under load" : "idle"}`;
    test(what, { skip: peer(program) }, () =>
      inScene(async (scene) => {
        newDisk(scene);
        const front = await serve(scene, `exec:${command}`);
        const load = isBusy ? await Load.start(scene, front.uri, 2, GENTLE) : undefined;
        await withinGoal(HANG_GOAL_MS, async () => {
          const { epoch } = await front.until("live");
          const after = await newest(front);
          const befallenAt = await signal(front, front.name, "SIGSTOP");
          const event = await nextEvent(front, "fault", { after });
          assert.deepEqual([event.fault, event.epoch], ["stopped", epoch]);
          await nextEvent(front, "live", { after: event.seq });
          return Date.parse(event.time) - befallenAt;
        });
        await load?.stop();
        await load?.readAll();
        await load?.close();
        await front.stop();
      }),
    );
  }
}

function rowsOf(device: DeviceName): { readonly kind: FaultKind; readonly row: Row }[] {
  const all = FAULT_KINDS.flatMap((kind) => FAULT_TABLE[kind].map((row) => ({ kind, row })));
  return all.filter(({ row }) => row.device === device);
}

/** Returns how long it took until it was found, in milliseconds. */
async function fallIll(ward: Ward, kind: FaultKind, row: Row, load: Load | undefined): Promise<number> {
  const { front } = ward;
  const { device } = row;
  const before = await ward.until(device, "live");
  const after = await newest(front);
  const befallenAt = await row.befall(ward);
  const event = await nextEvent(front, "fault", { after, device });
  assert.equal(event.fault, kind, event.reason);
  assert.match(event.reason, row.reason);
  assert.equal(event.epoch, before.epoch + (row.isOfNext === true ? 1 : 0));
  await row.cure?.(ward);
  await nextEvent(front, "live", { after: event.seq, device });
  await ward.expected();
  await load?.readAll();
  assert.equal(load?.hasFailed ?? false, false, "a client of the load saw an error, or wrong data");
  assert.deepEqual(await ward.faultsSince(device, before.counters.faults), { [kind]: row.count ?? 1 });
  return Date.parse(event.time) - befallenAt;
}
