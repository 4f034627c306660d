import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import type { FaultKind } from "../block/fault.ts";
import type { Operation } from "../shadow/ports.ts";
import type { Policy } from "./policy.ts";
import { Patient } from "./testing-patient.ts";

/** The goals of detection. */
const HANG_FOUND_MS = 500;
const STUCK_FOUND_MS = 2000;

/** How the moments of a fault lie between the looks: every one of them is tried. */
const PHASES = Array.from({ length: 36 }, (_, i) => 3 * i);

type Prepare = (patient: Patient) => void;

const idle: Prepare = () => {};
const loaded: Prepare = (patient) => {
  patient.depth = 16;
  patient.operations = ["read", "write", "write", "flush"];
};
/** One request a second: most looks see nothing outstanding. */
const sparse: Prepare = (patient) => {
  patient.depth = 1;
  patient.latency = () => 2;
};
const foreign: Prepare = (patient) => {
  patient.gives = { beats: false, vitals: true };
};

/** A fault at every phase after two seconds of health; it must be found in time, and as what it is. */
function foundAs(kind: FaultKind, prepare: readonly Prepare[], fault: Prepare, withinMs = HANG_FOUND_MS): void {
  for (const phase of PHASES) {
    const patient = new Patient();
    for (const each of prepare) each(patient);
    patient.start();
    assert.equal(patient.pass(2000 + phase), undefined);
    fault(patient);
    const from = patient.time;
    const verdict = patient.pass(10_000);
    assert.equal(verdict?.kind, kind, `phase ${phase}: ${verdict?.what}`);
    assert(verdict.at - from <= withinMs, `phase ${phase}: found after ${verdict.at - from} ms`);
  }
}

const loops: Prepare = (patient) => {
  patient.condition = "loop";
};
const suspends: Prepare = (patient) => {
  patient.suspended = true;
};
const blocks: Prepare = (patient) => {
  patient.condition = "blocked";
};
const deadlocks: Prepare = (patient) => {
  patient.condition = "deadlock";
};

function healthy(patient: Patient, forMs: number): void {
  const verdict = patient.pass(forMs);
  assert.equal(verdict, undefined, `${verdict?.kind}: ${verdict?.what}`);
}

// ── What has to be found ────────────────────────────────────────────────────────────────────────────────────────

for (const [name, load] of [
  ["idle", idle],
  ["under load", loaded],
  ["with one request at a time", sparse],
] as const) {
  test(`an endless loop is found in time, ${name}`, () => foundAs("endless-loop", [load], loops));
  test(`a suspended driver is found in time, ${name}`, () => foundAs("stopped", [load], suspends));
  test(`a driver blocked in a call is found in time, ${name}`, () => foundAs("stopped", [load], blocks));
}

for (const [name, load] of [
  ["under load", loaded],
  ["with one request at a time", sparse],
] as const) {
  test(`a deadlock is found in time, ${name}`, () => foundAs("deadlock", [load], deadlocks));
}

test("a deadlock is found in time when the first request comes after a long silence", () => {
  foundAs("deadlock", [idle], (patient) => {
    patient.condition = "deadlock";
    patient.submit("read");
  });
});

test("a stuck request is found in time while others complete, and only it is overdue", () => {
  for (const phase of PHASES) {
    const patient = new Patient();
    loaded(patient);
    patient.start();
    healthy(patient, 2000 + phase);
    const from = patient.time;
    const { latency } = patient;
    patient.latency = () => Number.POSITIVE_INFINITY;
    patient.submit("read");
    patient.latency = latency;
    const verdict = patient.pass(10_000);
    assert.equal(verdict?.kind, "stuck-request");
    assert(verdict.at - from <= STUCK_FOUND_MS, `found after ${verdict.at - from} ms`);
    const overdue: string[] = [];
    patient.each((operation, since) => {
      if (verdict.isOverdue?.(operation, since)) overdue.push(operation);
    });
    assert.deepEqual(overdue, ["read"]);
  }
});

test("a foreign server that is suspended is found in time, idle and under load", () => {
  foundAs("stopped", [foreign, idle], suspends);
  foundAs("stopped", [foreign, loaded], suspends);
});

test("a foreign server that completes nothing loops if it takes CPU time, and is in a deadlock if not", () => {
  foundAs("endless-loop", [foreign, loaded], loops);
  foundAs("deadlock", [foreign, loaded], deadlocks);
});

