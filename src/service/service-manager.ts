import { closeSync } from "node:fs";
import { createSendingSocket, sendDatagram } from "../os/datagram.ts";
import { type Inherited, takeInherited } from "./inherited.ts";
import { isStoredName } from "./names.ts";
import {
  ANSWER,
  ANSWERS_VARIABLE,
  type Fields,
  formatNotification,
  isDescriptorName,
  LEAVES,
  STORED,
  TAKES_OVER,
} from "./notification.ts";
import { Outbox } from "./outbox.ts";
import { ask } from "./question.ts";

/** The longest that an offer waits for a process that doesn't read; this thread waits along. */
const OFFER_TIMEOUT_MS = 5000;
/** A manager waits twice that long for a ping, at least. */
const PINGS_PER_TIMEOUT = 2;
/** How long a manager may take to say whether it keeps a descriptor. */
const ANSWER_TIMEOUT_MS = 5000;
/** How long an end waits for a manager that doesn't read. */
const LAST_WORDS_MS = 1000;
const VARIABLES = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE", ANSWERS_VARIABLE];

/**
 * What started this process and starts it again if it dies: systemd, or a guard, or nobody. They are told how it is, and keep
 * descriptors for the next one. All of it is systemd's protocol: sd_notify(3), sd_listen_fds(3), "File Descriptor Store" of
 * systemd's documentation. A manager that can't be told is not worth dying for: a warning says so.
 */
export class ServiceManager {
  /** What the manager passed on and nobody has taken yet. Closed on exec. */
  readonly #inherited: Inherited[];
  readonly #isManaged: boolean;
  /** None where nobody listens. */
  readonly #outbox: Outbox | undefined;
  /** Whether it says what it keeps. Systemd doesn't. */
  readonly #answers: boolean;
  readonly #warn: (message: string) => void;
  readonly #pings: NodeJS.Timeout | undefined;
  /** What the next process is to have: with the manager, as far as it keeps any. */
  #stored: Inherited[] = [];
  /** By name: whether all that is called so is kept. */
  readonly #kept = new Map<string, Promise<boolean>>();
  #storeLimit: number;
  #warned = false;

  /**
   * As `environment` says, out of which everything is taken that is for this process alone; driver hosts and hooks would speak in
   * its name otherwise. Throws `bad-environment`.
   */
  constructor(environment: NodeJS.ProcessEnv, pid: number, warn: (message: string) => void) {
    const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID, FDSTORE } = environment;
    this.#warn = warn;
    this.#inherited = takeInherited(environment, pid);
    this.#isManaged = this.#inherited.length > 0 || NOTIFY_SOCKET !== undefined;
    // A socket of another kind (vsock:…) is for the managers of virtual machines.
    const socket = /^[@/]./.test(NOTIFY_SOCKET ?? "") ? bindable(NOTIFY_SOCKET as string) : undefined;
    this.#outbox =
      socket === undefined ? undefined : new Outbox(socket, (fields, error) => this.#failed(fields, error));
    this.#answers = environment[ANSWERS_VARIABLE] === "1";
    for (const key of VARIABLES) delete environment[key];
    // systemd before 254 doesn't say whether it keeps descriptors; one that doesn't ignores them.
    this.#storeLimit = socket === undefined ? 0 : Number(FDSTORE ?? Number.POSITIVE_INFINITY);
    const watchdogUs = WATCHDOG_PID === undefined || WATCHDOG_PID === String(pid) ? Number(WATCHDOG_USEC ?? 0) : 0;
    if (socket !== undefined && watchdogUs > 0) {
      const everyMs = watchdogUs / 1000 / PINGS_PER_TIMEOUT;
      this.#pings = setInterval(() => this.#ping(), everyMs).unref();
    }
  }

  /** Nobody: for a front inside another program. */
  static nobody(): ServiceManager {
    return new ServiceManager({}, 0, () => {});
  }

  /** Whether somebody started this process who may start another one after it. */
  get isManaged(): boolean {
    return this.#isManaged;
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
    this.#keep(name, fd);
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
    const fd = createSendingSocket(OFFER_TIMEOUT_MS);
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
    this.#outbox?.post({ READY: "1", STATUS: status });
  }

  /**
   * What another process of the service is about to hand over will be nowhere else: from here on this one is to be started again if
   * it dies, ready or not. Systemd, which does that anyway, ignores the word.
   */
  takesOver(): void {
    this.#outbox?.tell({ [TAKES_OVER]: "1" });
  }

