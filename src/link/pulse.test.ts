import assert from "node:assert/strict";
import { test } from "node:test";
import { FrontPulse, HostPulse, monotonicMs, PULSE_AT, PULSE_BYTES } from "./pulse.ts";

interface Pair {
  readonly front: FrontPulse;
  readonly host: HostPulse;
  readonly hostFile: ArrayBuffer;
}

function pair(now: () => number): Pair {
  const [frontFile, hostFile] = [new ArrayBuffer(PULSE_AT + PULSE_BYTES), new ArrayBuffer(PULSE_AT + PULSE_BYTES)];
  return { front: new FrontPulse(frontFile, hostFile, now), host: new HostPulse(hostFile, frontFile), hostFile };
}

test("each sign of life is another beat, over many rounds", () => {
  const { front, host } = pair(monotonicMs);
  for (let round = 0; round < 10; round++) {
    for (const sign of [() => host.beat(), () => host.answer()]) {
      const before = front.beat;
      sign();
      assert.notEqual(front.beat, before);
    }
  }
});

test("the lag is the time from a ping to its answer, which later answers don't change", () => {
  const since = monotonicMs();
  let ago = 100;
  const { front, host } = pair(() => monotonicMs() - ago);
  const none = [front.lagMs];
  // Nothing was asked yet.
  host.answer();
  none.push(front.lagMs);
  front.ping();
  ago = 0;
  none.push(front.lagMs);
  assert.deepEqual(none, [undefined, undefined, undefined]);
  host.answer();
  const lag = front.lagMs as number;
  assert(lag >= 100 && lag <= 100 + (monotonicMs() - since));
  host.answer();
  assert.equal(front.lagMs, lag);
});

test("while an answer is due, another ping does not begin a new measurement", () => {
  let ago = 500;
  const { front, host } = pair(() => monotonicMs() - ago);
  front.ping();
  ago = 0;
  front.ping();
  host.answer();
  assert((front.lagMs as number) >= 500);
  front.ping();
  host.answer();
  assert((front.lagMs as number) < 500);
});

test("a host that makes up times can't claim a longer lag than there was, nor a negative one", () => {
  for (const rubbish of [Number.NaN, Number.POSITIVE_INFINITY, -1, 1e300]) {
    let now = 1000;
    const { front, host, hostFile } = pair(() => now);
    front.ping();
    host.answer();
    new Float64Array(hostFile)[PULSE_AT / 8 + 1] = rubbish;
    now = 1007;
    assert.equal(front.lagMs, 7);
  }
});
