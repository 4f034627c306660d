import { basename, extname, resolve } from "node:path";
import { type Command, Option } from "commander";
import { SkinkError } from "../block/errors.ts";
import type { DeviceConfig, LinkKind } from "../front/device-config.ts";
import { Front, type FrontConfig } from "../front/front.ts";
import { parseHome } from "../front/home-spec.ts";
import { createLog, LOG_LEVELS, type LogLevel } from "../front/log.ts";
import { defaultControlPath, findControlPath } from "../front/runtime-folder.ts";
import { parseSpec } from "../front/spec.ts";
import { Takeover } from "../front/takeover.ts";
import { isAlive } from "../nbd/server/socket-file.ts";
import type { TlsSettings } from "../nbd/tls/server-tls.ts";
import { exitNow } from "../os/exit.ts";
import { GUARD_DEATH_SIGNAL, stopWithGuard } from "../service/guard-death.ts";
import { isStoredName } from "../service/names.ts";
import { ServiceManager } from "../service/service-manager.ts";
import type { StopOutcome } from "../supervisor/supervisor.ts";
import { wholeNumber } from "./numbers.ts";

const CONFIG_EXTENSIONS = [".yaml", ".yml"];
const MAX_PORT = 65535;
/** The end of the terminal is one of the front's, too. */
const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/** What every command that serves devices takes. */
export interface FrontOptions {
  readonly name?: string;
  readonly socket?: string;
  readonly port?: number;
  readonly control?: string;
  readonly link?: LinkKind;
  readonly readOnly?: true;
  readonly shared?: true;
  readonly standby?: true;
  readonly verify?: "digests";
  readonly fallback?: string;
  readonly home?: string;
  readonly tls?: "off" | TlsSettings["mode"];
  readonly tlsCertificates?: string;
  readonly tlsPsk?: string;
  readonly tlsVerifyPeer?: true;
  readonly logLevel: LogLevel;
  readonly logJson?: true;
}

interface ServeOptions extends FrontOptions {
  readonly takeOver?: true;
  readonly shadow: boolean;
}

export function addServe(program: Command): void {
  const command = program
    .command("serve")
    .summary("serve a device, or those of a configuration file")
    .description("Serves devices over NBD until SIGTERM, SIGINT or skink stop. Prints a line for each: ready NAME URI.")
    .argument("<spec>", "a device spec, or a configuration file (.yaml)");
  withFrontOptions(command)
    // bin/skink.js takes it: the guard is another program, which starts this one.
    .option("--guard", "start the front again when it dies; clients wait meanwhile")
    .option("--take-over", "take over from the front that serves this now: the one at --control, or the only one")
    // For measuring what the shadow costs, and showing what its absence does: nobody who has data wants it off.
    .addOption(new Option("--no-shadow", "forget acknowledged writes that are not flushed").hideHelp())
    .addHelpText("after", HELP)
    .action(serve);
}

/** The options of {@link FrontOptions}. */
export function withFrontOptions(command: Command): Command {
  return command
    .option("--name <name>", "what clients call the device (default: the driver's name)")
    .option("--socket <path>", "a unix socket for clients (default: one in a fresh temporary folder)")
    .option("--port <number>", "a TCP port for clients on this machine; 0 takes a free one", wholeNumber(0, MAX_PORT))
    .option("--control <path>", "the control socket (default: one that the other commands find)")
    .addOption(
      new Option("--link <kind>", "where the driver runs: a process of its own, or this one, unprotected").choices([
        "process",
        "inline",
      ]),
    )
    .option("--read-only", "let no client write")
    .option("--shared", "lock the store against no other front: each has its own, or the driver sees to it")
    .option("--standby", "keep a spare driver host ready: shorter recoveries for one more process")
    .addOption(
      new Option("--verify <how>", "check what the driver returns by digests of its blocks").choices(["digests"]),
    )
    .option("--fallback <spec>", "another driver for the same store, for when restarts don't help")
    .option("--home <home>", "where the shadow lives: memory, shm, or disk:PATH?size=256M (default: memory)")
    .addOption(
      new Option("--tls <mode>", "encrypt for no client, for those that ask, or for all (default: off)").choices([
        "off",
        "on",
        "required",
      ]),
    )
    .option("--tls-certificates <dir>", "ca-cert.pem, server-cert.pem and server-key.pem; means --tls required")
    .option("--tls-psk <file>", "pre-shared keys, USER:HEXKEY a line; means --tls required")
    .option("--tls-verify-peer", "clients need a certificate signed by that CA, or a pre-shared key")
    .addOption(new Option("--log-level <level>", "how much to log").choices(LOG_LEVELS).default("info"))
    .option("--log-json", "log JSON, as it does where stderr is no terminal");
}

