import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Payload } from "../../block/memory.ts";
import type { DriverRef, Incarnations, Link } from "../../shadow/ports.ts";
import { InlineIncarnations } from "../inline.ts";
import { NbdIncarnations } from "../nbd/nbd.ts";
import type { DriverSource } from "../opening.ts";
import { ProcessIncarnations } from "../process.ts";
import { type Arenas, createHeapArenas, createKeptArenas, createSharedArenas } from "../shared-arenas.ts";
import { Recorder } from "./recorder.ts";

const TAG_LIMIT = 2 ** 32;
const SKINK = fileURLToPath(new URL("../../../bin/skink.js", import.meta.url));

export type LinkKind = "process" | "inline" | "nbd";

/** A driver of `text` behind a link of one kind, with a recorder in the front's place. */
export class Stage {
  readonly folder: string;
  readonly path: string;
  readonly recorder = new Recorder();
  /** Lines that drivers printed. */
  readonly output: string[] = [];
  readonly memory: Arenas;
  /** The one driver that there is. */
  readonly driver: DriverRef = { kind: "staged" };
  readonly incarnations: Incarnations & { pid(epoch: number): number | undefined; dispose(): void | Promise<void> };
  readonly #started = new Set<number>();
  readonly #closeMemory: () => void;
  #awaited: { readonly pattern: RegExp; readonly resolve: (match: RegExpExecArray) => void }[] = [];
  #tag = TAG_LIMIT - 5;

  /**
   * `text`: the module's source; `file`: its name. `standby`: with a spare host, where the link has such a thing; `kept`: with
   * writes that outlive the front.
   */
  constructor(
    kind: LinkKind,
    text: string,
    options: Record<string, string> = {},
    file = "driver.ts",
    { standby = false, kept = false }: { readonly standby?: boolean; readonly kept?: boolean } = {},
  ) {
    this.folder = mkdtempSync(join(tmpdir(), "skink-link-"));
    this.path = join(this.folder, file);
    writeFileSync(this.path, text);
    const driver: DriverSource = { module: pathToFileURL(this.path).href, options };
    const output = (line: string) => this.#print(line);
    const limits = { writeBytes: 0, readBytes: 0 };
    const events = this.recorder;
    if (kind === "process") {
      const memory = kept ? createKeptArenas(limits) : createSharedArenas(limits);
      this.memory = memory;
      this.#closeMemory = () => memory.close();
      this.incarnations = new ProcessIncarnations({ sourceOf: () => driver, memory, events, output, standby });
    } else if (kind === "nbd") {
      this.memory = createHeapArenas(limits);
      this.#closeMemory = () => {};
      const source = {
        type: "command",
        command: this.#serverOf(driver),
        folder: this.folder,
        name: "",
        connections: 2,
      } as const;
      this.incarnations = new NbdIncarnations({
        sourceOf: () => source,
        wantsWrites: true,
        memory: this.memory,
        events,
        output,
      });
    } else {
      this.memory = createHeapArenas(limits);
      this.#closeMemory = () => {};
      this.incarnations = new InlineIncarnations({ sourceOf: () => driver, memory: this.memory, events, output });
    }
  }

  start(epoch: number): void {
    this.#started.add(epoch);
    this.incarnations.start(epoch, this.driver);
  }

  /** Starts an incarnation and waits until it has opened. */
  async open(epoch: number): Promise<Link> {
    this.start(epoch);
    const failed = this.recorder.seen("openFailed", epoch).then(({ message }) => Promise.reject(new Error(message)));
    const { link } = await Promise.race([this.recorder.seen("opened", epoch), failed]);
    return link;
  }

  /** The next line that matches. */
  printed(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve) => {
      this.#awaited.push({ pattern, resolve });
    });
  }

  async write(link: Link, offset: number, data: Uint8Array): Promise<{ errno: number; count: number }> {
    const payload = this.memory.writes.allocate(data.byteLength) as Payload;
    payload.slots[0]?.bytes.set(data);
    const tag = this.#nextTag();
    link.submit(tag, "write", 0, offset, data.byteLength, payload.slots[0]?.address ?? 0);
    link.kick();
    const done = await this.recorder.completion(link.epoch, tag);
    this.memory.writes.release(payload);
    return done;
  }

  async read(link: Link, offset: number, length: number): Promise<Buffer> {
    const payload = this.memory.reads.allocate(length) as Payload;
    const tag = this.#nextTag();
    link.submit(tag, "read", 0, offset, length, payload.slots[0]?.address ?? 0);
    link.kick();
    await this.recorder.completion(link.epoch, tag);
    const data = Buffer.from(payload.slots[0]?.bytes.subarray(0, length) ?? []);
    this.memory.reads.release(payload);
    return data;
  }

  /** Kills what still lives and leaves nothing behind. */
  async end(): Promise<void> {
    for (const epoch of this.#started) this.incarnations.kill(epoch);
    await Promise.all([...this.#started].map((epoch) => this.recorder.seen("exited", epoch)));
    await this.incarnations.dispose();
    this.#closeMemory();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #print(line: string): void {
    this.output.push(line);
    this.#awaited = this.#awaited.filter(({ pattern, resolve }) => {
      const match = pattern.exec(line);
      if (match !== null) resolve(match);
      return match === null;
    });
  }

  /** Skink itself as the foreign server. Its front has no shadow, so that it adds nothing to the driver. */
  #serverOf({ module }: DriverSource): string {
    const wrapper = join(this.folder, "wrapper.ts");
    const keeping = new URL("keep-in-files.ts", import.meta.url).href;
    writeFileSync(
      wrapper,
      `import driver from ${JSON.stringify(module)};
       import { keepInFiles } from ${JSON.stringify(keeping)};
       export default keepInFiles(driver, ${JSON.stringify(this.folder)});`,
    );
    const flags = "--link inline --no-shadow --log-level warn";
    return `env XDG_RUNTIME_DIR=${this.folder} ${process.execPath} ${SKINK} serve ${wrapper} ${flags} --socket {socket} --control {socket}.control`;
  }

  #nextTag(): number {
    this.#tag = (this.#tag + 1) % TAG_LIMIT;
    return this.#tag;
  }
}

/** Runs `body` on a stage, which is cleared afterwards. */
export async function onStage(stage: Stage, body: (stage: Stage) => Promise<void>): Promise<void> {
  try {
    await body(stage);
  } finally {
    await stage.end();
  }
}
