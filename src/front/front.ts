import { SkinkError } from "../block/errors.ts";
import type { Export } from "../nbd/server/exports.ts";
import { NbdServer } from "../nbd/server/server.ts";
import { loadServerTls, type TlsSettings } from "../nbd/tls/server-tls.ts";
import { type Address, formatUri } from "../nbd/uri.ts";
import { MAX_STRING_BYTES } from "../nbd/wire/protocol.ts";
import { hungUp } from "../os/poll.ts";
import { ServiceManager } from "../service/service-manager.ts";
import type { Log } from "../shadow/ports.ts";
import type { StopOutcome } from "../supervisor/supervisor.ts";
import { realClock } from "./clock.ts";
import type { ControlRequest, Offer, UpgradeResult } from "./control-protocol.ts";
import type { ControlServer } from "./control-server.ts";
import type { DeviceConfig } from "./device-config.ts";
import { EventLog, type StreamedEvent } from "./events.ts";
import { refuseUnclaimed } from "./homes.ts";
import { type ListenConfig, Listeners } from "./listeners.ts";
import { silentLog } from "./log.ts";
import { awaitPredecessor } from "./predecessor.ts";
import { type Clients, ServedDevice } from "./served-device.ts";
import { type DeviceSpec, parseSpec } from "./spec.ts";
import type { DeviceStatus, FrontStatus } from "./status.ts";
import type { Takeover } from "./takeover.ts";

/** After a stop that wasn't clean some requests will never be answered; what has been is sent meanwhile. */
const UNCLEAN_DRAIN_MS = 250;
/** How long clients may take, when another front takes over, to receive what they have been answered. */
const LAST_REPLIES_MS = 50;

export interface FrontConfig {
  readonly devices: readonly DeviceConfig[];
  /** Without a socket and a port, a socket in a fresh temporary folder. */
  readonly listen?: ListenConfig;
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
  readonly #service: ServiceManager;
  readonly #listeners: Listeners;
  readonly #events = new EventLog();
  /** Devices that clients may come to. */
  #ready = false;
  #address: Address | undefined;
  #control: ControlServer | undefined;
  #stopping: Promise<StopOutcome> | undefined;
  /** Settles when the front that served before has handed over, or hasn't. */
  #takingOver: Promise<void> | undefined;
  readonly #ended = Promise.withResolvers<StopOutcome>();

