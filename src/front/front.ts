import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SkinkError } from "../block/errors.ts";
import type { Export } from "../nbd/server/exports.ts";
import { NbdServer } from "../nbd/server/server.ts";
import { loadServerTls, type TlsSettings } from "../nbd/tls/server-tls.ts";
import { type Address, formatUri } from "../nbd/uri.ts";
import { MAX_STRING_BYTES } from "../nbd/wire/protocol.ts";
import { hungUp } from "../os/poll.ts";
import type { Log } from "../shadow/ports.ts";
import type { StopOutcome } from "../supervisor/supervisor.ts";
import { realClock } from "./clock.ts";
import type { ControlRequest, UpgradeResult } from "./control-protocol.ts";
import { ControlServer } from "./control-server.ts";
import { EventLog, type StreamedEvent } from "./events.ts";
import { silentLog } from "./log.ts";
import { type Clients, type DeviceConfig, ServedDevice } from "./served-device.ts";
import { type DeviceSpec, parseSpec } from "./spec.ts";
import type { DeviceStatus, FrontStatus } from "./status.ts";

const LOOPBACK = "127.0.0.1";
/** After a stop that wasn't clean some requests will never be answered; what has been is sent meanwhile. */
const UNCLEAN_DRAIN_MS = 250;

export interface FrontConfig {
  readonly devices: readonly DeviceConfig[];
  /** Without a socket and a port, a socket in a fresh temporary folder. */
  readonly listen?: {
    readonly socket?: string | undefined;
    /** 0 takes a free one. */
    readonly port?: number | undefined;
    /** The loopback interface if left out. */
    readonly host?: string | undefined;
  };
  /** Without it connections are not encrypted. */
  readonly tls?: TlsSettings | undefined;
  /** The path of the control socket; none if left out. */
  readonly control?: string | undefined;
}

/** What an export may be called, and fits into a line of output. */
function checkName(name: string): void {
  const bytes = Buffer.byteLength(name);
  const hasControls = /\p{Cc}/u.test(name);
  if (bytes > 0 && bytes <= MAX_STRING_BYTES && !hasControls) return;
  const is = hasControls ? "it has control characters" : `it has ${bytes} bytes`;
  const wanted = `a name of 1 to ${MAX_STRING_BYTES} bytes of text was wanted`;
  throw new SkinkError("bad-name", `Cannot name a device ${JSON.stringify(name.slice(0, 40))}: ${is}, ${wanted}`);
}

/** A running front: its devices, the server that clients connect to, and the control socket. */
export class Front {
  readonly #config: FrontConfig;
  readonly #devices: readonly ServedDevice[];
  readonly #server: NbdServer;
  readonly #log: Log;
  readonly #events = new EventLog();
  /** Devices that clients may come to. */
  #ready = false;
  #address: Address | undefined;
  #control: ControlServer | undefined;
  /** The fresh folder of the socket that nobody chose. */
  #folder: string | undefined;
  #stopping: Promise<StopOutcome> | undefined;
  readonly #ended = Promise.withResolvers<StopOutcome>();