test("a server elsewhere is given its patience, and then judged by the deadline alone", () => {
  const patient = new Patient();
  patient.gives = { beats: false, vitals: false };
  patient.patience = 10;
  loaded(patient);
  patient.start();
  healthy(patient, 2000);
  patient.condition = "deadlock";
  healthy(patient, 3400);
  assert.equal(patient.pass(400)?.kind, "deadlock");
});

test("one that is suspended is called suspended, however long that takes", () => {
  const patient = new Patient({ heartbeatTimeoutMs: 600 });
  patient.start();
  suspends(patient);
  assert.match(patient.pass(1000)?.what ?? "", /^suspended for/);
});

test("an endless loop is found beside hogs, by the CPU time that it gets", () => {
  const patient = new Patient();
  loaded(patient);
  patient.start();
  healthy(patient, 1000);
  patient.condition = "loop";
  for (let i = 0; i < 60 && patient.verdicts.length === 0; i++) beside(patient, 1);
  assert.equal(patient.verdicts[0]?.kind, "endless-loop");
});

test("one that waits in the kernel for ever is given up at the ceiling", () => {
  const patient = new Patient({ deadlineCeilingMs: 5000 });
  loaded(patient);
  patient.start();
  healthy(patient, 1000);
  patient.condition = "blocked";
  patient.inKernel = true;
  healthy(patient, 5000);
  assert.equal(patient.pass(1000)?.kind, "stopped");
});

test("a verdict says its figures, and what was not counted", () => {
  const patient = new Patient();
  loaded(patient);
  patient.start();
  healthy(patient, 1000);
  patient.condition = "deadlock";
  healthy(patient, 250);
  patient.starved = true;
  healthy(patient, 1000);
  patient.starved = false;
  assert.match(
    patient.pass(1000)?.what ?? "",
    /^no completion for \d+ ms \(deadline 350 ms\), not counting \d+ ms without a core or in the kernel, although its event loop turns$/,
  );
});

// ── What is no hang ─────────────────────────────────────────────────────────────────────────────────────────────

for (const depth of [1, 16]) {
  test(`a store that slows down a hundredfold is not sick, at depth ${depth}`, () => {
    for (const phase of PHASES) {
      const patient = new Patient();
      patient.depth = depth;
      patient.start();
      for (let i = 0; i < 3; i++) {
        patient.latency = () => 1;
        healthy(patient, 1000 + phase);
        patient.latency = () => 100;
        healthy(patient, 1000);
      }
    }
  });
}

test("a front that does not get to run for three seconds judges nobody by that", () => {
  for (const phase of PHASES) {
    for (const latency of [1, 80, 240]) {
      const patient = new Patient();
      loaded(patient);
      patient.latency = () => latency;
      patient.start();
      healthy(patient, 1000 + phase);
      patient.frontStalled = true;
      healthy(patient, 3000);
      patient.frontStalled = false;
      healthy(patient, 1000);
    }
  }
});

test("a front that does not get to run takes the completions that wait for it before it judges", () => {
  for (const phase of PHASES) {
    const patient = new Patient();
    loaded(patient);
    patient.start();
    healthy(patient, 1000);
    patient.latency = () => 345;
    healthy(patient, 240 + phase);
    patient.frontStalled = true;
    healthy(patient, 3000);
    patient.frontStalled = false;
    patient.latency = () => 1;
    healthy(patient, 1000);
  }
});

test("a pause of the whole machine is nobody's fault", () => {
  for (const phase of PHASES) {
    const patient = new Patient();
    loaded(patient);
    patient.latency = () => 240;
    patient.start();
    healthy(patient, 1000 + phase);
    patient.pause(3_600_000);
    healthy(patient, 1000);
  }
});

test("a driver that gets no core for two seconds is not sick, idle and under load", () => {
  for (const load of [idle, loaded, sparse]) {
    for (const phase of PHASES) {
      const patient = new Patient();
      load(patient);
      patient.start();
      healthy(patient, 1000 + phase);
      patient.starved = true;
      healthy(patient, 2000);
      patient.starved = false;
      healthy(patient, 1000);
    }
  }
});

test("a driver beside hogs is not sick", () => {
  for (const load of [idle, loaded, sparse]) {
    const patient = new Patient();
    load(patient);
    patient.latency = () => 20;
    patient.start();
    for (let i = 0; i < 200; i++) beside(patient, 1 + (i % 13));
    assert.deepEqual(patient.verdicts, []);
  }
});

