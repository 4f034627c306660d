import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { SkinkError } from "../block/errors.ts";
import { FORMS, type Form } from "./needs.ts";
import { oneLine, type Ran, run, started } from "./programs.ts";

/** How often to look whether something has come or gone that nobody tells of. */
const POLL_MS = 2;
const READY_TIMEOUT_MS = 20_000;
/** So long what was mounted may be in use by somebody who looks at every new disk. */
const BUSY_TIMEOUT_MS = 10_000;

/** A state as files and devices of this machine. */
export type Places = Readonly<Partial<Record<Form, string>>>;

/** A file system that can't be mounted: of a state that is a finding, not a mistake. */
export class MountFailure extends Error {}

export interface AttachmentOptions {
  readonly uri: string;
  /** Up to which form it is set up. */
  readonly form: Form;
  /** A folder for it alone, which is made. */
  readonly folder: string;
  /** For `mount -o`. */
  readonly mountOptions: string | undefined;
  /** Of the programs that are started. */
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Makes of an NBD export a file (by nbdfuse), of this a loop device, of this a mounted file system. Everything is made anew for
 * each state: no cache of the kernel's can know another one.
 */
export class Attachment {
  readonly #options: AttachmentOptions;
  readonly #undo: (() => Promise<void>)[] = [];
  #fuse: ChildProcess | undefined;

  constructor(options: AttachmentOptions) {
    this.#options = options;
  }

  /** Rejects with a MountFailure, or a SkinkError for what this machine can't do. In any case `remove` has to follow. */
  async set(): Promise<Places> {
    const { uri, form, folder } = this.#options;
    const wants = (other: Form): boolean => FORMS.indexOf(form) >= FORMS.indexOf(other);
    if (!wants("device")) return { uri };
    mkdirSync(folder, { mode: 0o700 });
    const device = await this.#makeFile();
    if (!wants("loop")) return { uri, device };
    const loop = await this.#makeLoop(device);
    if (!wants("mount")) return { uri, device, loop };
    return { uri, device, loop, mount: await this.#mount(loop) };
  }

  /** Takes it all apart, the newest first. Rejects with `cannot-clean-up` where something is left. */
  async remove(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) await undo();
    rmSync(this.#options.folder, { recursive: true, force: true });
  }

  async #makeFile(): Promise<string> {
    const { folder, uri, env } = this.#options;
    const device = join(folder, "disk");
    const ready = join(folder, "ready");
    writeFileSync(device, "");
    const fuse = spawn("nbdfuse", ["-C", "1", "-P", ready, device, uri], {
      env,
      // A ^C is for this process alone, which takes it down in order.
      detached: true,
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#fuse = fuse;
    let said = "";
    fuse.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    await started(fuse, "nbdfuse");
    this.#undo.push(() => this.#unmountFile(device));
    const until = performance.now() + READY_TIMEOUT_MS;
    while (!existsSync(ready)) {
      if (hasEnded(fuse) || performance.now() > until)
        throw unable("make a file of a state", `nbdfuse: ${oneLine(said)}`);
      await delay(POLL_MS);
    }
    return device;
  }

  /** It unmounts by itself when it is told to end, whoever still has the file open. */
  async #unmountFile(device: string): Promise<void> {
    const fuse = this.#fuse as ChildProcess;
    if (hasEnded(fuse)) return;
    const ended = once(fuse, "exit");
    fuse.kill("SIGTERM");
    const timer = setTimeout(() => fuse.kill("SIGKILL"), BUSY_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
    if (fuse.signalCode === "SIGKILL") await this.#run("fusermount3", "-uz", device);
  }

  async #makeLoop(device: string): Promise<string> {
    const { code, stdout, complaint } = await this.#run("losetup", "--find", "--show", device);
    if (code !== 0) throw unable("make a loop device of a state", complaint);
    const loop = stdout.trim();
    const backing = `/sys/block/${loop.replace(/^.*\//, "")}/loop/backing_file`;
    this.#undo.push(async () => {
      await this.#untilDone("detach the loop device of a state", () => this.#run("losetup", "--detach", loop));
      // It goes when nobody has it open any more.
      await this.#untilDone("detach the loop device of a state", () => !existsSync(backing));
    });
    return loop;
  }

  async #mount(loop: string): Promise<string> {
    const point = join(this.#options.folder, "mount");
    mkdirSync(point);
    const { mountOptions } = this.#options;
    const options = mountOptions === undefined ? [] : ["-o", mountOptions];
    const { code, complaint } = await this.#run("mount", ...options, loop, point);
    if (code !== 0) throw new MountFailure(complaint);
    this.#undo.push(() => this.#untilDone("unmount a state", () => this.#run("umount", point)));
    return point;
  }

  #run(command: string, ...args: string[]): Promise<Ran> {
    return run(command, args, this.#options.env);
  }

  /** Tries until it is true, or the program ends well. */
  async #untilDone(act: string, attempt: () => boolean | Promise<Ran>): Promise<void> {
    const until = performance.now() + BUSY_TIMEOUT_MS;
    for (;;) {
      const outcome = await attempt();
      if (outcome === true || (outcome !== false && outcome.code === 0)) return;
      if (performance.now() > until) throw unable(act, outcome === false ? "it is in use" : outcome.complaint);
      await delay(POLL_MS);
    }
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function unable(act: string, what: string): SkinkError {
  return new SkinkError("cannot-attach", `Cannot ${act}: ${what || "it failed without a word"}, success was wanted`);
}
