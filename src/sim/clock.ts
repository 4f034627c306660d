import type { Clock, Timer } from "../shadow/ports.ts";

interface Event {
  readonly at: number;
  /** Breaks ties: what was asked for first comes first. */
  readonly order: number;
  callback: (() => void) | undefined;
}

/** Virtual time: nothing happens but by `step`, which jumps to the next event and runs it. */
export class VirtualClock implements Clock {
  #now = 0;
  #order = 0;
  readonly #heap: Event[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): Timer {
    const event: Event = { at: this.#now + Math.max(0, ms), order: this.#order++, callback };
    this.#push(event);
    return {
      cancel: () => {
        event.callback = undefined;
      },
    };
  }

  /** Runs the next event. False when there is none, or none until `limit`. */
  step(limit: number): boolean {
    for (;;) {
      const event = this.#heap[0];
      if (event === undefined || event.at > limit) return false;
      this.#pop();
      if (event.callback === undefined) continue;
      this.#now = event.at;
      event.callback();
      return true;
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!before(event, heap[parent] as Event)) break;
      heap[at] = heap[parent] as Event;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const moved = heap.pop() as Event;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!before(heap[child] as Event, moved)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = moved;
  }
}

function before(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