test("a flush of five seconds in the kernel is no hang, in another thread or in the event loop's, with gaps between the waits", () => {
  for (const condition of ["well", "blocked"] as const) {
    const patient = new Patient();
    patient.depth = 1;
    patient.operations = ["write", "flush"];
    patient.start();
    healthy(patient, 1000);
    patient.latency = (operation) => (operation === "flush" ? 5000 : 1);
    patient.condition = condition;
    for (let i = 0; i < 500; i++) {
      patient.inKernel = i % 5 < 4;
      healthy(patient, 10);
    }
    patient.inKernel = false;
    patient.condition = "well";
    patient.latency = () => 1;
    healthy(patient, 1000);
  }
});

test("long silences between bursts are no hang", () => {
  const patient = new Patient().start();
  for (let i = 0; i < 20; i++) {
    patient.depth = 16;
    healthy(patient, 137 * i);
    patient.depth = 0;
    healthy(patient, 3000 + 17 * i);
  }
});

test("a call that blocks for less than the deadline is no hang, and what it held up is waited for", () => {
  for (const phase of PHASES) {
    const patient = new Patient();
    loaded(patient);
    patient.start();
    healthy(patient, 1000 + phase);
    patient.condition = "blocked";
    healthy(patient, 345);
    patient.condition = "well";
    healthy(patient, 1000);
  }
});

test("a call that blocks a driver with a slow store is waited for until what it held up has come", () => {
  for (let blockedMs = 250; blockedMs < 345; blockedMs++) {
    const patient = new Patient();
    loaded(patient);
    patient.start();
    healthy(patient, 1000);
    patient.latency = () => 200;
    healthy(patient, 100);
    patient.condition = "blocked";
    healthy(patient, blockedMs);
    patient.condition = "well";
    healthy(patient, 1000);
  }
});

test("a short suspension is no hang", () => {
  for (const link of [() => {}, foreign]) {
    for (const load of [idle, loaded]) {
      for (const phase of PHASES) {
        const patient = new Patient();
        link(patient);
        load(patient);
        patient.start();
        for (let i = 0; i < 3; i++) {
          healthy(patient, 150 + 2 * phase);
          patient.suspended = true;
          healthy(patient, 240);
          patient.suspended = false;
        }
      }
    }
  }
});

test("what a driver does while it is waited for is not held against it when it falls silent for a moment", () => {
  for (const link of [idle, foreign]) {
    const patient = new Patient({ deadlockFloorMs: 9000, stuckFloorMs: 9000 });
    link(patient);
    patient.works = true;
    patient.start();
    patient.latency = () => 8000;
    patient.submit("read");
    healthy(patient, 5000);
    for (let i = 0; i < 10; i++) {
      patient.suspended = true;
      healthy(patient, 150);
      patient.suspended = false;
      healthy(patient, 50);
    }
    patient.condition = "blocked";
    healthy(patient, 200);
    patient.condition = "well";
    healthy(patient, 2800);
  }
});

test("requests that a slow flush held up are not stuck, nor are they when they then come one by one", () => {
  for (const phase of PHASES) {
    const patient = new Patient().start();
    const send = (operation: Operation, tookMs: number): void => {
      patient.latency = () => tookMs;
      patient.submit(operation);
    };
    // It is known that a flush may take its time, and that reads and writes don't.
    for (const tookMs of [300, 550, 1500, 3000]) {
      send("flush", tookMs);
      healthy(patient, tookMs + 10);
    }
    patient.depth = 4;
    patient.latency = () => 1;
    healthy(patient, 120_000);
    patient.depth = 0;
    healthy(patient, 100 + phase);
    send("flush", 5000);
    send("read", 60);
    for (let i = 0; i < 25; i++) send("write", 5060 + 10 * i);
    for (let i = 0; i < 10; i++) send("read", 5310 + 10 * i);
    healthy(patient, 6000);
  }
});

test("a request that waits in the kernel while others complete is not stuck before the ceiling", () => {
  const patient = new Patient();
  patient.start();
  patient.latency = () => 70_000;
  patient.submit("read");
  patient.latency = () => 1;
  loaded(patient);
  patient.inKernel = true;
  healthy(patient, 60_000);
  assert.equal(patient.pass(5000)?.kind, "stuck-request");
});

// ── Deadlines ───────────────────────────────────────────────────────────────────────────────────────────────────

test("who is known to be slow is given more time, and less again when it has been quick for a while", () => {
  const patient = new Patient();
  patient.depth = 1;
  patient.latency = () => 300;
  patient.start();
  healthy(patient, 5000);
  patient.latency = () => 600;
  healthy(patient, 5000);
  patient.latency = () => 1;
  healthy(patient, 90_000);
  patient.condition = "deadlock";
  assert.equal(patient.pass(HANG_FOUND_MS)?.kind, "deadlock");
});

