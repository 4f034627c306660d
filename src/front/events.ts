import type { DeviceEvent } from "../supervisor/event.ts";

/** How many events are remembered; a follower that is further behind than that misses some. */
export const MAX_EVENTS = 1000;
/** Longer reasons are cut, so that what is remembered is bounded in bytes, too. */
const MAX_REASON_CHARS = 2000;

/** An event as others see it: flat, in JSON as well. */
export type FrontEvent = DeviceEvent & {
  /** From 1 on, without gaps, over all devices of the front. */
  readonly seq: number;
  /** ISO 8601, in UTC. */
  readonly time: string;
  readonly device: string;
};

/** In place of events that are not remembered any more. */
export interface MissedEvents {
  readonly type: "missed";
  readonly count: number;
}

export type StreamedEvent = FrontEvent | MissedEvents;

/**
 * The newest events of all devices of a front, and whoever follows them. There is one queue for all: a follower is a
 * number, that of the event it gets next.
 *
 *   forgotten │ remembered, at most MAX_EVENTS │ to come
 *             ▲ oldest         ▲ a follower     ▲ next
 */
export class EventLog {
  /** The event `seq` is at `seq` modulo MAX_EVENTS. */
  readonly #ring: FrontEvent[] = [];
  readonly #waiting = new Set<() => void>();
  #next = 1;
  #ended = false;

  add(device: string, event: DeviceEvent): FrontEvent {
    const seq = this.#next++;
    const added = { seq, time: new Date().toISOString(), device, ...event, reason: oneLine(event.reason) };
    this.#ring[seq % MAX_EVENTS] = added;
    this.#wake();
    return added;
  }

  /**
   * The events from number `from` on, then those that come, until the signal is aborted or the log ends; what is
   * remembered by then still comes. An aborted signal thus gives what is remembered, and nothing else.
   */
  async *follow(from: number, signal: AbortSignal): AsyncGenerator<StreamedEvent, void, void> {
    let next = from;
    for (;;) {
      const oldest = Math.max(1, this.#next - MAX_EVENTS);
      if (next < oldest) {
        yield { type: "missed", count: oldest - next };
        next = oldest;
      } else if (next < this.#next) {
        yield this.#ring[next++ % MAX_EVENTS] as FrontEvent;
      } else if (this.#ended || signal.aborted) {
        return;
      } else {
        await this.#more(signal);
      }
    }
  }

  /** No more events come: followers end. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Resolves when there is something new, an end among it. */
  #more(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener("abort", wake);
    });
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}

/** Reasons quote drivers, which may say anything, also what would do something to a terminal. */
function oneLine(reason: string): string {
  const line = reason.replaceAll(/\p{Cc}+/gu, " ");
  return line.length > MAX_REASON_CHARS ? `${line.slice(0, MAX_REASON_CHARS)}…` : line;
}