const HELP = `
Specs:
  memory:256M                         in memory; survives its driver, and with --guard the front
  null:1G                             no storage at all
  file:disk.img?size=10G              a file, or a raw block device
  ./my-driver.ts?key=value            a driver of your own
  exec:nbdkit -f -U {socket} file disk.img   any NBD server, started and restarted by Skink
  nbd+unix:///disk?socket=PATH, nbd://HOST/  one that somebody else runs: docs/servers.md
  skink.yaml                          several devices, with limits, policies, hooks and health checks

Examples:
  skink serve memory:256M --name disk --socket /tmp/disk.sock
  nbdinfo 'nbd+unix:///disk?socket=/tmp/disk.sock'

  skink serve './my-driver.ts?path=disk.img' --standby --verify digests --fallback file:disk.img

  skink serve --guard --home shm file:disk.img          survives SIGKILL of the front, too: docs/homes.md
  skink serve --guard --home disk:/var/lib/disk.log exec:'…'    and power cuts; 69M to twice writeBytes
  skink serve --guard --take-over --home shm file:disk.img    a new version of the front, while it serves

  psktool -u alice -p keys.psk        encrypted, by a key that both sides know; certificates: docs/tls.md
  skink serve memory:256M --name disk --port 10809 --tls-psk keys.psk
  nbdinfo 'nbds://alice@localhost/disk?tls-psk-file=keys.psk'`;

async function serve(text: string, options: ServeOptions): Promise<void> {
  const guard = stopWithGuard(process.env);
  const config = await configOf(text, options, guard);
  const log = logOf(options);
  const service = new ServiceManager(process.env, process.pid, log.warn);
  const takeover = await takeoverFor(options, config, service);
  const outcome = await runFront(new Front(config, log, service), takeover);
  log.flush();
  exit(outcome);
}

export function logOf({ logLevel, logJson }: FrontOptions): ReturnType<typeof createLog> {
  return createLog({ level: logLevel, json: logJson ?? !process.stderr.isTTY });
}

/** Starts it, says on stdout what is ready, and resolves with its end: by a signal, as a rule. Rejects with why it could not start. */
export async function runFront(front: Front, takeover?: Takeover): Promise<StopOutcome> {
  stopOnSignals(front);
  await front.start(takeover);
  const served = front.status().devices.filter(({ state }) => state !== "failed" && state !== "starting");
  for (const { name, uri } of served) console.log(`ready ${name} ${uri}`);
  return await front.ended;
}

/** A front that finds what one before it has left needs none that is alive: its guard has started it again. */
async function takeoverFor(
  { takeOver }: ServeOptions,
  { control }: FrontConfig,
  service: ServiceManager,
): Promise<Takeover | undefined> {
  if (takeOver === undefined || service.inherited.some(({ name }) => isStoredName(name))) return undefined;
  const known = control !== undefined && (await isAlive(control)) ? control : undefined;
  return await Takeover.begin(known ?? (await findControlPath()), service);
}