test("a rare operation that is slow is still known to be when it comes again", () => {
  const patient = new Patient();
  patient.depth = 1;
  patient.operations = ["write"];
  patient.start();
  const flush = (tookMs: number): void => {
    patient.depth = 0;
    healthy(patient, 10);
    patient.latency = () => tookMs;
    patient.submit("flush");
    healthy(patient, tookMs + 10);
    patient.latency = () => 1;
    patient.depth = 1;
  };
  healthy(patient, 1000);
  flush(300);
  healthy(patient, 120_000);
  flush(700);
});

test("a store that has become slow for good is restarted a few times, and then known to be slow", () => {
  for (const depth of [1, 16]) {
    const patient = new Patient();
    patient.depth = depth;
    patient.latency = () => 3000;
    patient.start();
    let restarts = 0;
    while (patient.pass(60_000) !== undefined) {
      restarts++;
      assert(restarts <= 4, `depth ${depth}: convicted ${restarts} times`);
      patient.start();
    }
    assert(restarts > 0);
  }
});

test("a deadline that was right is not doubled: the next hang is found as quickly", () => {
  const patient = new Patient();
  loaded(patient);
  for (let i = 0; i < 5; i++) {
    patient.start();
    healthy(patient, 1000);
    patient.condition = "deadlock";
    const from = patient.time;
    const verdict = patient.pass(10_000);
    assert.equal(verdict?.kind, "deadlock");
    assert(verdict.at - from <= HANG_FOUND_MS, `hang ${i} was found after ${verdict.at - from} ms`);
  }
});

// ── Excess ──────────────────────────────────────────────────────────────────────────────────────────────────────

const MODEST = { residentBytes: 1000, openFiles: 10, lagMs: 1 };

for (const [kind, limits, usage] of [
  ["memory", { maxResidentBytes: 5000 }, { ...MODEST, residentBytes: 5001 }],
  ["files", { maxOpenFiles: 50 }, { ...MODEST, openFiles: 51 }],
  ["lag", { maxLagMs: 200 }, { ...MODEST, lagMs: 201 }],
] as const satisfies [FaultKind, Partial<Policy>, object][]) {
  test(`too much ${kind} is found within three seconds, and not before the limit is passed`, () => {
    for (const load of [idle, loaded]) {
      const patient = new Patient(limits);
      load(patient);
      patient.usage = MODEST;
      patient.start();
      healthy(patient, 5000);
      // An answer is only late if one was asked for.
      if (kind === "lag") assert(patient.pings >= 4);
      patient.usage = usage;
      assert.equal(patient.pass(3000)?.kind, kind);
    }
  });
}

test("one late answer is no excess, nor is one of a driver that got no core", () => {
  const patient = new Patient({ maxLagMs: 200 });
  patient.usage = MODEST;
  patient.start();
  for (let i = 0; i < 10; i++) {
    patient.usage = { ...MODEST, lagMs: 900 };
    healthy(patient, 1005);
    patient.usage = MODEST;
    healthy(patient, 1005);
  }
  patient.usage = { ...MODEST, lagMs: 900 };
  for (let i = 0; i < 100; i++) beside(patient, 1);
  assert.deepEqual(patient.verdicts, []);
});

test("while an answer is due, the one before is not judged twice", () => {
  const patient = new Patient({ maxLagMs: 200 });
  patient.usage = { ...MODEST, lagMs: 900 };
  patient.start();
  // Usage is looked at once a second.
  healthy(patient, 1950);
  patient.condition = "blocked";
  healthy(patient, 200);
  patient.condition = "well";
  patient.usage = MODEST;
  healthy(patient, 5000);
});

// ── What it costs ───────────────────────────────────────────────────────────────────────────────────────────────

test("a healthy driver costs no system calls under load, and a few pings when it is idle", () => {
  const patient = new Patient();
  patient.start();
  healthy(patient, 10_000);
  assert(patient.pings > 0 && patient.pings <= 100, `${patient.pings} pings`);
  loaded(patient);
  healthy(patient, 100);
  const { pings } = patient;
  healthy(patient, 10_000);
  assert.equal(patient.pings, pings);
  assert.equal(patient.vitalsReads, 0);
});

