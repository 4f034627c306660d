import { closeSync } from "node:fs";
import { createSendingSocket, sendDatagram } from "../os/datagram.ts";
import { type Inherited, takeInherited } from "./inherited.ts";
import { isStoredName } from "./names.ts";
import { type Fields, formatNotification, isDescriptorName } from "./notification.ts";

/** The longest that a notification waits for a manager that doesn't read; this thread waits along. */
const SEND_TIMEOUT_MS = 5000;
/** A manager waits twice that long for a ping, at least. */
const PINGS_PER_TIMEOUT = 2;
const VARIABLES = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE"];

/**
 * What started this process and starts it again if it dies: systemd, or a guard, or nobody. They are told how it is, and keep
 * descriptors for the next one. All of it is systemd's protocol: sd_notify(3), sd_listen_fds(3), "File Descriptor Store" of
 * systemd's documentation. A manager that can't be told is not worth dying for: a warning says so.
 */
export class ServiceManager {
  /** What the manager passed on and nobody has taken yet. Closed on exec. */
  readonly #inherited: Inherited[];
  /** Where it is told: a path, an abstract name with its zero byte; undefined where nobody listens. */
  readonly #socket: string | undefined;
  readonly #warn: (message: string) => void;
  readonly #pings: NodeJS.Timeout | undefined;
  /** What the next process is to have: with the manager, as far as it keeps any. */
  #stored: Inherited[] = [];
  #storeLimit: number;
  #warned = false;
  #fd: number | undefined;

  /**
   * As `environment` says, out of which everything is taken that is for this process alone; driver hosts and hooks would speak in
   * its name otherwise. Throws `bad-environment`.
   */
  constructor(environment: NodeJS.ProcessEnv, pid: number, warn: (message: string) => void) {
    const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID, FDSTORE } = environment;
    for (const key of VARIABLES) delete environment[key];
    this.#warn = warn;
    this.#inherited = takeInherited(environment, pid);
    // A socket of another kind (vsock:…) is for the managers of virtual machines.
    this.#socket = /^[@/]./.test(NOTIFY_SOCKET ?? "") ? bindable(NOTIFY_SOCKET as string) : undefined;
    // systemd before 254 doesn't say whether it keeps descriptors; one that doesn't ignores them.
    this.#storeLimit = this.#socket === undefined ? 0 : Number(FDSTORE ?? Number.POSITIVE_INFINITY);
    const watchdogUs = WATCHDOG_PID === undefined || WATCHDOG_PID === String(pid) ? Number(WATCHDOG_USEC ?? 0) : 0;
    if (this.#socket !== undefined && watchdogUs > 0) {
      const everyMs = watchdogUs / 1000 / PINGS_PER_TIMEOUT;
      this.#pings = setInterval(() => this.#ping(), everyMs).unref();
    }
  }

  /** Nobody: for a front inside another program. */
  static nobody(): ServiceManager {
    return new ServiceManager({}, 0, () => {});
  }

  /** Whether descriptors that are stored will be there for the next process, as far as can be known. */
  get canStore(): boolean {
    return this.#storeLimit > 0;
  }

  /** What the manager passed on and nobody has taken yet. */
  get inherited(): readonly Inherited[] {
    return this.#inherited;
  }

  /** Hands over the descriptor called `name`, the first one of them; the caller's to close. */
  take(name: string): number | undefined {
    const index = this.#inherited.findIndex((other) => other.name === name);
    const [taken] = index === -1 ? [] : this.#inherited.splice(index, 1);
    if (taken !== undefined && isStoredName(name)) this.#stored.push(taken);
    return taken?.fd;
  }

  /** Takes what another process hands over, as if the manager had passed it on; it is stored at once. */
  adopt(descriptor: Inherited): void {
    this.#inherited.push(descriptor);
    const { name, fd } = descriptor;
    if (this.canStore) this.#notify({ FDSTORE: "1", FDNAME: name, FDPOLL: "0" }, [fd]);
  }

  /** All that are called so; see `take`. */
  takeAll(name: string): number[] {
    const taken: number[] = [];
    for (let fd = this.take(name); fd !== undefined; fd = this.take(name)) taken.push(fd);
    return taken;
  }

  /**
   * Offers what is stored to another process of this service, which listens at `socket` as a manager does. Returns how many there are.
   * Throws where it can't be told.
   */
  offerTo(socket: string): number {
    const fd = createSendingSocket(SEND_TIMEOUT_MS);
    try {
      for (const stored of this.#stored) {
        const notification = formatNotification({ FDSTORE: "1", FDNAME: stored.name });
        sendDatagram(fd, bindable(socket), notification, [stored.fd], true);
      }
      return this.#stored.length;
    } finally {
      closeSync(fd);
    }
  }

  /** The service is there for its clients. `status`: for people, one line. */
  ready(status: string): void {
    this.#notify({ READY: "1", STATUS: status });
  }

  /** The service ends, on purpose. */
  stopping(status: string): void {
    this.#notify({ STOPPING: "1", STATUS: status });
  }

  /**
   * Has the manager keep a copy of `fd` for the next process, which finds it under `name` (see `storedName`); beside others that
   * may have the name. It stays the caller's. False where it could not be stored.
   */
  store(name: string, fd: number): boolean {
    if (!isDescriptorName(name)) throw new TypeError(`no name for a descriptor: ${name}`);
    this.#stored.push({ name, fd });
    if (!this.canStore) return false;
    // Without being watched: a manager lets go of a socket or pipe otherwise when its peer hangs up.
    return this.#notify({ FDSTORE: "1", FDNAME: name, FDPOLL: "0" }, [fd]);
  }

  /** Has the manager close its copies of what was stored as `name`. */
  forget(name: string): void {
    this.#stored = this.#stored.filter((stored) => stored.name !== name);
    if (this.canStore) this.#notify({ FDSTOREREMOVE: "1", FDNAME: name });
  }

  /** Closes what nobody has taken; nothing is told from here on. */
  close(): void {
    clearInterval(this.#pings);
    for (const { fd } of this.#inherited.splice(0)) closeSync(fd);
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    this.#storeLimit = 0;
  }

  /** From the event loop: one that stands still pings no more. A manager that doesn't read has pings enough in its queue. */
  #ping(): void {
    this.#send({ WATCHDOG: "1" }, [], false);
  }

  #notify(fields: Fields, descriptors: readonly number[] = []): boolean {
    const error = this.#send(fields, descriptors, true);
    if (error === undefined) return true;
    // A manager that is gone won't be there for the next one either.
    if (!this.#warned) this.#warn(`could not tell the service manager ${Object.keys(fields)[0]}: ${error.message}`);
    this.#warned = true;
    return false;
  }

  #send(fields: Fields, descriptors: readonly number[], wait: boolean): Error | undefined {
    if (this.#socket === undefined) return undefined;
    try {
      this.#fd ??= createSendingSocket(SEND_TIMEOUT_MS);
      sendDatagram(this.#fd, this.#socket, formatNotification(fields), descriptors, wait);
      return undefined;
    } catch (error) {
      return error as Error;
    }
  }
}

/** As the kernel knows it: an abstract name begins with a zero byte, which is an @ in an environment. */
function bindable(socket: string): string {
  return socket.replace(/^@/, "\0");
}
