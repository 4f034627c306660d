import { strict as assert } from "node:assert";
import { rmSync } from "node:fs";
import type { FaultKind } from "../src/block/fault.ts";
import { askFront } from "../src/front/control-client.ts";
import { DISK_BYTES } from "./load.ts";
import { signal } from "./sick-disk.ts";
import type { UnreliableServer } from "./unreliable-server.ts";
import { type DeviceName, QUIET_OFFSET, type Ward } from "./ward.ts";

/** From what befalls a driver to the event that says so. */
export const HANG_GOAL_MS = 500;
const STUCK_GOAL_MS = 2000;

export interface Row {
  readonly device: DeviceName;
  /** How it comes to it. */
  readonly by: string;
  /** Sets it off, and returns when that was, as Date.now(). */
  readonly befall: (ward: Ward) => Promise<number>;
  /** What the event says. */
  readonly reason: RegExp;
  /** From what befell it to the event, by the default policy. */
  readonly withinMs?: number;
  /** Of the incarnation that opens next, not of the one that is live. */
  readonly isOfNext?: boolean;
  /** How often it is counted. 1 if left out. */
  readonly count?: number;
  /** What else has to be done before it is live again. */
  readonly cure?: (ward: Ward) => Promise<unknown>;
}

/** Whoever adds a kind of fault adds its row. */
export const FAULT_TABLE: Readonly<Record<FaultKind, readonly Row[]>> = {
  exit: [ordered("now exit", /exit code 3/)],
  signal: [ordered("now abort", /SIGABRT/)],
  killed: [
    { device: "busy", by: "SIGKILL", befall: ({ front }) => signal(front, "busy", "SIGKILL"), reason: /SIGKILL/ },
  ],
  "out-of-memory": [ordered("now heap", /heap was full/)],
  exception: [ordered("now throw", /out of the blue/)],
  rejection: [ordered("now reject", /nobody listens/)],
  disconnected: [remote("hangs up", (server) => server.hangUp(), /NBD connection|closed its connection/)],

  "open-failed": [reopened("strict", "open refuse", /it can't be done today/)],
  "open-late": [reopened("strict", "open never", /not open after 2000 ms/)],
  "other-store": [{ ...reopened("changeling", "open other-store", /identity/), cure: restartFailed("changeling") }],

  "stuck-request": [
    {
      ...ordered(`read@${QUIET_OFFSET} never`, /a read is out for \d+ ms .*while others complete/),
      befall: async (ward) => {
        await ward.orderOnce("busy", `read@${QUIET_OFFSET} never`);
        const now = Date.now();
        ward.expect((await ward.client("busy")).read(QUIET_OFFSET, 512));
        return now;
      },
      withinMs: STUCK_GOAL_MS,
    },
  ],
  deadlock: [{ ...ordered("read deadlock", /although its event loop turns/), withinMs: HANG_GOAL_MS }],
  "endless-loop": [
    { ...ordered("read loop", /of CPU time/), withinMs: HANG_GOAL_MS },
    { ...ordered("now loop", /of CPU time/), withinMs: HANG_GOAL_MS },
    { ...ordered("now loop", /of CPU time/, "idle"), withinMs: HANG_GOAL_MS },
  ],
  stopped: [
    { ...ordered("write stop", /suspended/), withinMs: HANG_GOAL_MS },
    { ...ordered("write block", /blocked in a call/), withinMs: HANG_GOAL_MS },
    ...(["busy", "idle"] as const).map((device) => ({
      device,
      by: "SIGSTOP",
      befall: ({ front }: Ward) => signal(front, device, "SIGSTOP"),
      reason: /suspended/,
      withinMs: HANG_GOAL_MS,
    })),
  ],
  "close-late": [
    {
      ...reopened("strict", "close never", /did not close within 1000 ms/),
      befall: async (ward) => {
        const now = await ward.orderOnce("strict", "close never");
        ward.expect(restart("strict")(ward));
        return now;
      },
      isOfNext: false,
    },
  ],

  memory: [ordered("now grow", /\d+ bytes resident \(limit \d+\)/, "strict")],
  files: [ordered("now hoard", /\d+ open files \(limit 120\)/, "strict")],
  lag: [ordered("now lag", /its event loop took \d+ ms to answer/, "prompt")],

  "unknown-tag": [ordered("now unknown-tag", /a completion of nothing/)],
  "unknown-error": [ordered("now unknown-error", /an error that there is not/)],
  "wrong-length": [ordered("now wrong-length", /a length that was not asked for/)],
  "malformed-extents": [
    {
      ...ordered("extents lie", /extents that describe nothing/),
      befall: async (ward) => {
        const now = await ward.orderOnce("busy", "extents lie");
        ward.expect((await ward.client("busy")).blockStatus(0, DISK_BYTES));
        return now;
      },
    },
  ],
  "ring-position": [ordered("now ring-position", /position in the ring/)],
  doorbell: [ordered("now doorbell", /the doorbell rang \d+ times/)],
  "control-message": [ordered("now control-message", /makes no sense/)],
  protocol: [remote("talks rubbish", (server) => server.talkRubbish(), /does not begin with the magic/)],

  lie: [
    {
      ...ordered(`write@${QUIET_OFFSET} lost`, /other data than was written/, "checked"),
      befall: async (ward) => {
        const now = await ward.orderOnce("checked", `write@${QUIET_OFFSET} lost`);
        const client = await ward.client("checked");
        await client.write(QUIET_OFFSET, new Uint8Array(512).fill(7));
        await client.flush();
        // The restart doesn't bring it back, and neither does the shadow, which has been told that it is durable.
        ward.expect(assert.rejects(client.read(QUIET_OFFSET, 512), { code: "EIO" }));
        return now;
      },
      // At first it is read again; then comes the restart, which is the event; and then it is given up.
      count: 3,
    },
  ],
  errors: [
    {
      device: "busy",
      by: "a newcomer that can't write",
      befall: async (ward) => {
        const [module = "", options] = ward.disk("busy").spec.split("?");
        const newcomer = ward.scene.write(
          "unable.ts",
          `import driver from ${JSON.stringify(module)};
           const write = () => { throw Object.assign(new Error("unable"), { code: "EIO" }); };
           export default { open: async (raw, context) => ({ ...(await driver.open(raw, context)), write }) };`,
        );
        const now = Date.now();
        const spec = `${newcomer}?${options}`;
        const upgrade = askFront(ward.front.control, { command: "upgrade", name: "busy", spec, base: "/", wait: true });
        ward.expect(upgrade.then(({ outcome }) => assert.equal(outcome, "rolled back")));
        return now;
      },
      reason: /it answered a write with EIO/,
      isOfNext: true,
    },
  ],
  health: [
    {
      device: "checked",
      by: "its own check",
      befall: async ({ scene }) => {
        scene.write("unwell", "");
        return Date.now();
      },
      reason: /health/,
      cure: async ({ scene }) => rmSync(scene.path("unwell")),
    },
  ],
  operator: [
    {
      device: "busy",
      by: "skink kill",
      befall: async ({ front }) => {
        const now = Date.now();
        await askFront(front.control, { command: "kill", name: "busy" });
        return now;
      },
      reason: /killed by the operator/,
    },
  ],
};

/** Of a driver that carries out an order, the next time that it can. */
function ordered(order: string, reason: RegExp, device: DeviceName = "busy"): Row {
  return { device, by: order, befall: (ward) => ward.orderOnce(device, order), reason };
}

/** Of a driver that is opened again under an order. */
function reopened(device: DeviceName, order: string, reason: RegExp): Row {
  return {
    device,
    by: order,
    befall: async (ward) => {
      ward.disk(device).order(order);
      const now = Date.now();
      // It says that the new driver has failed at first.
      ward.expect(restart(device)(ward).catch(() => {}));
      return now;
    },
    reason,
    isOfNext: true,
  };
}

function remote(by: string, misbehave: (server: UnreliableServer) => void, reason: RegExp): Row {
  const befall = async ({ server }: Ward): Promise<number> => {
    misbehave(server);
    return Date.now();
  };
  return { device: "remote", by: `a server that ${by}`, befall, reason };
}

function restart(name: DeviceName): (ward: Ward) => Promise<unknown> {
  return ({ front }) => askFront(front.control, { command: "restart", name });
}

function restartFailed(name: DeviceName): (ward: Ward) => Promise<unknown> {
  return async (ward) => {
    await ward.until(name, "failed");
    await restart(name)(ward);
  };
}
