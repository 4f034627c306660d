import { closeSync, existsSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { SkinkError } from "../block/errors.ts";
import type { NbdServer } from "../nbd/server/server.ts";
import { type Address, describeAddress } from "../nbd/uri.ts";
import { boundAddress, isListening } from "../os/socket-address.ts";
import type { Inherited } from "../service/inherited.ts";
import { isOfKind, isStoredName, storedName } from "../service/names.ts";
import type { ServiceManager } from "../service/service-manager.ts";
import type { Log } from "../shadow/ports.ts";
import type { ControlHandler } from "./control-connection.ts";
import { ControlServer } from "./control-server.ts";

const LOOPBACK = "127.0.0.1";
/** What a socket unit calls the control socket (FileDescriptorName=); all others are for clients. */
const CONTROL_NAME = "control";

type Kind = "nbd" | "control";

export interface ListenConfig {
  readonly socket?: string | undefined;
  /** 0 takes a free one. */
  readonly port?: number | undefined;
  /** The loopback interface if left out. */
  readonly host?: string | undefined;
}

/** A socket that listens already. */
interface Listening {
  readonly fd: number;
  readonly address: Address;
}

/** One that this front, or one before it, has made. */
interface Ours {
  readonly kind: Kind;
  /** Under which it is stored. */
  readonly name: string;
  readonly address: Address;
  /** There if the socket is in a fresh temporary folder. */
  readonly folder: string | undefined;
  /** A front before this one has made it. */
  readonly taken: boolean;
}

/**
 * Where a front is listened to. Three origins: sockets of systemd's socket units are served on as they are, and stay when the
 * front goes; those that a dead front has left with the service manager are taken over, with the clients that wait in them; all
 * others are made, and stored for the next front. At an orderly end the latter two go, with their files.
 */
export class Listeners {
  readonly #service: ServiceManager;
  readonly #log: Log;
  readonly #activated: Listening[] = [];
  #activatedControl: Listening | undefined;
  #ours: Ours[] = [];
  #left = false;

  /** Throws `bad-environment` if the service manager has passed on what can't be listened at. */
  constructor(service: ServiceManager, log: Log) {
    this.#service = service;
    this.#log = log;
    for (const inherited of [...service.inherited].filter(({ name }) => !isStoredName(name))) {
      service.take(inherited.name);
      const listening = listeningOf(inherited);
      if (inherited.name === CONTROL_NAME) this.#activatedControl = listening;
      else this.#activated.push(listening);
    }
  }

  /** At the control socket of a socket unit, else at `path`, else nowhere. Rejects with `address-in-use` or `cannot-listen`. */
  async serveControl(path: string | undefined, handler: ControlHandler): Promise<ControlServer | undefined> {
    const given = this.#activatedControl;
    if (given !== undefined) return await ControlServer.listen(pathOf(given.address), handler, given.fd);
    if (path === undefined) return undefined;
    const name = storedName("control", path);
    const left = this.#takeOver(name);
    const control = await ControlServer.listen(path, handler, left?.fd);
    this.#add({ kind: "control", name, address: { path }, folder: undefined, taken: left !== undefined }, control.fd);
    return control;
  }

  /**
   * At the sockets of socket units, else as `config` says: without a socket and a port, at a socket in a fresh temporary folder.
   * Resolves with the address to tell clients. Rejects with `address-in-use` or `cannot-listen`.
   */
  async serveClients(server: NbdServer, config: ListenConfig): Promise<Address> {
    const address =
      this.#activated.length > 0 ? await this.#serveActivated(server) : await this.#serveOurs(server, config);
    // Where an earlier front was listened to, and this one, having another configuration, isn't.
    for (const kind of ["nbd", "control"] as const) this.#drop(kind);
    return address;
  }

  /** Nobody comes any more by what is ours of that kind: it isn't stored any more, and its files are removed; `leave` excepted. */
  retire(kind: Kind): void {
    for (const { name, address, folder } of this.#ours.filter((ours) => ours.kind === kind)) {
      this.#service.forget(name);
      removeFiles(address, folder);
    }
    this.#ours = this.#ours.filter((ours) => ours.kind !== kind);
    if (!this.#left) this.#drop(kind);
  }

  /** What another front has made, and may still serve or be asked for again, is none of this one's: `retire` lets it be. */
  leave(): void {
    this.#left = true;
    this.#ours = this.#ours.filter(({ taken }) => !taken);
  }

  /** After `leave`: the other one has gone, so that nobody else would clean up. */
  own(): void {
    this.#left = false;
  }

  /** Another front goes on with all of it. */
  giveAway(): void {
    this.#left = true;
    this.#ours = [];
  }

  async #serveActivated(server: NbdServer): Promise<Address> {
    const addresses = this.#activated.map(({ address }) => address);
    for (const { fd, address } of this.#activated) await server.listen(address, fd);
    this.#log.info(`serves clients of the service manager's sockets: ${addresses.map(describeAddress).join(", ")}`);
    return addresses.find((address) => "path" in address) ?? (addresses[0] as Address);
  }

  async #serveOurs(server: NbdServer, { socket, port, host = LOOPBACK }: ListenConfig): Promise<Address> {
    let address: Address | undefined;
    if (port !== undefined) address = await this.#serveTcp(server, host, port);
    if (socket !== undefined || port === undefined) address = await this.#serveUnix(server, socket);
    return address as Address;
  }

  async #serveTcp(server: NbdServer, host: string, port: number): Promise<Address> {
    const name = storedName("nbd", `tcp ${host} ${port}`);
    const left = this.#takeOver(name);
    // As it was asked for: a name of a host stays one.
    const wanted = left !== undefined && "port" in left.address ? { host, port: left.address.port } : { host, port };
    const address = await server.listen(wanted, left?.fd);
    this.#add(
      { kind: "nbd", name, address, folder: undefined, taken: left !== undefined },
      server.descriptorAt(address),
    );
    return address;
  }

  /** `path` left out: in a fresh folder, or in that of the front before. */
  async #serveUnix(server: NbdServer, path: string | undefined): Promise<Address> {
    const name = storedName("nbd", path === undefined ? "unix" : `unix ${path}`);
    const left = this.#takeOver(name);
    const wanted = left?.address ?? { path: path ?? (await freshSocket()) };
    const address = await server.listen(wanted, left?.fd);
    const folder = path === undefined ? dirname(pathOf(address)) : undefined;
    this.#add({ kind: "nbd", name, address, folder, taken: left !== undefined }, server.descriptorAt(address));
    return address;
  }

  #add(ours: Ours, fd: number): void {
    this.#ours.push(ours);
    if (!ours.taken) this.#service.store(ours.name, fd);
  }

  /** What an earlier front has stored as `name`, if clients still find it. */
  #takeOver(name: string): Listening | undefined {
    const fd = this.#service.take(name);
    if (fd === undefined) return undefined;
    const listening = listeningOf({ name, fd });
    if (!("path" in listening.address) || existsSync(listening.address.path)) return listening;
    this.#service.forget(name);
    closeSync(fd);
    return undefined;
  }

  /** What an earlier front has stored and nobody has taken over. */
  #drop(kind: Kind): void {
    for (const { name } of this.#service.inherited.filter((other) => isOfKind(other.name, kind))) {
      const listening = this.#takeOver(name);
      if (listening === undefined) continue;
      this.#service.forget(name);
      const { fd, address } = listening;
      removeFiles(address, name === storedName("nbd", "unix") ? dirname(pathOf(address)) : undefined);
      closeSync(fd);
    }
  }
}

function listeningOf({ name, fd }: Inherited): Listening {
  const address = addressOf(fd);
  if (address !== undefined) return { fd, address };
  const wanted = "a unix or TCP socket that listens was wanted (a socket unit has Accept=no)";
  throw new SkinkError("bad-environment", `Cannot serve at descriptor ${fd} (${name}): it isn't one, ${wanted}`);
}

function addressOf(fd: number): Address | undefined {
  try {
    return isListening(fd) ? boundAddress(fd) : undefined;
  } catch {
    // No socket at all.
    return undefined;
  }
}

/** For messages and files; a control socket over TCP has none, but its descriptor serves. */
function pathOf(address: Address): string {
  return "path" in address ? address.path : describeAddress(address);
}

function removeFiles(address: Address, folder: string | undefined): void {
  if ("path" in address && !address.path.startsWith("\0")) rmSync(address.path, { force: true });
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
}

async function freshSocket(): Promise<string> {
  return join(await mkdtemp(join(tmpdir(), "skink-")), "nbd.sock");
}