  /** Throws `bad-name`, `bad-device`, `bad-tls` or `bad-credentials`. Nothing runs before `start`. */
  constructor(config: FrontConfig, log: Log = silentLog) {
    this.#config = config;
    this.#log = log;
    const seen = new Set<string>();
    for (const { name } of config.devices) {
      checkName(name);
      if (seen.has(name)) throw new SkinkError("bad-name", `Cannot serve two devices named ${name}: names must differ`);
      seen.add(name);
    }
    const clients: Clients = {
      unpinAll: () => this.#server.unpinAll(),
      cutOffIdleWriters: (device) => this.#server.cutOffIdleWriters(device),
    };
    this.#devices = config.devices.map((device) => {
      const uri = (): string => this.uri(device.name);
      return new ServedDevice(device, { log, clients, uri, tell: (event) => this.#events.add(device.name, event) });
    });
    this.#server = new NbdServer({
      exports: {
        list: () => this.#offered().map(({ name }) => ({ name, description: "" })),
        find: (name) => this.#exportOf(name),
      },
      clock: realClock,
      hungUp,
      log,
      tls: config.tls === undefined ? undefined : loadServerTls(config.tls),
    });
  }

  /** Resolves when every device accepts clients. Rejects with a SkinkError, and then nothing is left behind. */
  async start(): Promise<void> {
    try {
      await this.#start(this.#config);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Resolves with the end of this front, whoever has stopped it. */
  get ended(): Promise<StopOutcome> {
    return this.#ended.promise;
  }

  /** Where a client finds the device. Throws `unknown-device`. */
  uri(name: string): string {
    return this.#uriOf(this.#find("find", name));
  }

  status(): FrontStatus {
    return { devices: this.#devices.map((device): DeviceStatus => device.status(this.#uriOf(device))) };
  }

  /** Kills a driver, as if it had crashed. Throws `unknown-device` or `wrong-state`. */
  kill(name: string): void {
    this.#find("kill", name).kill();
  }

  /**
   * A planned restart of a driver: drain, flush, close, open. Resolves when the device is live again. Rejects with
   * `unknown-device`, `wrong-state`, `restart-failed`, or `stopped`.
   */
  async restart(name: string): Promise<void> {
    await this.#find("restart", name).restart();
  }

  /**
   * Hands a device over to another driver for the same store, under load: drain, flush, close, open. Resolves when the newcomer
   * has proved itself or was taken back, or, without `wait`, when it serves. Rejects with `unknown-device`, `wrong-state` or
   * `upgrade-refused`, and then nothing has changed.
   */
  async upgrade(
    name: string,
    spec: DeviceSpec,
    { wait = true }: { readonly wait?: boolean } = {},
  ): Promise<UpgradeResult> {
    return await this.#find("upgrade", name).upgrade(spec, wait);
  }

  /** What is remembered of what happened, then what happens until the signal is aborted or the front stops. */
  events(signal: AbortSignal): AsyncGenerator<StreamedEvent, void, void> {
    return this.#events.follow(1, signal);
  }

  /** No new requests; drain, flush, close. Never rejects. */
  stop(): Promise<StopOutcome> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Kills the drivers and removes the socket files, at once; what is not durable is lost. The process has to exit next. */
  abandon(): void {
    for (const device of this.#devices) device.abandon();
    if (this.#address !== undefined && "path" in this.#address) rmSync(this.#address.path, { force: true });
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
    if (this.#control !== undefined) rmSync(this.#control.path, { force: true });
  }

  async #start({ listen = {}, control }: FrontConfig): Promise<void> {
    if (control !== undefined) {
      this.#control = await ControlServer.listen(control, (request, signal) => this.#command(request, signal));
    }
    await Promise.all(this.#devices.map((device) => device.start()));
    this.#ready = true;
    const { socket, port, host = LOOPBACK } = listen;
    if (port !== undefined) this.#address = await this.#server.listen({ host, port });
    if (socket !== undefined || port === undefined) {
      this.#address = await this.#server.listen({ path: socket ?? (await this.#freshSocket()) });
    }
  }

  async #freshSocket(): Promise<string> {
    this.#folder = await mkdtemp(join(tmpdir(), "skink-"));
    return join(this.#folder, "nbd.sock");
  }

  async #stop(): Promise<StopOutcome> {
    // Nobody new comes while clients still get what is old; then the connections have nothing left to wait for.
    this.#server.shutdown();
    const stops = await Promise.all(this.#devices.map((device) => device.stop()));
    const clean = stops.every((stop) => stop.clean);
    await this.#server.close(clean ? undefined : UNCLEAN_DRAIN_MS);
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true });
    const reasons = stops.flatMap(({ reason }, index) =>
      reason === undefined ? [] : [`${this.#devices[index]?.name}: ${reason}`],
    );
    await Promise.all(this.#devices.map((device, index) => device.close(stops[index] as StopOutcome)));
    const outcome = { clean, reason: clean ? undefined : reasons.join("; ") };
    if (!clean) this.#log.error(`stopped, but not cleanly: ${outcome.reason}`);
    // Whoever asked over the control socket gets the outcome before the socket closes.
    this.#events.end();
    setImmediate(() => this.#end(outcome));
    return outcome;
  }

  async #end(outcome: StopOutcome): Promise<void> {
    await this.#control?.close();
    this.#ended.resolve(outcome);
  }

  #command(request: ControlRequest, signal: AbortSignal): unknown {
    switch (request.command) {
      case "status":
        return this.status();
      case "kill":
        return this.kill(request.name);
      case "restart":
        return this.restart(request.name);
      case "upgrade":
        return this.upgrade(request.name, parseSpec(request.spec, request.base), { wait: request.wait });
      case "events":
        return this.events(request.follow ? signal : AbortSignal.abort());
      case "stop":
        return this.stop();
    }
  }

  #find(act: string, name: string): ServedDevice {
    const found = this.#devices.find((device) => device.name === name);
    if (found !== undefined) return found;
    const known = this.#devices.map((device) => device.name).join(", ");
    throw new SkinkError(
      "unknown-device",
      `Cannot ${act} ${name}: there is no such device, one of ${known} was wanted`,
    );
  }

  #uriOf({ name }: ServedDevice): string {
    if (this.#address === undefined) return "";
    const tls = this.#config.tls?.mode === "required" ? { tls: {} } : {};
    return formatUri({ address: this.#address, name, ...tls });
  }

  #exportOf(name: string): Export | undefined {
    const found = this.#offered().find((device) => device.name === name);
    return found === undefined ? undefined : { name, description: "", device: found.device };
  }

  #offered(): readonly ServedDevice[] {
    return this.#ready ? this.#devices : [];
  }
}
