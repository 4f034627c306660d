import assert from "node:assert/strict";
import { test } from "node:test";
import { profileOf } from "./draw-profile.ts";
import { plainProfile } from "./profile.ts";
import { shrink } from "./shrink.ts";
import { requestsOf, scriptOf, type WorldScript } from "./world-script.ts";

/** Stands for a checker: two writes of a sector, in this order, with a crash, break something. */
function breaks({ clients, faults }: WorldScript): boolean {
  const requests = clients.flatMap((client) => client.requests);
  const covers = (at: number): boolean => {
    const { kind, first, count } = requests[at] ?? { kind: "read", first: 0, count: 0 };
    return kind === "write" && first <= 60 && 60 < first + count;
  };
  const first = requests.findIndex((_, at) => covers(at));
  const again = requests.findLastIndex((_, at) => covers(at));
  return first !== again && (faults === undefined || (faults.crash?.length ?? 0) > 0);
}

/** A seed whose world has what `breaks` looks for. */
function brokenScript(): WorldScript {
  for (let seed = 1; ; seed++) {
    const script = scriptOf(seed, profileOf(seed));
    if (breaks(script) && (script.faults?.crash?.length ?? 0) > 2) return script;
  }
}

function shrinkIt(script: WorldScript): WorldScript {
  return shrink(script, {
    run: (candidate) => ({
      broken: breaks(candidate) ? { promise: "P1", message: "planted" } : undefined,
      faults: candidate.faults ?? { crash: [3, 7] },
    }),
  }).script;
}

test("a broken world shrinks to the requests and the fault that break it, and everything else is plain", () => {
  const whole = brokenScript();
  const small = shrinkIt(whole);
  assert.ok(requestsOf(whole) > 10);
  assert.equal(requestsOf(small), 2);
  assert.deepEqual(Object.values(small.faults ?? {}).flat().length, 1);
  assert.deepEqual(small.profile, plainProfile(whole.profile));
  assert.deepEqual(shrinkIt(whole), small, "it is deterministic");
});

test("a world that breaks nothing is not shrunk", () => {
  assert.throws(() => shrinkIt({ ...brokenScript(), clients: [] }), /breaks nothing/);
});
