import { Alarm } from "./alarm.ts";
import { type Latency, NO_LATENCY } from "./latency.ts";

export type Call = "read" | "write" | "flush" | "other";

export interface StationOptions {
  /** How long each kind of call takes. */
  readonly latency: Readonly<Record<Call, Latency>>;
  /** Calls that are served at once; the others wait, in order. As many as there are if left out. */
  readonly depth: number | undefined;
  /** Of reads and writes together. No limit if left out. */
  readonly bytesPerMs: number | undefined;
}

/** Serves calls as a disk would: so many at a time, each for as long as its latency says, and all through one pipe of limited bandwidth. */
export class Station {
  readonly #options: StationOptions;
  readonly #alarm: Alarm;
  /** When each place is free again, in milliseconds of `performance.now()`. */
  readonly #places: Float64Array;
  #pipeFreeMs = 0;

  /** `undefined` where no call takes any time. */
  static async create(options: StationOptions): Promise<Station | undefined> {
    const isTimed = Object.values(options.latency).some((latency) => latency !== NO_LATENCY);
    if (!isTimed && options.bytesPerMs === undefined) return undefined;
    return new Station(options, await Alarm.create());
  }

  private constructor(options: StationOptions, alarm: Alarm) {
    this.#options = options;
    this.#alarm = alarm;
    this.#places = new Float64Array(options.depth ?? 0);
  }

  /** Settles when a call that comes now has been served. `bytes`: that pass through the pipe. */
  served(call: Call, bytes: number): Promise<void> | undefined {
    const { latency, bytesPerMs } = this.#options;
    const now = performance.now();
    const place = this.#earliestPlace();
    const startMs = Math.max(now, this.#places[place] ?? 0);
    let endMs = startMs + latency[call]();
    if (bytesPerMs !== undefined && bytes > 0) {
      this.#pipeFreeMs = Math.max(startMs, this.#pipeFreeMs) + bytes / bytesPerMs;
      endMs = Math.max(endMs, this.#pipeFreeMs);
    }
    if (place !== NO_PLACE) this.#places[place] = endMs;
    return endMs > now ? this.#alarm.at(endMs) : undefined;
  }

  close(): Promise<void> {
    return this.#alarm.close();
  }

  #earliestPlace(): number {
    let earliest = NO_PLACE;
    for (let place = 0; place < this.#places.length; place++) {
      if (earliest === NO_PLACE || (this.#places[place] as number) < (this.#places[earliest] as number))
        earliest = place;
    }
    return earliest;
  }
}

const NO_PLACE = -1;
