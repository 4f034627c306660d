/** The volatile example driver, with flushes that take longer: a store far away, or a slow disk. */
import { setTimeout as delay } from "node:timers/promises";
import { defineDriver } from "skink/driver";
import volatile from "../examples/volatile.ts";

/** How much longer. */
export const FLUSH_MS = 20;

export default defineDriver({
  ...(volatile.options === undefined ? {} : { options: volatile.options }),

  async open(options, context) {
    const disk = await volatile.open(options, context);
    return {
      ...disk,
      async flush() {
        await disk.flush?.();
        await delay(FLUSH_MS);
      },
    };
  },
});
