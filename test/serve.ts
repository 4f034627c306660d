import { strict as assert } from "node:assert";
import type { ChildProcess } from "node:child_process";
import { askFront } from "../src/front/control-client.ts";
import type { DeviceStatus, FrontStatus } from "../src/front/status.ts";
import { type Ended, ended, type Scene, SKINK } from "./scene.ts";
import { until, within } from "./until.ts";

const READY_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 20_000;
const LIVE_TIMEOUT_MS = 20_000;
/** A front answers from its event loop, which nothing may hold up. */
const STATUS_TIMEOUT_MS = 10_000;
const LOG_TIMEOUT_MS = 10_000;

export interface ServeOptions {
  /** "serve" if left out. */
  readonly command?: "serve" | "record";
  /** More arguments of the command. */
  readonly args?: readonly string[];
  /** How many devices will be ready. 1 if left out. */
  readonly devices?: number;
  /** Clients come by --port or by what `args` or the configuration say, not by a socket of the scene. */
  readonly ownListener?: boolean;
  /** NODE_OPTIONS of the front, and so of its driver hosts. */
  readonly nodeOptions?: string;
}

/** Starts `skink serve SPEC` and waits until it says that all its devices are ready. It ends with the scene. */
export async function serve(scene: Scene, spec: string, options: ServeOptions = {}): Promise<Front> {
  const front = startServing(scene, spec, options);
  const devices = options.devices ?? 1;
  await until(`${devices} devices to be ready`, READY_TIMEOUT_MS, () => {
    if (front.hasEnded) throw new Error(`serve ${spec} ended instead of being ready: ${front.stderr}`);
    return front.ready.length >= devices ? true : undefined;
  });
  return front;
}

/** The same, without waiting: it may never be ready. */
export function startServing(scene: Scene, spec: string, options: ServeOptions = {}): Front {
  const control = scene.path("control");
  const listener = options.ownListener ? [] : ["--socket", scene.path("nbd")];
  const args = [options.command ?? "serve", spec, ...listener, "--control", control, ...(options.args ?? [])];
  // The tests' cache of compiled modules is not for a front and its driver hosts: they start as they do for users.
  const environment = [`NODE_OPTIONS=${options.nodeOptions ?? ""}`, "NODE_COMPILE_CACHE="];
  const child = scene.spawn("env", [...environment, process.execPath, SKINK, ...args]);
  const front = new Front(child, control);
  scene.defer(() => front.end("SIGTERM"));
  return front;
}

export interface Ready {
  readonly name: string;
  readonly uri: string;
}

/** A running `skink serve`. */
export class Front {
  readonly control: string;
  /** How it ended, once it has. */
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  #stdout = "";
  #stderr = "";

  constructor(child: ChildProcess, control: string) {
    this.#child = child;
    this.control = control;
    this.ended = ended(child);
    child.stdout?.on("data", (text: string) => {
      this.#stdout += text;
    });
    child.stderr?.on("data", (text: string) => {
      this.#stderr += text;
    });
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** What it has said so far. */
  get stderr(): string {
    return this.#stderr;
  }

  /** What its `ready NAME URI` lines say. */
  get ready(): Ready[] {
    const lines = this.#stdout.split("\n").slice(0, -1);
    return lines.map((line) => {
      const [, name, uri] = /^ready (\S+) (\S+)$/.exec(line) ?? [];
      assert.ok(name !== undefined && uri !== undefined, `serve printed ${JSON.stringify(line)}`);
      return { name, uri };
    });
  }

  /** Of its first device. */
  get uri(): string {
    return (this.ready[0] as Ready).uri;
  }

  get name(): string {
    return (this.ready[0] as Ready).name;
  }

  status(): Promise<FrontStatus> {
    return within("the status", STATUS_TIMEOUT_MS, askFront(this.control, { command: "status" }));
  }

  /** The state of its device called `name`; of its first one if left out. */
  async device(name = this.name): Promise<DeviceStatus> {
    const { devices } = await this.status();
    const found = devices.find((device) => device.name === name);
    assert.ok(found !== undefined, `there is no device ${name}`);
    return found;
  }

  /** Waits for a state. `after`: of a later incarnation than that. */
  until(state: DeviceStatus["state"], after = 0): Promise<DeviceStatus> {
    return until(`state ${state} after epoch ${after}`, LIVE_TIMEOUT_MS, async () => {
      const device = await this.device();
      return device.state === state && device.epoch > after ? device : undefined;
    });
  }

  /** Waits for a line of its log, which arrives by another way than its answers, and perhaps after them. */
  async logs(pattern: RegExp): Promise<void> {
    await until(`the log to say ${pattern}`, LOG_TIMEOUT_MS, () => (pattern.test(this.#stderr) ? true : undefined));
  }

  /** Ends the driver by SIGKILL, and waits for the next incarnation to be live. */
  async killDriver(): Promise<DeviceStatus> {
    const { epoch, driver } = await this.until("live");
    assert.ok(driver.pid !== null, "the driver has no process");
    process.kill(driver.pid, "SIGKILL");
    return await this.until("live", epoch);
  }

  /** Ends it by a signal, if it still runs; by SIGKILL, if that doesn't help. */
  async end(signal: NodeJS.Signals): Promise<Ended> {
    if (!this.hasEnded) this.#child.kill(signal);
    try {
      return await within(`the front to end by ${signal}`, STOP_TIMEOUT_MS, this.ended);
    } catch (error) {
      this.#child.kill("SIGKILL");
      throw error;
    }
  }

  /** Stops it, which has to go well: everything durable, everything closed. */
  async stop(): Promise<Ended> {
    const outcome = await this.end("SIGTERM");
    assert.equal(outcome.code, 0, `stop ended with ${outcome.code ?? outcome.signal}: ${outcome.stderr}`);
    return outcome;
  }
}
