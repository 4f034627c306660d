import type { Errno } from "../block/errors.ts";
import type { FaultKind } from "../block/fault.ts";
import type { Geometry } from "../block/geometry.ts";
import type { Memory } from "../block/memory.ts";
import type { Request } from "../block/request.ts";

/** What the core asks of time. Milliseconds since some fixed point, never going back. */
export interface Clock {
  now(): number;
  /** Calls back once, `ms` later, from the event loop: never from inside this call. */
  after(ms: number, callback: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** Lines for the operator's log. */
export interface Log {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** Where choices come from; seeded in simulation. */
export interface Random {
  /** A whole number, 0 ≤ n < bound. */
  below(bound: number): number;
}

/** What a client's session needs of a device. */
export interface BlockDevice {
  readonly geometry: Geometry;
  /**
   * Asks for room for `request`: a place in the queue and, for reads and writes, its payload, which is allocated
   * here. "wait": the device is at a limit; ask again when `whenRoom` calls back. An errno: refuse it with that.
   * What is admitted must be submitted or abandoned.
   */
  admit(request: Request): "admitted" | "wait" | Errno;
  /**
   * Calls back once, in the order of asking, when `request`, refused with "wait", may find room (from the event loop,
   * never from inside another call). Returns a way to stop asking.
   */
  whenRoom(request: Request, callback: () => void): () => void;
  /** Takes an admitted request, which gets its one reply, perhaps before this returns. */
  submit(request: Request): void;
  /** Gives back an admitted request that will not be submitted (its connection died before its payload had come). */
  abandon(request: Request): void;
  /** The batch of requests that came together is complete: starts what they asked for. */
  kick(): void;
  /** The memory that holds a read's payload, for its release. */
  readonly reads: { release(payload: NonNullable<Request["payload"]>): void };
}

/** What one submission asks of the driver. A request may need several. */
export type Operation = "read" | "write" | "zero" | "trim" | "flush" | "extents";

/** Flag bits of a submission. */
export const SUBMIT_FUA = 1;
export const SUBMIT_MAY_TRIM = 2;
export const SUBMIT_FAST = 4;

/** Bytes of the slot in the arena of reads where a driver host puts an encoded list of extents (block/extents.ts). */
export const EXTENTS_SLOT_BYTES = 65536;

/** The way to one incarnation of a driver. Its completions come back through {@link IncarnationEvents.completed}. */
export interface Link {
  readonly epoch: number;
  /** How many submissions may be outstanding. The device never exceeds it. */
  readonly depth: number;
  /** Bytes that one zero or trim may concern, in whole blocks; a longer one is submitted in parts. */
  readonly maxEffect: number;
  /** How many times longer than that of a driver on this machine an answer may take. */
  readonly patience: number;
  /**
   * `tag`: 32-bit, unsigned, echoed by the completion. `offset`, `length`: bytes on the device. `address`: where the
   * data is: for a write in the arena of writes, for a read and a list of extents in the arena of reads, else 0.
   * May be held back until `kick`.
   */
  submit(tag: number, operation: Operation, flags: number, offset: number, length: number, address: number): void;
  /** The batch is complete: wake the driver if it sleeps. */
  kick(): void;
}

/** What a driver said of itself when it opened. */
export interface DriverInfo {
  readonly geometry: Geometry;
  readonly identity: string | undefined;
  readonly discards: boolean;
}

/** One of the drivers that a device may be served by: what the supervisor chooses from. */
export interface DriverRef {
  /** For people: "memory", "my-driver.ts", "exec:nbdkit". */
  readonly kind: string;
}

/**
 * Process control: the port through which the supervisor makes and ends incarnations. Every incarnation started ends
 * with exactly one `exited`, after which nothing it does reaches its store (P4).
 */
export interface Incarnations {
  start(epoch: number, driver: DriverRef): void;
  /** Asks it to finish what is in flight, close its store and exit. */
  close(epoch: number): void;
  /** Ends it at once. */
  kill(epoch: number): void;
  /**
   * Makes ready what can be made ready before a store is opened, so that the next `start` of `driver` takes no longer
   * than it must. Calls back once, from the event loop. `failure`: why it can't be started, one line. What was made
   * ready for another driver is given up, but for a warm standby of the one that runs.
   */
  prepare(driver: DriverRef, done: (failure: string | undefined) => void): void;
  /** What was prepared is not wanted after all. */
  unprepare(): void;
  /** Asks a living incarnation for a sign of life: its `beat` changes when its event loop turns. */
  ping(epoch: number): void;
  /** Changes with each sign of life, work done or a ping answered; `undefined` where a driver gives none. */
  beat(epoch: number): number | undefined;
  /** What the machine says of its process; `undefined` where there is none, or none of ours. */
  vitals(epoch: number): Vitals | undefined;
  /** What its process takes; `undefined` as above. */
  usage(epoch: number): Usage | undefined;
}

/** Times in milliseconds since its start. */
export interface Vitals {
  /** CPU time: of the thread that runs its event loop, or of the whole process where that isn't known. */
  readonly cpuMs: number;
  /** How long its threads were ready and had no core, all together. A wait counts once it is over. */
  readonly starvedMs: number;
  /** The thread that runs its event loop is on a core, or waits for one. */
  readonly ready: boolean;
  /** It has been suspended by a signal, as by SIGSTOP. */
  readonly suspended: boolean;
  /** One of its threads is in an uninterruptible wait, for a disk as a rule: it would not even die before that ends. */
  readonly inKernel: boolean;
}

export interface Usage {
  readonly residentBytes: number;
  readonly openFiles: number;
  /** How long its event loop took to answer the last ping that it has answered; `undefined` where it answers none. */
  readonly lagMs: number | undefined;
}

/** What incarnations report. An event of an epoch that was given up is dropped; a completion is counted, too. */
export interface IncarnationEvents {
  opened(epoch: number, info: DriverInfo, link: Link): void;
  /** It could not open its store, or its module did not load. `message`: one line, for the operator. */
  openFailed(epoch: number, message: string): void;
  /**
   * A completion as it came off the link, unchecked. `errno`: 0 or an error number. `count`: bytes done: the submission's
   * length for a read or write, the bytes of the encoded list for extents, 0 for the rest.
   */
  completed(epoch: number, tag: number, errno: number, count: number): void;
  /** It is not to be trusted any more. `what`: one line, for example "the position in the ring is out of range". */
  fault(epoch: number, kind: FaultKind, what: string): void;
  /** The completions that came together have all been delivered. */
  settled(epoch: number): void;
  /** It is gone and reaped. `how`: for example "killed by SIGKILL", "exit code 1: uncaught exception: …". */
  exited(epoch: number, kind: FaultKind, how: string): void;
}

/** What a device is given. */
export interface DevicePorts {
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Memory for what clients write. From address `zeroes` on it has MAX_SLOT_BYTES that are always zero. */
  readonly writes: Memory & { readonly zeroes: number };
  /** Memory for what clients read. */
  readonly reads: Memory;
  /** There is no memory for a read: replies that clients are slow to take should be moved out of it. */
  shortOfReads(): void;
  /** Writers have long waited for memory: cuts off clients that keep some for data they don't send. How many there were. */
  cutOffIdleWriters(): number;
}

/** Whom the device tells what became of an incarnation that it was attached to. */
export interface AttachObserver {
  /** Everything that earlier incarnations may have lost has been executed by this one. */
  replayed(): void;
  /** It serves another store, or the same one with its contents lost. */
  mismatch(what: string): void;
}
