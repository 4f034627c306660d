import type { FaultKind } from "../block/fault.ts";
import type { DriverRef, IncarnationEvents, Incarnations, Link, Operation } from "../shadow/ports.ts";
import { Executor } from "./executor.ts";
import { findKept, keptTooLate } from "./keeping.ts";
import { type DriverSource, loadDriver, type Opened, oneLine, openDriver } from "./opening.ts";
import { resolvePackageForAll } from "./package-resolution.ts";
import { RING_DEPTH } from "./ring.ts";
import type { Arenas } from "./shared-arenas.ts";
import { Views } from "./views.ts";

export interface InlineIncarnationsOptions {
  readonly sourceOf: (driver: DriverRef) => DriverSource;
  readonly memory: Arenas;
  readonly events: IncarnationEvents;
  /** A line that the driver logged. What it prints goes where the front's own output goes. */
  readonly output: (line: string) => void;
  readonly depth?: number;
}

/**
 * Runs the driver in the front's own process: the shortest way to it, and no protection. A driver that was given up
 * runs on in the background (no P4) and can harm the front (no P5); only what it completes is not heard any more.
 */
export class InlineIncarnations implements Incarnations {
  readonly #options: InlineIncarnationsOptions;
  readonly #living = new Map<number, InlineIncarnation>();
  readonly #kept = new Map<string, KeptMemory>();

  constructor(options: InlineIncarnationsOptions) {
    this.#options = options;
    resolvePackageForAll();
  }

  start(epoch: number, driver: DriverRef): void {
    const incarnation = new InlineIncarnation(epoch, this.#options, this.#kept, (kind, how) => {
      this.#living.delete(epoch);
      this.#options.events.exited(epoch, kind, how);
    });
    this.#living.set(epoch, incarnation);
    incarnation.open(this.#options.sourceOf(driver));
  }

  close(epoch: number): void {
    this.#living.get(epoch)?.close();
  }

  kill(epoch: number): void {
    this.#living.get(epoch)?.kill();
  }

  /** Loads its module, which this process then keeps. */
  prepare(driver: DriverRef, done: (failure: string | undefined) => void): void {
    loadDriver(this.#options.sourceOf(driver)).then(
      () => done(undefined),
      (error: unknown) => done(oneLine(error)),
    );
  }

  unprepare(): void {}

  /** It has no event loop of its own that could give a sign of life: where it hangs, so does the front. */
  ping(): void {}

  beat(): undefined {}

  /** It has no process of its own. */
  pid(): undefined {}

  vitals(): undefined {}

  usage(): undefined {}

  dispose(): void {
    this.#kept.clear();
  }
}

/** A region of memory that outlives incarnations. */
interface KeptMemory {
  readonly bytes: number;
  readonly memory: Uint8Array;
}

interface Submission {
  readonly tag: number;
  readonly operation: Operation;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
  readonly address: number;
}

class InlineIncarnation implements Link {
  readonly epoch: number;
  readonly depth: number;
  readonly maxEffect = Number.MAX_SAFE_INTEGER;
  readonly patience = 1;
  readonly #options: InlineIncarnationsOptions;
  readonly #kept: Map<string, KeptMemory>;
  readonly #exited: (kind: FaultKind, how: string) => void;
  readonly #closing = new AbortController();
  #executor: Executor | undefined;
  #opened: Opened | undefined;
  #submitted: Submission[] = [];
  #kicked = false;
  /** Completions are being delivered; the batch ends when this does. */
  #batch = false;
  #over = false;

  constructor(
    epoch: number,
    options: InlineIncarnationsOptions,
    kept: Map<string, KeptMemory>,
    exited: (kind: FaultKind, how: string) => void,
  ) {
    this.epoch = epoch;
    this.depth = options.depth ?? RING_DEPTH;
    this.#options = options;
    this.#kept = kept;
    this.#exited = exited;
  }

  open(driver: DriverSource): void {
    const regions = new Map(this.#kept);
    let opening = true;
    const context = {
      epoch: this.epoch,
      signal: this.#closing.signal,
      log: (message: string) => this.#options.output(oneLine(message)),
      keep: (name: string, bytes: number) => {
        if (!opening) throw keptTooLate(name);
        const region = findKept(regions, name, bytes) ?? { bytes, memory: new Uint8Array(bytes) };
        regions.set(name, region);
        return region.memory;
      },
    };
    openDriver(driver, context).then(
      (opened) => {
        opening = false;
        if (this.#over) return;
        for (const [name, region] of regions) this.#kept.set(name, region);
        this.#opened = opened;
        const { writes, reads } = this.#options.memory;
        const { blockSize } = opened.info.geometry;
        const views = [new Views(writes.memory), new Views(reads.memory)] as const;
        this.#executor = new Executor(opened.device, blockSize, ...views, (tag, errno, count) =>
          this.#complete(tag, errno, count),
        );
        this.#options.events.opened(this.epoch, opened.info, this);
      },
      (error: unknown) => {
        opening = false;
        if (this.#over) return;
        this.#options.events.openFailed(this.epoch, oneLine(error));
        this.#end("exit", "exit code 1");
      },
    );
  }

  submit(tag: number, operation: Operation, flags: number, offset: number, length: number, address: number): void {
    this.#submitted.push({ tag, operation, flags, offset, length, address });
  }

  kick(): void {
    if (this.#kicked || this.#submitted.length === 0) return;
    this.#kicked = true;
    // The core is never called back from inside its own call.
    queueMicrotask(() => this.#execute());
  }

  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#closeDriver().then(
      () => this.#end("exit", "exit code 0"),
      (error: unknown) => this.#end("exit", `exit code 1: close failed: ${oneLine(error)}`),
    );
  }

  kill(): void {
    this.#end("killed", "killed by SIGKILL");
  }

  async #closeDriver(): Promise<void> {
    this.#execute();
    await this.#executor?.drained();
    if (!this.#over) await this.#opened?.device.close?.();
  }

  #execute(): void {
    this.#kicked = false;
    const executor = this.#executor;
    if (this.#over || executor === undefined || this.#submitted.length === 0) return;
    const submitted = this.#submitted;
    this.#submitted = [];
    this.#batch = true;
    for (const { tag, operation, flags, offset, length, address } of submitted)
      executor.execute(tag, operation, flags, offset, length, address);
    this.#batch = false;
    if (!this.#over) this.#options.events.settled(this.epoch);
  }

  #complete(tag: number, errno: number, count: number): void {
    if (this.#over) return;
    this.#options.events.completed(this.epoch, tag, errno, count);
    if (!this.#batch && !this.#over) this.#options.events.settled(this.epoch);
  }

  #end(kind: FaultKind, how: string): void {
    if (this.#over) return;
    this.#over = true;
    setImmediate(() => this.#exited(kind, how));
  }
}
