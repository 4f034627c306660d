import { closeSync } from "node:fs";
import { SkinkError } from "../block/errors.ts";
import { type ProcessId, processId } from "../os/process-id.ts";
import { NotifySocket, type Told } from "../service/notify-socket.ts";
import type { ServiceManager } from "../service/service-manager.ts";
import type { StopOutcome } from "../supervisor/supervisor.ts";
import { askFront } from "./control-client.ts";
import { forgetPredecessor, hasEnded, storePredecessor } from "./predecessor.ts";

/** How long a front that has handed over may take to end, where the end of its drivers depends on that. */
const END_TIMEOUT_MS = 10_000;

/**
 * The planned way from one front to the next, of another version perhaps. The old one gives its descriptors away while it still serves:
 * listening sockets, and the memory of shadows. Then, when the new one is ready to go on, it ends: it answers what it has in
 * hand, flushes, closes its drivers, and leaves without a word to its clients, which come to the new one by the same sockets.
 *
 *   new                                       old
 *    │──offer: my socket──────────────────────▶│  serves
 *    │◀─────────descriptors, as to a manager───│
 *    │  checks its devices' memory,            │
 *    │  has their drivers loaded               │
 *    │──hand-over─────────────────────────────▶│  flushes, drains, closes
 *    │◀──────────────────────────────its end───│
 *    │  locks, fences, opens, replays, listens
 *
 * Whatever goes wrong before the last word leaves the old one as it was. Of several that take over at once, one gets the last word.
 */
export class Takeover {
  readonly #control: string;
  readonly #process: ProcessId;
  readonly #service: ServiceManager;
  /** Names of the devices that the other one serves. */
  readonly #devices: readonly string[];

  private constructor(control: string, process: ProcessId, service: ServiceManager, devices: readonly string[]) {
    this.#control = control;
    this.#process = process;
    this.#service = service;
    this.#devices = devices;
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
      await checkKept(control, offered, service);
      const old = processId(pid);
      const { devices } = await askFront(control, { command: "status" });
      const names = devices.map(({ name }) => name);
      if (old !== undefined) return new Takeover(control, old, service, names);
      throw new SkinkError("takeover-failed", `Cannot take over from the front at ${control}: it has ended meanwhile`);
    } finally {
      socket.close();
    }
  }

  /** Throws `takeover-failed` where a device of the other one would be gone: its clients, and what is in its memory alone, with it. */
  checkDevices(own: readonly string[]): void {
    const missing = this.#devices.find((name) => !own.includes(name));
    if (missing === undefined) return;
    const what = `it serves ${missing}, all of its devices were wanted here: stop it, and start anew, to give one up`;
    throw new SkinkError("takeover-failed", `Cannot take over from the front at ${this.#control}: ${what}`);
  }

  /**
   * Has it end. Resolves when nothing of it is in the way any more, with what has become of its devices. Rejects with `wrong-state`
   * where it has something better to do, and with `no-front` where it didn't come to say.
   */
  async finish(): Promise<StopOutcome> {
    // From here on this process may be the only one that has what the other one has acknowledged.
    storePredecessor(this.#service, this.#process);
    this.#service.takesOver();
    try {
      const outcome = await askFront(this.#control, { command: "hand-over", pid: this.#process.pid });
      // A driver that could not be closed, and the lock of its store, end with the process.
      if (outcome.reason !== undefined) await hasEnded(this.#process, END_TIMEOUT_MS);
      forgetPredecessor(this.#service);
      return outcome;
    } catch (error) {
      this.#service.leaves("the other front has not handed over");
      throw error;
    }
  }
}

/** After the last word the other one's guard has nothing any more. */
async function checkKept(
  control: string,
  offered: readonly { name: string }[],
  service: ServiceManager,
): Promise<void> {
  if (!service.canStore) return;
  for (const { name } of offered) {
    if (await service.keeps(name)) continue;
    const what = `the service manager does not keep ${name}, all that the other one has kept was wanted`;
    throw new SkinkError("takeover-failed", `Cannot take over from the front at ${control}: ${what}`);
  }
}

function storedIn({ fields, descriptors }: Told): { name: string; fd: number }[] {
  const name = fields.get("FDNAME");
  const [fd, ...others] = descriptors;
  if (name === undefined || fd === undefined) return [];
  for (const other of others) closeSync(other);
  return [{ name, fd }];
}
