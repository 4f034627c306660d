/**
 * A disk that falls ill when it is told to. Its blocks are kept memory, or a file: they outlive it, so nothing that it
 * has acknowledged may ever be missing.
 *
 *   test/sick-driver.ts?size=1M&orders=PATH            kept memory; see sick-orders.ts
 *   test/sick-driver.ts?path=disk.img&orders=PATH      a file
 */
import { fstatSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type DriverContext, defineDriver, parseSize } from "skink/driver";
import { type Fit, Fits } from "./sick-fits.ts";
import { applies, isDone, lieIn, ONCE, type Order, readOrders, takeOrders } from "./sick-orders.ts";
import { BROKEN_RULES, type Rule } from "./sick-rules.ts";

const SECTOR_BYTES = 512;
const NEVER = new Promise<never>(() => {});

interface Medium {
  readonly size: number;
  read(offset: number, into: Uint8Array): void;
  write(offset: number, from: Uint8Array): void;
}

export default defineDriver({
  open({ size = "", path, orders: file = "" }, context) {
    const medium = path === undefined ? keptMedium(parseSize(size), context) : fileMedium(path);
    const standing = readOrders(file);
    const once: Order[] = [];
    const fits = new Fits();

    /** The order that a call is under, if any: each of those from `ONCE` is carried out once. */
    const orderFor = (call: string, offset: number, length: number): Order | undefined => {
      const order = [...once, ...standing].find((candidate) => applies(candidate, call, offset, length));
      if (order !== undefined && once.includes(order)) once.splice(once.indexOf(order), 1);
      return order;
    };
    const strike = (how: string): unknown => {
      if (how in BROKEN_RULES) return BROKEN_RULES[how as Rule]();
      return fits.strike(how as Fit);
    };
    /** Does `work` as soon, and as often, as the patient's state allows. */
    const attend = (
      call: string,
      offset: number,
      length: number,
      work: (lie?: string) => void,
    ): void | Promise<void> => {
      if (fits.deadlocked) return NEVER;
      const order = orderFor(call, offset, length);
      if (order !== undefined && lieIn(order) !== undefined) return work(lieIn(order));
      const struck = order === undefined ? undefined : strike(order.how);
      if (struck instanceof Promise) return struck.then(() => work());
      if (fits.latencyMs > 0) return sleep(fits.latencyMs).then(() => work());
      work();
    };

    process.on("SIGUSR2", () => {
      const orders = takeOrders(`${file}${ONCE}`);
      once.push(...orders.filter(({ when }) => when !== "now"));
      for (const { when, how } of orders) if (when === "now") strike(how);
    });
    const opening = orderFor("open", 0, 0);
    if (opening !== undefined) rmSync(file);
    const device = {
      size: medium.size,
      blockSize: SECTOR_BYTES,
      identity: `${opening?.how === "other-store" ? "another" : "the one"} of ${path ?? file}`,

      read: (offset: number, into: Uint8Array) =>
        attend("read", offset, into.byteLength, (lie) => {
          medium.read(lie === "misdirected" ? elsewhere(offset, medium.size) : offset, into);
          if (lie === "corrupt") into[0] = (into[0] ?? 0) ^ 1;
        }),

      write: (offset: number, from: Uint8Array) =>
        attend("write", offset, from.byteLength, (lie) => {
          if (lie === "lost") return;
          if (lie === "torn") return medium.write(offset, from.subarray(0, from.byteLength - SECTOR_BYTES / 2));
          medium.write(lie === "misdirected" ? elsewhere(offset, medium.size) : offset, from);
        }),

      // Kept memory and the page cache outlive this process.
      flush: () => attend("flush", 0, 0, () => {}),

      zero: (offset: number, length: number) =>
        attend("zero", offset, length, (lie) => {
          if (lie !== "lost") medium.write(offset, new Uint8Array(length));
        }),

      extents: (_offset: number, length: number) =>
        orderFor("extents", 0, 0) === undefined ? [{ length }] : [fits.changingExtent(length)],

      close: () => attend("close", 0, 0, () => {}),
    };
    if (opening === undefined || isDone(opening)) return device;
    const struck = strike(opening.how);
    return struck instanceof Promise ? struck.then(() => device) : device;
  },
});

/** Another place, where something else is. */
function elsewhere(offset: number, size: number): number {
  return (offset + size / 2) % size;
}

function keptMedium(size: number, context: DriverContext): Medium {
  const blocks = context.keep("blocks", size);
  return {
    size,
    read: (offset, into) => into.set(blocks.subarray(offset, offset + into.byteLength)),
    write: (offset, from) => blocks.set(from, offset),
  };
}

function fileMedium(path: string): Medium {
  const fd = openSync(path, "r+");
  return {
    size: fstatSync(fd).size,
    read(offset, into) {
      const count = readSync(fd, into, 0, into.byteLength, offset);
      if (count !== into.byteLength) throw new Error(`${path} ends before ${offset + into.byteLength}`);
    },
    write(offset, from) {
      const count = writeSync(fd, from, 0, from.byteLength, offset);
      if (count !== from.byteLength) throw new Error(`${path} takes no more than ${count} bytes at ${offset}`);
    },
  };
}
