import { readFileSync, writeFileSync } from "node:fs";
import type { Peer } from "./peers.ts";
import type { Scene } from "./scene.ts";

/** Of each image. */
export const IMAGE_BYTES = 8 << 20;

/** A server that keeps acknowledged writes in a cache which dies with it, as NBD lets it, and its image. */
export interface Store {
  /** For tables. */
  readonly name: string;
  readonly peers: readonly Peer[];
  /** Of the server, as it says itself. */
  version(scene: Scene): Promise<string>;
  /** Makes an image of zeroes. Returns its path. */
  make(scene: Scene): Promise<string>;
  /** A line for the shell that serves the image in the foreground; {socket} stands for where it listens. */
  command(image: string): string;
  /** What the image holds, without a server. */
  contents(scene: Scene, image: string): Promise<Uint8Array>;
}

export const QCOW2: Store = {
  name: "qemu-nbd, qcow2, cache=writeback",
  peers: ["qemu-io", "qemu-nbd", "qemu-img"],
  async version(scene) {
    return firstLine(await scene.need("qemu-nbd", ["--version"]));
  },
  async make(scene) {
    const image = scene.path("disk.qcow2");
    await scene.need("qemu-img", ["create", "-q", "-f", "qcow2", image, `${IMAGE_BYTES}`]);
    return image;
  },
  command: (image) => `qemu-nbd --persistent --shared=4 -f qcow2 --cache=writeback -k {socket} ${image}`,
  async contents(scene, image) {
    const raw = scene.path("disk.raw");
    await scene.need("qemu-img", ["convert", "-f", "qcow2", "-O", "raw", image, raw]);
    return readFileSync(raw);
  },
};

export const CACHE_FILTER: Store = {
  name: "nbdkit, file, filter cache",
  peers: ["qemu-io", "nbdkit"],
  async version(scene) {
    return firstLine(await scene.need("nbdkit", ["--version"]));
  },
  async make(scene) {
    const image = scene.path("disk.img");
    writeFileSync(image, new Uint8Array(IMAGE_BYTES));
    return image;
  },
  command: (image) => `nbdkit -f -U {socket} --filter=cache file ${image} cache=writeback`,
  async contents(_scene, image) {
    return readFileSync(image);
  },
};

export const STORES: readonly Store[] = [QCOW2, CACHE_FILTER];

function firstLine(text: string): string {
  return text.split("\n", 1)[0] as string;
}
