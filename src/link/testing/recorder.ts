import type { FaultKind } from "../../block/fault.ts";
import type { DriverInfo, IncarnationEvents, Link } from "../../shadow/ports.ts";

export type Recorded =
  | { readonly kind: "opened"; readonly epoch: number; readonly info: DriverInfo; readonly link: Link }
  | { readonly kind: "openFailed"; readonly epoch: number; readonly message: string }
  | {
      readonly kind: "completed";
      readonly epoch: number;
      readonly tag: number;
      readonly errno: number;
      readonly count: number;
    }
  | { readonly kind: "fault"; readonly epoch: number; readonly fault: FaultKind; readonly what: string }
  | { readonly kind: "settled"; readonly epoch: number }
  | { readonly kind: "exited"; readonly epoch: number; readonly fault: FaultKind; readonly how: string };

type OfKind<Kind extends Recorded["kind"]> = Extract<Recorded, { readonly kind: Kind }>;

/** Writes down the events of incarnations, and waits for them. */
export class Recorder implements IncarnationEvents {
  readonly events: Recorded[] = [];
  #waiting: { matches: (event: Recorded) => boolean; resolve: (event: Recorded) => void }[] = [];

  opened(epoch: number, info: DriverInfo, link: Link): void {
    this.#record({ kind: "opened", epoch, info, link });
  }

  openFailed(epoch: number, message: string): void {
    this.#record({ kind: "openFailed", epoch, message });
  }

  completed(epoch: number, tag: number, errno: number, count: number): void {
    this.#record({ kind: "completed", epoch, tag, errno, count });
  }

  fault(epoch: number, fault: FaultKind, what: string): void {
    this.#record({ kind: "fault", epoch, fault, what });
  }

  settled(epoch: number): void {
    this.#record({ kind: "settled", epoch });
  }

  exited(epoch: number, fault: FaultKind, how: string): void {
    this.#record({ kind: "exited", epoch, fault, how });
  }

  /** The first event of that kind and epoch, come or to come. */
  async seen<Kind extends Recorded["kind"]>(kind: Kind, epoch: number): Promise<OfKind<Kind>> {
    return (await this.#find((event) => event.kind === kind && event.epoch === epoch)) as OfKind<Kind>;
  }

  /** The completion of that tag. */
  async completion(epoch: number, tag: number): Promise<{ errno: number; count: number }> {
    const event = await this.#find((e) => e.kind === "completed" && e.epoch === epoch && e.tag === tag);
    const { errno, count } = event as OfKind<"completed">;
    return { errno, count };
  }

  /** "opened 1", "completed 1 7", …, without the ends of batches. */
  story(): string[] {
    return this.events
      .filter(({ kind }) => kind !== "settled")
      .map((event) => `${event.kind} ${event.epoch}${event.kind === "completed" ? ` ${event.tag}` : ""}`);
  }

  #find(matches: (event: Recorded) => boolean): Promise<Recorded> {
    const past = this.events.find(matches);
    if (past !== undefined) return Promise.resolve(past);
    return new Promise((resolve) => {
      this.#waiting.push({ matches, resolve });
    });
  }

  #record(event: Recorded): void {
    this.events.push(event);
    for (const { matches, resolve } of this.#waiting) if (matches(event)) resolve(event);
    this.#waiting = this.#waiting.filter(({ matches }) => !matches(event));
  }
}
