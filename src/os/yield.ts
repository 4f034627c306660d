import { libc } from "./libc.ts";

const schedYield: () => number = libc.func("int sched_yield()");

/** Lets another process that is ready have this core. Returns at once if there is none. */
export function yieldCore(): void {
  schedYield();
}