/** `guard`: the process that starts this one again. */
export async function configOf(
  text: string,
  options: FrontOptions & { readonly shadow?: boolean },
  guard?: number,
): Promise<FrontConfig> {
  const { socket, port } = options;
  const fromFile = CONFIG_EXTENSIONS.includes(extname(text));
  const {
    devices,
    listen = {},
    tls,
    control,
  } = fromFile ? await configOfFile(text, options) : { devices: [deviceOf(text, options)] };
  const chosen = socket === undefined && port === undefined ? listen : { socket: absolute(socket), port };
  return {
    devices,
    listen: chosen,
    tls: options.tls === "off" ? undefined : (tlsOf(options, options.tls) ?? tls),
    control: absolute(options.control) ?? control ?? defaultControlPath(guard ?? process.pid),
  };
}

/** `undefined` where nothing was said of TLS. */
function tlsOf(
  { tlsCertificates, tlsPsk, tlsVerifyPeer }: FrontOptions,
  mode: TlsSettings["mode"] | undefined,
): TlsSettings | undefined {
  const said = [mode, tlsCertificates, tlsPsk, tlsVerifyPeer].some((option) => option !== undefined);
  if (!said) return undefined;
  // Who has certificates or keys ready doesn't expect that anybody can do without.
  return {
    mode: mode ?? "required",
    certificates: absolute(tlsCertificates),
    psk: absolute(tlsPsk),
    verifyPeer: tlsVerifyPeer,
  };
}

async function configOfFile(path: string, options: FrontOptions): Promise<FrontConfig> {
  const { name, link, readOnly, shared, standby, verify, fallback, home } = options;
  const ofDevices = {
    "--name": name,
    "--link": link,
    "--read-only": readOnly,
    "--shared": shared,
    "--standby": standby,
    "--verify": verify,
    "--fallback": fallback,
    "--home": home,
  };
  const beside = Object.entries(ofDevices).find(([, value]) => value !== undefined);
  if (beside === undefined) {
    // YAML and its schema are a good part of what a front has to load; without a file it needs neither.
    const { readConfig } = await import("../front/config.ts");
    return readConfig(path);
  }
  const wanted = "this to be said of each device in the file was wanted";
  throw new SkinkError("bad-usage", `Cannot serve ${path}: there is ${beside[0]} beside it, ${wanted}`);
}

function deviceOf(text: string, options: FrontOptions & { readonly shadow?: boolean }): DeviceConfig {
  const { name, link, readOnly, shared, standby, verify, fallback, home, shadow } = options;
  const spec = parseSpec(text);
  return {
    name: name ?? defaultName(spec.kind),
    spec,
    ...(shadow === undefined ? {} : { retains: shadow }),
    ...(link === undefined ? {} : { link }),
    ...(readOnly === undefined ? {} : { readOnly }),
    ...(shared === undefined ? {} : { shared }),
    ...(standby === undefined ? {} : { standby }),
    ...(verify === undefined ? {} : { verify }),
    ...(fallback === undefined ? {} : { fallback: parseSpec(fallback) }),
    ...(home === undefined ? {} : { home: parseHome(home) }),
  };
}

function absolute(path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(path);
}

/** "memory" for the built-in driver, "my-driver" for my-driver.ts, "nbdkit" for exec:nbdkit. */
function defaultName(kind: string): string {
  const plain = kind.replace(/^exec:/, "");
  return basename(plain, extname(plain));
}

/** The first signal asks for an orderly end, the second for an immediate one; the death of the guard asks for an orderly one, however often. */
function stopOnSignals(front: Front): void {
  let asked = false;
  const stop = (): void => {
    if (asked) {
      front.abandon();
      process.stderr.write("Cannot stop cleanly: told to stop at once; what was not flushed is lost\n");
      exitNow(1);
    }
    asked = true;
    front.stop();
  };
  for (const signal of STOP_SIGNALS) process.on(signal, stop);
  process.on(GUARD_DEATH_SIGNAL, () => front.stop());
}

/**
 * A driver that can't be reaped would keep this process alive, so it doesn't wait for its handles; nor for Node's own
 * helper threads, which have been seen to keep an exit for ever.
 */
export function exit({ clean, reason }: StopOutcome): void {
  if (!clean) process.stderr.write(`Cannot stop cleanly: ${reason}\n`);
  exitNow(clean ? 0 : 1);
}
