import { workerData } from "node:worker_threads";
import { ARMED, ENDED, FIRED, WAIT_US } from "./control.ts";

sleep(workerData as Int32Array);

/** The thread of alarm.ts: sleeps when asked to, says so when it wakes, and returns at the end. */
function sleep(control: Int32Array): void {
  for (let armed = 0; ; ) {
    Atomics.wait(control, ARMED, armed);
    do {
      armed = Atomics.load(control, ARMED);
      if (Atomics.load(control, ENDED) !== 0) return;
    } while (Atomics.wait(control, ARMED, armed, Atomics.load(control, WAIT_US) / 1000) !== "timed-out");
    Atomics.add(control, FIRED, 1);
    Atomics.notify(control, FIRED);
  }
}
