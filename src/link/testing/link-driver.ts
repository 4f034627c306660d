import type { Driver, OpenedDevice } from "../../block/driver.ts";
import { type Errno, errnoName, SkinkError } from "../../block/errors.ts";
import { decodeExtents } from "../../block/extents.ts";
import { MAX_SLOT_BYTES, type Memory, type Payload } from "../../block/memory.ts";
import {
  EXTENTS_SLOT_BYTES,
  type IncarnationEvents,
  type Incarnations,
  type Link,
  type Operation,
  SUBMIT_FAST,
  SUBMIT_FUA,
  SUBMIT_MAY_TRIM,
} from "../../shadow/ports.ts";
import { type Arenas, createHeapArenas } from "../shared-arenas.ts";
import { Recorder } from "./recorder.ts";

export type MakeIncarnations = (
  options: Record<string, string>,
  ports: { readonly memory: Arenas; readonly events: IncarnationEvents },
) => Incarnations & { dispose(): void };

/** Whatever is behind a link, as a driver: its calls are submissions, and settle with their completions. */
export function linkDriver(make: MakeIncarnations): Driver {
  return {
    async open(options, { epoch }) {
      const memory = createHeapArenas({ writeBytes: 0, readBytes: 0 });
      const recorder = new Recorder();
      const incarnations = make(options, { memory, events: recorder });
      incarnations.start(epoch, { kind: "driver" });
      const failed = recorder.seen("openFailed", epoch).then(({ message }) => Promise.reject(new Error(message)));
      const { info, link } = await Promise.race([recorder.seen("opened", epoch), failed]);
      const submitter = new Submitter(link, memory, recorder);
      const { geometry, identity, discards } = info;
      return {
        size: geometry.size,
        blockSize: geometry.blockSize,
        fua: geometry.fua,
        discards,
        ...(identity === undefined ? {} : { identity }),
        ...methodsOf(submitter, geometry),
        async close() {
          incarnations.close(epoch);
          await recorder.seen("exited", epoch);
          incarnations.dispose();
        },
      };
    },
  };
}

type Features = Readonly<Record<"readOnly" | "trim" | "zero" | "extents", boolean>>;
type Methods = Pick<OpenedDevice, "read" | "write" | "flush" | "trim" | "zero" | "extents">;

function methodsOf(submitter: Submitter, { readOnly, trim, zero, extents }: Features): Methods {
  const read: Methods["read"] = (offset, into) => submitter.read(offset, into);
  if (readOnly) return { read };
  return {
    read,
    write: (offset, from, { fua }) => submitter.write(offset, from, fua ? SUBMIT_FUA : 0),
    flush: () => submitter.ask("flush", 0, 0, 0),
    ...(trim ? { trim: (offset: number, length: number) => submitter.ask("trim", 0, offset, length) } : {}),
    ...(zero
      ? {
          zero: (offset: number, length: number, { mayTrim, fast }: { mayTrim: boolean; fast: boolean }) =>
            submitter.ask("zero", (mayTrim ? SUBMIT_MAY_TRIM : 0) | (fast ? SUBMIT_FAST : 0), offset, length),
        }
      : {}),
    ...(extents ? { extents: (offset: number, length: number) => submitter.extents(offset, length) } : {}),
  };
}

/** Submits with payloads of its own, which it copies from and to. */
class Submitter {
  readonly #link: Link;
  readonly #memory: Arenas;
  readonly #recorder: Recorder;
  #tag = 0;

  constructor(link: Link, memory: Arenas, recorder: Recorder) {
    this.#link = link;
    this.#memory = memory;
    this.#recorder = recorder;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    await this.#withSlots(this.#memory.reads, into.length, async ({ slots }) => {
      await this.#inParts(slots, "read", 0, offset, into.length);
      for (const [index, { bytes }] of slots.entries()) {
        const at = index * MAX_SLOT_BYTES;
        into.set(bytes.subarray(0, Math.min(MAX_SLOT_BYTES, into.length - at)), at);
      }
    });
  }

  async write(offset: number, from: Uint8Array, flags: number): Promise<void> {
    await this.#withSlots(this.#memory.writes, from.length, async ({ slots }) => {
      for (const [index, { bytes }] of slots.entries()) {
        bytes.set(from.subarray(index * MAX_SLOT_BYTES, (index + 1) * MAX_SLOT_BYTES));
      }
      await this.#inParts(slots, "write", flags, offset, from.length);
    });
  }

  async ask(operation: Operation, flags: number, offset: number, length: number): Promise<void> {
    await this.#submit(operation, flags, offset, length, 0);
  }

  extents(offset: number, length: number) {
    return this.#withSlots(this.#memory.reads, EXTENTS_SLOT_BYTES, async ({ slots }) => {
      const slot = slots[0] as Payload["slots"][number];
      const count = await this.#submit("extents", 0, offset, length, slot.address);
      const extents = decodeExtents(slot.bytes.subarray(0, count), length, 1);
      if (extents === undefined) throw new SkinkError("EIO", "Cannot read the extents: the list is malformed");
      return extents;
    });
  }

  async #inParts(slots: Payload["slots"], operation: Operation, flags: number, offset: number, length: number) {
    const parts = slots.map(({ address }, index) => {
      const at = index * MAX_SLOT_BYTES;
      return this.#submit(operation, flags, offset + at, Math.min(MAX_SLOT_BYTES, length - at), address);
    });
    await Promise.all(parts);
  }

  async #submit(operation: Operation, flags: number, offset: number, length: number, address: number): Promise<number> {
    const tag = this.#tag++;
    this.#link.submit(tag, operation, flags, offset, length, address);
    this.#link.kick();
    const { errno, count } = await this.#recorder.completion(this.#link.epoch, tag);
    if (errno === 0) return count;
    const code = errnoName(errno as Errno);
    throw new SkinkError(code, `Cannot ${operation} ${length} bytes at ${offset}: ${code}`);
  }

  async #withSlots<Result>(
    memory: Memory,
    length: number,
    use: (payload: Payload) => Promise<Result>,
  ): Promise<Result> {
    const payload = memory.allocate(length);
    if (payload === undefined) throw new SkinkError("ENOMEM", `Cannot find room for ${length} bytes`);
    try {
      return await use(payload);
    } finally {
      memory.release(payload);
    }
  }
}
