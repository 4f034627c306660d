import { setTimeout as sleep } from "node:timers/promises";
import type { OpenedDevice } from "../../block/driver.ts";
import { MIN_BLOCK_SIZE } from "../../block/geometry.ts";
import type { WireFault, WireKind } from "../plan.ts";
import type { LinkKind } from "./completions.ts";
import { delegating } from "./delegating.ts";
import { elsewhere } from "./elsewhere.ts";
import { latenessOf } from "./lateness.ts";
import type { Trigger } from "./trigger.ts";

export type LieKind = Exclude<WireKind, LinkKind>;
type Write = NonNullable<OpenedDevice["write"]>;
type Zero = NonNullable<OpenedDevice["zero"]>;

/** What a call becomes when it is struck; `undefined` for one that this fault doesn't strike. */
interface Lies {
  read?(offset: number, into: Uint8Array): (() => Promise<void>) | undefined;
  write?(...call: Parameters<Write>): (() => Promise<void>) | undefined;
  zero?(...call: Parameters<Zero>): (() => Promise<void>) | undefined;
}

/** The same device, but for the calls that are struck: these do something else than they say. */
export function lyingDevice(device: OpenedDevice, fault: WireFault, trigger: Trigger): OpenedDevice {
  if (fault.kind === "late") return lateDevice(device, latenessOf(fault), trigger);
  const lies = liesOf(device, fault.kind as LieKind);
  const attend = (lie: (() => Promise<void>) | undefined, work: () => void | Promise<void>): void | Promise<void> =>
    lie !== undefined && trigger.pull() ? lie() : work();
  const { write, zero } = device;
  return {
    ...delegating(device),
    read: (offset, into) => attend(lies.read?.(offset, into), () => device.read(offset, into)),
    ...(write && {
      write: (offset, from, flags) =>
        attend(lies.write?.(offset, from, flags), () => write.call(device, offset, from, flags)),
    }),
    ...(zero && {
      zero: (offset, length, flags) =>
        attend(lies.zero?.(offset, length, flags), () => zero.call(device, offset, length, flags)),
    }),
  };
}

/** Everything is done in time, and said late. */
function lateDevice(device: OpenedDevice, ms: number, trigger: Trigger): OpenedDevice {
  const { read, write, flush, trim, zero, ...rest } = delegating(device);
  const late =
    <Call extends unknown[]>(method: (...call: Call) => void | Promise<void>) =>
    (...call: Call): void | Promise<void> =>
      trigger.pull() ? settleLate(method(...call), ms) : method(...call);
  return {
    ...rest,
    read: late(read),
    ...(write && { write: late(write) }),
    ...(flush && { flush: late(flush) }),
    ...(trim && { trim: late(trim) }),
    ...(zero && { zero: late(zero) }),
  };
}

async function settleLate(settled: void | Promise<void>, ms: number): Promise<void> {
  await Promise.all([settled, sleep(ms)]);
}

function liesOf(device: OpenedDevice, kind: LieKind): Lies {
  const { size, blockSize = MIN_BLOCK_SIZE } = device;
  const write: Write = (...call) => device.write?.(...call);
  switch (kind) {
    case "corrupt":
      return {
        read: (offset, into) => async () => {
          await device.read(offset, into);
          flipBit(into);
        },
        write: (offset, from, flags) => async () => {
          const copy = Uint8Array.from(from);
          flipBit(copy);
          await write(offset, copy, flags);
        },
      };
    case "misdirected-read":
      return {
        read(offset, into) {
          const other = elsewhere(offset, into.byteLength, size);
          return other === undefined ? undefined : async () => await device.read(other, into);
        },
      };
    case "misdirected-write":
      return {
        write(offset, from, flags) {
          const other = elsewhere(offset, from.byteLength, size);
          return other === undefined ? undefined : async () => await write(other, from, flags);
        },
      };
    case "lost":
      return { write: () => async () => {}, zero: () => async () => {} };
    case "torn":
      return {
        write: (offset, from, flags) => async () => {
          const whole = Math.floor(from.byteLength / 2 / blockSize) * blockSize;
          if (whole > 0) return await write(offset, from.subarray(0, whole), flags);
          // Of a single block the first half is new, the other one old.
          const block = new Uint8Array(blockSize);
          await device.read(offset, block);
          block.set(from.subarray(0, blockSize / 2));
          await write(offset, block, flags);
        },
      };
    case "late":
      return {};
  }
}

/** In the middle of what is read or written. */
function flipBit(bytes: Uint8Array): void {
  const middle = bytes.byteLength >>> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
}