  /** The service ends, on purpose. */
  stopping(status: string): void {
    this.#outbox?.post({ STOPPING: "1", STATUS: status });
  }

  /** The same, and what is stored is another process' affair: none is to be started for it. Systemd ignores that. */
  leaves(status: string): void {
    this.#outbox?.post({ STOPPING: "1", STATUS: status, [LEAVES]: "1" });
  }

  /**
   * Has the manager keep a copy of `fd` for the next process, which finds it under `name` (see `storedName`); beside others that
   * may have the name. It stays the caller's. False where that one could not be asked; for what comes of it see `keeps`.
   */
  store(name: string, fd: number): boolean {
    if (!isDescriptorName(name)) throw new TypeError(`no name for a descriptor: ${name}`);
    this.#stored.push({ name, fd });
    return this.#keep(name, fd);
  }

  /**
   * Resolves with whether what was stored, adopted or taken as `name` is kept. By a guard's own word; by systemd's as far as it gives one:
   * it has taken note of it, and it isn't more than $FDSTORE. A warning has said which isn't.
   */
  async keeps(name: string): Promise<boolean> {
    if (!this.canStore || !((await this.#kept.get(name)) ?? true)) return false;
    if (this.#answers) return true;
    return (await this.#ask((fd) => this.#outbox?.tell({ BARRIER: "1" }, [fd]))) !== undefined;
  }

  /** Has the manager close its copies of what was stored as `name`. */
  forget(name: string): void {
    this.#stored = this.#stored.filter((stored) => stored.name !== name);
    this.#kept.delete(name);
    if (this.canStore) this.#outbox?.post({ FDSTOREREMOVE: "1", FDNAME: name });
  }

  /** Resolves when all that was told has been heard, or after a second. */
  async settled(): Promise<void> {
    await this.#outbox?.settled(LAST_WORDS_MS);
  }

  /** Closes what nobody has taken; nothing is told from here on. */
  close(): void {
    clearInterval(this.#pings);
    for (const { fd } of this.#inherited.splice(0)) closeSync(fd);
    this.#outbox?.close();
    this.#storeLimit = 0;
  }

  /** From the event loop: one that stands still pings no more. A manager that doesn't read has pings enough in its queue. */
  #ping(): void {
    this.#outbox?.ping({ WATCHDOG: "1" });
  }

  #keep(name: string, fd: number): boolean {
    if (!this.canStore) return false;
    // Without being watched: a manager lets go of a socket or pipe otherwise when its peer hangs up.
    const fields = { FDSTORE: "1", FDNAME: name, FDPOLL: "0" };
    let told = true;
    const tell = (all: Fields, descriptors: readonly number[]): void => {
      told = this.#outbox?.tell(all, descriptors) ?? false;
    };
    let kept: Promise<boolean>;
    if (this.#answers) {
      const answer = this.#ask((pipe) => tell({ ...fields, [ANSWER]: "1" }, [fd, pipe]));
      kept = answer.then((text) => text === STORED);
    } else {
      tell(fields, [fd]);
      const stored = this.#stored.length + this.#inherited.filter((other) => isStoredName(other.name)).length;
      kept = Promise.resolve(told && stored <= this.#storeLimit);
    }
    this.#kept.set(name, this.#both(this.#kept.get(name), name, kept, told));
    return told;
  }

  async #both(
    others: Promise<boolean> | undefined,
    name: string,
    kept: Promise<boolean>,
    told: boolean,
  ): Promise<boolean> {
    const isKept = await kept;
    if (told && !isKept)
      this.#warn(`the service manager does not keep ${name} for the next front: it goes with this one`);
    return isKept && ((await others) ?? true);
  }

  #ask(send: (fd: number) => void): Promise<string | undefined> {
    return ask(send, ANSWER_TIMEOUT_MS);
  }

  #failed(fields: Fields, error: Error): void {
    // A manager that is gone won't be there for the next one either.
    if (!this.#warned) this.#warn(`could not tell the service manager ${Object.keys(fields)[0]}: ${error.message}`);
    this.#warned = true;
  }
}

/** As the kernel knows it: an abstract name begins with a zero byte, which is an @ in an environment. */
function bindable(socket: string): string {
  return socket.replace(/^@/, "\0");
}