test("who is not to be watched is not, and nobody is after the verdict or the end", () => {
  const unwatched = new Patient({ watch: false }).start();
  assert.equal(unwatched.timers, 0);
  const ended = new Patient().start();
  assert.equal(ended.timers, 1);
  ended.judge.unwatch();
  assert.equal(ended.timers, 0);
  const convicted = new Patient().start();
  convicted.condition = "loop";
  assert(convicted.pass(1000) !== undefined);
  assert.equal(convicted.timers, 0);
});

// ── At random ───────────────────────────────────────────────────────────────────────────────────────────────────

/** What may happen to a healthy driver, and for how long at most. */
const EPISODES = {
  load: 2000,
  silence: 1000,
  slow: 2000,
  starved: 2000,
  hogs: 2000,
  frontStalled: 3000,
  kernel: 5000,
  blocked: 240,
  suspended: 150,
} as const;

const episode = fc
  .constantFrom(...(Object.keys(EPISODES) as (keyof typeof EPISODES)[]))
  .chain((kind) =>
    fc.record({ kind: fc.constant(kind), ms: fc.integer({ min: 1, max: EPISODES[kind] }), n: fc.nat(99) }),
  );

type Episode = typeof episode extends fc.Arbitrary<infer T> ? T : never;

function undergo(patient: Patient, { kind, ms, n }: Episode): void {
  switch (kind) {
    case "load":
      patient.depth = 1 + (n % 16);
      patient.latency = () => 1 + (n % 10);
      return healthy(patient, ms);
    case "silence":
      patient.depth = 0;
      return healthy(patient, ms);
    case "slow":
      patient.latency = () => 1 + n;
      return healthy(patient, ms);
    case "hogs":
      for (let i = 0; i < ms; i += 10) beside(patient, 1 + (n % 13));
      return assert.deepEqual(patient.verdicts, []);
    case "starved":
      patient.starved = true;
      healthy(patient, ms);
      patient.starved = false;
      break;
    case "frontStalled":
      patient.frontStalled = true;
      healthy(patient, ms);
      patient.frontStalled = false;
      break;
    case "kernel":
      patient.condition = n % 2 === 0 ? "blocked" : "deadlock";
      patient.inKernel = true;
      healthy(patient, ms);
      patient.inKernel = false;
      patient.condition = "well";
      break;
    case "blocked":
      patient.condition = "blocked";
      healthy(patient, ms);
      patient.condition = "well";
      break;
    case "suspended":
      patient.suspended = true;
      healthy(patient, ms);
      patient.suspended = false;
      break;
  }
  // Misfortunes don't come one upon the other: what was held up has to get through.
  healthy(patient, 250);
}

test("no schedule of what may befall a healthy driver gets it convicted", () => {
  fc.assert(
    fc.property(fc.boolean(), fc.array(episode, { maxLength: 12 }), (beats, episodes) => {
      const patient = new Patient();
      patient.gives = { beats, vitals: true };
      patient.operations = ["read", "write", "flush", "trim", "zero", "extents"];
      patient.start();
      for (const each of episodes) undergo(patient, each);
    }),
    { numRuns: 150 },
  );
});

test("whatever was before, a hang is found in time, and as what it is", () => {
  const hang = fc.constantFrom(
    ["endless-loop", loops],
    ["stopped", suspends],
    ["stopped", blocks],
    ["deadlock", deadlocks],
  ) as fc.Arbitrary<readonly [FaultKind, Prepare]>;
  const before = episode.filter(({ kind }) => kind === "load" || kind === "silence");
  fc.assert(
    fc.property(hang, fc.array(before, { maxLength: 6 }), fc.nat(99), ([kind, fault], episodes, phase) => {
      const patient = new Patient().start();
      for (const each of episodes) undergo(patient, each);
      if (kind === "deadlock") patient.depth = Math.max(1, patient.depth);
      healthy(patient, phase);
      fault(patient);
      const from = patient.time;
      const verdict = patient.pass(5000);
      assert.equal(verdict?.kind, kind, verdict?.what);
      assert(verdict.at - from <= HANG_FOUND_MS, `found after ${verdict.at - from} ms`);
    }),
    { numRuns: 300 },
  );
});

/** Fifty milliseconds in which the driver gets a fifth of a core, in turns of `turnMs`. */
function beside(patient: Patient, turnMs: number): void {
  for (let i = 0; i < 50 / (5 * turnMs) && patient.verdicts.length === 0; i++) {
    patient.starved = true;
    patient.pass(4 * turnMs);
    patient.starved = false;
    patient.pass(turnMs);
  }
}
