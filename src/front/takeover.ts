import { closeSync } from "node:fs";
import { SkinkError } from "../block/errors.ts";
import { NotifySocket, type Told } from "../service/notify-socket.ts";
import type { ServiceManager } from "../service/service-manager.ts";
import { askFront } from "./control-client.ts";

/**
 * The planned way from one front to the next, of another version perhaps. The old one gives its descriptors away while it still serves:
 * listening sockets, and the memory of shadows. Then, when the new one is ready to go on, it ends: it answers what it has in
 * hand, flushes, closes its drivers, and leaves without a word to its clients, which come to the new one by the same sockets.
 *
 *   new                                       old
 *    │──offer: my socket──────────────────────▶│  serves
 *    │◀─────────descriptors, as to a manager───│
 *    │  checks its devices' memory             │
 *    │──hand-over─────────────────────────────▶│  drains, flushes, closes
 *    │◀──────────────────────────────its end───│
 *    │  locks, fences, opens, replays, listens
 *
 * Whatever goes wrong before the last word leaves the old one as it was.
 */
export class Takeover {
  readonly #control: string;

  private constructor(control: string) {
    this.#control = control;
  }

  /**
   * Has the front whose control socket is at `control` give its descriptors to `service`. Rejects with `no-front`, or with why it
   * doesn't.
   */
  static async begin(control: string, service: ServiceManager): Promise<Takeover> {
    const told: Told[] = [];
    const socket = new NotifySocket((one) => told.push(one));
    try {
      const { pid, descriptors } = await askFront(control, { command: "offer", socket: socket.name });
      socket.receive();
      const offered = told.flatMap((one) => (one.pid === pid ? storedIn(one) : []));
      if (offered.length !== descriptors) {
        const what = `${offered.length} of its descriptors have come, ${descriptors} were wanted`;
        throw new SkinkError("takeover-failed", `Cannot take over from the front at ${control}: ${what}`);
      }
      for (const descriptor of offered) service.adopt(descriptor);
      return new Takeover(control);
    } finally {
      socket.close();
    }
  }

  /** Has it end. Rejects with `takeover-failed` where it ends with something that is in no store and no home. */
  async finish(): Promise<void> {
    const { clean, reason } = await askFront(this.#control, { command: "hand-over" });
    if (clean) return;
    throw new SkinkError(
      "takeover-failed",
      `Cannot take over from the front at ${this.#control}: it ended with ${reason}`,
    );
  }
}

function storedIn({ fields, descriptors }: Told): { name: string; fd: number }[] {
  const name = fields.get("FDNAME");
  const [fd, ...others] = descriptors;
  if (name === undefined || fd === undefined) return [];
  for (const other of others) closeSync(other);
  return [{ name, fd }];
}