  /**
   * Throws `bad-name`, `bad-device`, `bad-tls`, `bad-credentials` or `bad-environment`. Nothing runs before `start`.
   * `service`: what started this process, if it is there for the front alone.
   */
  constructor(config: FrontConfig, log: Log = silentLog, service = ServiceManager.nobody()) {
    this.#config = config;
    this.#log = log;
    this.#service = service;
    this.#listeners = new Listeners(service, log);
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
      return new ServedDevice(device, {
        log,
        service,
        clients,
        uri,
        tell: (event) => this.#events.add(device.name, event),
      });
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

  /**
   * Resolves when every device accepts clients. Rejects with a SkinkError, and then nothing is left behind. `takeover`: of the front
   * that has served these devices until now.
   */
  async start(takeover?: Takeover): Promise<void> {
    try {
      // What has come from the other front is still the other one's.
      if (takeover !== undefined) this.#listeners.leave();
      takeover?.checkDevices(this.#devices.map(({ name }) => name));
      await awaitPredecessor(this.#service);
      this.#checkNotStopped();
      for (const device of this.#devices) device.prepare();
      refuseUnclaimed(this.#service);
      if (takeover !== undefined) {
        await Promise.all(this.#devices.map((device) => device.loadDriver()));
        this.#checkNotStopped();
        this.#takingOver = this.#takeOver(takeover);
        await this.#takingOver;
      }
      await this.#start(this.#config);
    } catch (error) {
      // The next one, which may do better, finds what earlier fronts have left where they have; clients wait there.
      const leaves = this.#stopping === undefined && this.#service.isManaged;
      if (leaves) this.#listeners.leave();
      this.#stopping ??= this.#stop(leaves);
      await this.#stopping;
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
    return {
      pid: process.pid,
      devices: this.#devices.map((device): DeviceStatus => device.status(this.#uriOf(device))),
    };
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

  /**
   * Puts a text into the recording of a device. Resolves when it is there, behind everything that was answered before. Rejects with
   * `unknown-device`, `not-recorded`, `bad-mark` or `recording-ended`.
   */
  async mark(name: string, text: string): Promise<void> {
    await this.#find("mark", name).mark(text);
  }

  /** What is remembered of what happened, then what happens until the signal is aborted or the front stops. */
  events(signal: AbortSignal): AsyncGenerator<StreamedEvent, void, void> {
    return this.#events.follow(1, signal);
  }

  /** No new requests; drain, flush, close. Never rejects. */
  stop(): Promise<StopOutcome> {
    if (this.#stopping === undefined) this.#service.stopping("stopping: what is not durable yet is flushed");
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /**
   * Ends for the sake of a front that takes over: drains, flushes, closes. Clients are left without a word when the process exits,
   * which it has to do next; they find the other one by the same sockets. `clean`: nothing is lost by that. `pid`: of the front whose
   * offer was accepted. Rejects with `wrong-state`, and then nothing has changed.
   */
  async handOver(pid = process.pid): Promise<StopOutcome> {
    // Who has another one's descriptors may have come after a third one.
    if (pid !== process.pid) {
      const what = `the offer was made by process ${pid}, and this is ${process.pid}`;
      throw new SkinkError("wrong-state", `Cannot hand over: ${what}, an offer of this front was wanted`);
    }
    this.#checkServes();
    this.#checkFlushable();
    this.#stopping = this.#handOver();
    return await this.#stopping;
  }

  /** Kills the drivers and removes the socket files, at once; what is not durable is lost. The process has to exit next. */
  abandon(): void {
    for (const device of this.#devices) device.abandon();
    this.#listeners.retire("nbd");
    this.#listeners.retire("control");
  }

  async #start({ listen = {}, control }: FrontConfig): Promise<void> {
    this.#control = await this.#listeners.serveControl(control, (request, signal) => this.#command(request, signal));
    await Promise.all(this.#devices.map((device) => this.#startDevice(device)));
    const [first] = this.#devices;
    if (first !== undefined && this.#devices.every(({ damage }) => damage !== undefined)) throw first.damage;
    this.#ready = true;
    this.#address = await this.#listeners.serveClients(this.#server, listen);
    this.#service.ready(`serving ${this.#devices.map(({ name }) => name).join(", ")}`);
  }

  /** One whose shadow is damaged is failed, and keeps no other from its clients. */
  async #startDevice(device: ServedDevice): Promise<void> {
    try {
      await device.start();
    } catch (error) {
      if (device.damage === undefined) throw error;
      this.#log.error(device.damage.message);
    }
  }

  async #takeOver(takeover: Takeover): Promise<void> {
    const outcome = await takeover.finish();
    this.#listeners.own();
    this.#checkNotStopped();
    if (outcome.clean) return;
    throw new SkinkError("takeover-failed", `Cannot take over: the other front ended with ${outcome.reason}`);
  }

  #checkNotStopped(): void {
    if (this.#stopping !== undefined) throw new SkinkError("stopped", "Cannot start: it was stopped meanwhile");
  }

  /** `leaves`: what is stored is for the next front. */
  async #stop(leaves = false): Promise<StopOutcome> {
    // Half a takeover would leave nobody.
    await this.#takingOver?.catch(() => {});
    // Nobody new comes while clients still get what is old; then the connections have nothing left to wait for.
    this.#listeners.retire("nbd");
    this.#server.shutdown();
    const stops = await Promise.all(this.#devices.map((device) => device.stop()));
    await this.#server.close(stops.every((stop) => stop.clean) ? undefined : UNCLEAN_DRAIN_MS);
    const ends = await Promise.all(
      this.#devices.map((device, index) => device.close(stops[index] as StopOutcome, leaves)),
    );
    const clean = ends.every((end) => end.clean);
    const reasons = ends.flatMap(({ reason }, index) =>
      reason === undefined ? [] : [`${this.#devices[index]?.name}: ${reason}`],
    );
    const outcome = { clean, reason: clean ? undefined : reasons.join("; ") };
    if (!clean) this.#log.error(`stopped, but not cleanly: ${outcome.reason}`);
    // Whoever asked over the control socket gets the outcome before the socket closes.
    this.#events.end();
    setImmediate(() => this.#end(outcome));
    return outcome;
  }

  #offer(socket: string): Offer {
    this.#checkServes();
    try {
      return { pid: process.pid, descriptors: this.#service.offerTo(socket) };
    } catch (error) {
      const what = `its descriptors can't be sent to ${socket} (${(error as Error).message})`;
      throw new SkinkError("not-offered", `Cannot hand over: ${what}, a socket that takes them was wanted`);
    }
  }

  #checkServes(): void {
    if (this.#ready && this.#stopping === undefined) return;
    throw new SkinkError("wrong-state", "Cannot hand over: this front starts or stops, one that serves was wanted");
  }

  /** What has its home in this process alone has to go to the store, which takes a driver that is well. */
  #checkFlushable(): void {
    for (const { name, state, outlivesFront, upgrading } of this.#devices) {
      if (upgrading) {
        const what = `an upgrade of ${name} goes on, of which the next front would know nothing`;
        throw new SkinkError("wrong-state", `Cannot hand over: ${what}, its end was wanted`);
      }
      if (outlivesFront || state === "live") continue;
      const what = `${name} is ${state}, and what it has acknowledged is in this front's memory alone`;
      throw new SkinkError("wrong-state", `Cannot hand over: ${what}, a live driver that can flush it was wanted`);
    }
  }

  async #handOver(): Promise<StopOutcome> {
    const stops = await Promise.all(this.#devices.map((device) => device.stop({ handsOver: true })));
    // Connections still receive into memory that is there until the process exits.
    const ends = await Promise.all(
      this.#devices.map((device, index) => device.close(stops[index] as StopOutcome, true)),
    );
    const unclean = this.#devices.filter((_, index) => ends[index]?.clean === false);
    const reasons = unclean.map((device) => `${device.name}: ${ends[this.#devices.indexOf(device)]?.reason}`);
    const outcome = {
      clean: unclean.every((device) => device.outlivesFront),
      reason: reasons.length === 0 ? undefined : reasons.join("; "),
    };
    await this.#server.sent(LAST_REPLIES_MS);
    this.#listeners.giveAway();
    // Not before: who restarts a front that dies in between has to do so.
    this.#service.leaves("another front takes over");
    this.#events.end();
    setImmediate(async () => {
      await this.#control?.leave();
      await this.#service.settled();
      this.#ended.resolve(outcome);
    });
    return outcome;
  }

  async #end(outcome: StopOutcome): Promise<void> {
    this.#listeners.retire("control");
    await this.#control?.close();
    await this.#service.settled();
    this.#service.close();
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
      case "mark":
        return this.mark(request.name, request.text);
      case "events":
        return this.events(request.follow ? signal : AbortSignal.abort());
      case "stop":
        return this.stop();
      case "offer":
        return this.#offer(request.socket);
      case "hand-over":
        return this.handOver(request.pid);
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
    return this.#ready ? this.#devices.filter(({ damage }) => damage === undefined) : [];
  }
}
