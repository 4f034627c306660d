import { resolve } from "node:path";
import type { Command } from "commander";
import { SkinkError } from "../block/errors.ts";
import { NbdClient } from "../nbd/client/client.ts";
import { MAX_CONNECTIONS } from "../nbd/server/server.ts";
import { parseUri, type Target } from "../nbd/uri.ts";
import { ask, type ControlOptions, withControl } from "./control.ts";
import { checkDeviceName, needAttachedDevice, needFreeDevice, needUnusedDevice } from "./kernel-nbd.ts";
import { type Attachment, attachArguments, detachArguments, runNbdClient } from "./nbd-client.ts";
import { wholeNumber } from "./numbers.ts";

interface AttachOptions extends ControlOptions {
  readonly connections: number;
  readonly tlsCertificates?: string;
}

export function addAttach(program: Command): void {
  const command = program
    .command("attach")
    .summary("attach a device to the kernel, as /dev/nbdN")
    .description(
      "Attaches a device to the kernel's nbd driver, by nbd-client and as root. It then is a disk like any other, and " +
        "restarts of its driver are delays. A restart of the front is not: docs/attach.md has more.",
    )
    .argument("<name>", "the device; or the URI of any NBD export")
    .argument("<device>", "a free one of the kernel's: /dev/nbd0")
    .option("--connections <number>", "how many connections the kernel makes", wholeNumber(1, MAX_CONNECTIONS), 1)
    .option(
      "--tls-certificates <folder>",
      "use TLS, with its ca-cert.pem, and client-cert.pem and client-key.pem if they are there",
    )
    .addHelpText("after", HELP);
  withControl(command).action(attach);
}

export function addDetach(program: Command): void {
  program
    .command("detach")
    .summary("take a device from the kernel again")
    .description("Takes /dev/nbdN from the kernel again, by nbd-client and as root. Unmount it first.")
    .argument("<device>", "for example, /dev/nbd0")
    .option("--force", "also while it is in use: whatever waits for it gets an I/O error")
    .action(detach);
}

const HELP = `
Example:
  skink attach disk /dev/nbd0
  mkfs.ext4 /dev/nbd0 && mount /dev/nbd0 /mnt
  umount /mnt && skink detach /dev/nbd0`;

async function attach(name: string, device: string, options: AttachOptions): Promise<void> {
  const act = `attach ${name} to ${device}`;
  checkDeviceName(act, device);
  const target = withCertificates(parseUri(await uriOf(act, name, options)), options.tlsCertificates);
  needFreeDevice(act, device);
  const attachment = { target, connections: options.connections, ...(await lookAt(target)) };
  runNbdClient(act, attachArguments(act, attachment, device));
  console.log(`attached ${name} ${device}`);
}

function detach(device: string, { force }: { readonly force?: true }): void {
  const act = `detach ${device}`;
  checkDeviceName(act, device);
  if (force) needAttachedDevice(act, device);
  else needUnusedDevice(act, device);
  runNbdClient(act, detachArguments(device));
}

async function uriOf(act: string, name: string, options: ControlOptions): Promise<string> {
  if (name.includes("://")) return name;
  const { devices } = await ask(options, { command: "status" });
  const found = devices.find((device) => device.name === name);
  if (found === undefined) {
    const names = devices.map((device) => device.name).join(", ");
    throw new SkinkError("unknown-device", `Cannot ${act}: there is no such device, one of ${names} was wanted`);
  }
  if (found.uri !== "") return found.uri;
  throw new SkinkError("wrong-state", `Cannot ${act}: it is ${found.state}, one that clients can reach was wanted`);
}

/** Whoever names certificates wants TLS, also where the server doesn't insist on it. */
function withCertificates(target: Target, folder: string | undefined): Target {
  const { tls } = target;
  const certificates = folder ?? tls?.certificates;
  if (certificates === undefined) return target;
  return { ...target, tls: { ...tls, certificates: resolve(certificates) } };
}

/** What the server says of the export to a client that goes again at once. */
async function lookAt(target: Target): Promise<Pick<Attachment, "minimumBlockSize" | "canMultiConn">> {
  const client = await NbdClient.connect(target);
  const { minimumBlockSize, canMultiConn } = client;
  await client.close();
  return { minimumBlockSize, canMultiConn };
}
