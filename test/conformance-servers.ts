import { once } from "node:events";
import { truncateSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { type DeviceSpec, specOf } from "../src/front/spec.ts";
import type { Recovery } from "../src/torture/plan.ts";
import type { Peer } from "./peers.ts";
import { EXAMPLES, type Scene } from "./scene.ts";

/** Of each store: so large that an image format goes on allocating. */
export const DISK_BYTES = 256 << 20;

/** A server that is killed, in a set-up that its makers would call right. */
export interface Subject {
  /** For tables. */
  readonly name: string;
  readonly peers: readonly Peer[];
  /** Who reconnects where it stands alone; `undefined` for a driver module, which needs a front. */
  readonly recovery: Recovery | undefined;
  /** A command that tells the version, in its first line. */
  readonly version: readonly string[];
  /** Whether its store outlives its process. What doesn't has promised nothing, and Skink can only say that it is gone. */
  readonly outlives: boolean;
  /** Makes a store of zeroes, and returns what serves it. */
  make(scene: Scene): Promise<DeviceSpec>;
}

export const SUBJECTS: readonly Subject[] = [
  {
    name: "nbdkit file, filter cache=writeback",
    peers: ["nbdkit"],
    recovery: "nbdkit-retry",
    version: ["nbdkit", "--version"],
    outlives: true,
    make: async (scene) => server(scene, `nbdkit -f -U {socket} --filter=cache file ${disk(scene)} cache=writeback`),
  },
  {
    name: "nbdkit file",
    peers: ["nbdkit"],
    recovery: "nbdkit-retry",
    version: ["nbdkit", "--version"],
    outlives: true,
    make: async (scene) => server(scene, `nbdkit -f -U {socket} file ${disk(scene)}`),
  },
  {
    name: "nbdkit memory",
    peers: ["nbdkit"],
    recovery: "nbdkit-retry",
    version: ["nbdkit", "--version"],
    outlives: false,
    make: async (scene) => server(scene, `nbdkit -f -U {socket} memory ${DISK_BYTES}`),
  },
  {
    name: "qemu-nbd qcow2, cache=writeback",
    peers: ["qemu-nbd", "qemu-img"],
    recovery: "qemu-reconnect",
    version: ["qemu-nbd", "--version"],
    outlives: true,
    async make(scene) {
      const image = scene.path("disk.qcow2");
      await scene.need("qemu-img", ["create", "-q", "-f", "qcow2", image, `${DISK_BYTES}`]);
      return server(scene, qemuNbd("qcow2", image));
    },
  },
  {
    name: "qemu-nbd raw, cache=writeback",
    peers: ["qemu-nbd"],
    recovery: "qemu-reconnect",
    version: ["qemu-nbd", "--version"],
    outlives: true,
    make: async (scene) => server(scene, qemuNbd("raw", disk(scene))),
  },
  {
    name: "nbd-server, flush and fua",
    peers: ["nbd-server"],
    recovery: "client",
    version: ["nbd-server", "-V"],
    outlives: true,
    async make(scene) {
      const config = scene.path("nbd-server.conf");
      // It listens by TCP, too, whatever it is told.
      const listening = `unixsock = %s\\nlistenaddr = 127.0.0.1\\nport = ${await freePort()}\\n`;
      const exported = `[disk]\\nexportname = ${disk(scene)}\\nflush = true\\nfua = true\\n`;
      // In the foreground it serves one connection alone; as a daemon it ends with the namespace that it was started in.
      const daemon = `nbd-server -C ${config} && exec sleep infinity`;
      const inNamespace = `exec unshare --pid --fork --kill-child sh -c '${daemon}'`;
      const command = `printf '[generic]\\n${listening}${exported}' {socket} > ${config}; ${inNamespace}`;
      return server(scene, command, "disk");
    },
  },
  {
    name: "Skink's volatile driver",
    peers: [],
    recovery: undefined,
    version: [],
    outlives: true,
    async make(scene) {
      const options = { size: `${DISK_BYTES}`, path: scene.path("disk.img") };
      return specOf(`${EXAMPLES}/volatile.ts`, options, scene.folder);
    },
  },
];

/** Of this machine alone. Somebody else may take it before it is used. */
async function freePort(): Promise<number> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return port;
}

function server(scene: Scene, command: string, name = ""): DeviceSpec {
  return specOf("exec", { command, export: name }, scene.folder);
}

function qemuNbd(format: string, image: string): string {
  return `qemu-nbd --persistent --shared=4 -f ${format} --cache=writeback -k {socket} ${image}`;
}

function disk(scene: Scene): string {
  const path = scene.path("disk.img");
  writeFileSync(path, "");
  truncateSync(path, DISK_BYTES);
  return path;
}
