import { closeSync, mkdtempSync, openSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Guardian } from "../link/guardian.ts";
import { killFamily } from "../link/process-family.ts";
import { familyMark, MARK, newMark } from "../link/process-mark.ts";
import type { Exports } from "../nbd/server/exports.ts";
import { NbdServer } from "../nbd/server/server.ts";
import { formatUri } from "../nbd/uri.ts";
import { hungUp } from "../os/poll.ts";
import type { Clock } from "../shadow/ports.ts";
import { Attachment, type Places } from "./attachment.ts";
import { DISMANTLE } from "./dismantling.ts";
import type { Form } from "./needs.ts";
import type { RecordedDisk } from "./recorded-disk.ts";
import type { CrashState } from "./state.ts";
import { StateDevice } from "./state-device.ts";

/** Of all states that are served at a time. */
const MAX_CONNECTIONS = 1024;
/** What a check has left behind and hangs in the kernel for longer is left to whoever finds its device in use. */
const END_TIMEOUT_MS = 10_000;

export interface LaboratoryOptions {
  readonly disk: RecordedDisk;
  readonly clock: Clock;
  /** In what form checks want their states. */
  readonly form: Form;
  readonly mountOptions: string | undefined;
}

/** Where states are set up as disks, each for one check, and taken down again: an NBD server, and a folder for all else. */
export class Laboratory {
  readonly #options: LaboratoryOptions;
  readonly #folder = mkdtempSync(join(tmpdir(), "skink-crashes-"));
  /** In the environment of all that is started for states. */
  readonly #mark = newMark([]);
  readonly #guardian: Guardian;
  readonly #devices = new Map<string, StateDevice>();
  readonly #server: NbdServer;
  readonly #path: string;
  #count = 0;

  private constructor(options: LaboratoryOptions, path: string | undefined) {
    this.#options = options;
    this.#guardian = new Guardian(this.#mark, this.#folder, DISMANTLE);
    this.#path = path ?? join(this.#folder, "nbd.sock");
    const exports: Exports = {
      list: () => [...this.#devices.keys()].map((name) => ({ name, description: "" })),
      find: (name) => {
        const device = this.#devices.get(name);
        return device === undefined ? undefined : { name, description: "", device };
      },
    };
    this.#server = new NbdServer({ exports, clock: options.clock, hungUp, maxConnections: MAX_CONNECTIONS });
  }

  /** `path`: of the server's socket; one in its own folder if left out. To be closed. */
  static async open(options: LaboratoryOptions, path?: string): Promise<Laboratory> {
    const laboratory = new Laboratory(options, path);
    try {
      await laboratory.#server.listen({ path: laboratory.#path });
    } catch (error) {
      await laboratory.close();
      throw error;
    }
    return laboratory;
  }

  /**
   * Sets `state` up and lets `use` have it; then it is gone, with all that was written to it. `env`: for whatever is started that works
   * on it, which is ended if it outlives its time. Rejects as `use` does; with a MountFailure where it has no file system that can be
   * mounted.
   */
  async with<Result>(
    state: CrashState,
    use: (places: Places, env: NodeJS.ProcessEnv) => Promise<Result>,
  ): Promise<Result> {
    // A name of its own, and nobody takes one state for another.
    const name = `state-${++this.#count}`;
    const overlay = this.#scratchFile(name);
    const device = new StateDevice(this.#options.disk, state, overlay);
    this.#devices.set(name, device);
    const { form, mountOptions } = this.#options;
    const uri = formatUri({ address: { path: this.#path }, name });
    const folder = join(this.#folder, name);
    const env = { ...process.env, [MARK]: familyMark(this.#mark) };
    const attachment = new Attachment({ uri, form, folder, mountOptions, env });
    const mark = newMark([]);
    try {
      return await use(await attachment.set(), { ...env, [MARK]: familyMark(`${this.#mark}/${mark}`) });
    } finally {
      try {
        // Whoever goes on would keep the state in use, or answer a check of another one.
        await killFamily(undefined, mark, { patienceMs: END_TIMEOUT_MS });
        await attachment.remove();
      } finally {
        this.#devices.delete(name);
        device.close();
        closeSync(overlay);
      }
    }
  }

  /** Leaves nothing behind, whatever is still going on. */
  async close(): Promise<void> {
    await this.#server.close(0);
    await this.#guardian.finish();
  }

  /** A file without a name: it is gone when it is closed, or when this process ends. */
  #scratchFile(name: string): number {
    const path = join(this.#folder, `${name}.overlay`);
    const fd = openSync(path, "wx+", 0o600);
    unlinkSync(path);
    return fd;
  }
}
