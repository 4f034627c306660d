import type { Geometry } from "../block/geometry.ts";
import type { BlockDevice, Link } from "../shadow/ports.ts";

/** Stands in both streams of a device, that of its clients and that of its drivers: see record/. */
export interface Tap {
  /** Takes the place of `device` towards its clients. Called once, when it has first opened. */
  clients(device: BlockDevice): BlockDevice;
  /** Takes the place of the way to a new incarnation. `writes`: the memory where a link finds the data of writes. */
  opened(link: Link, geometry: Geometry, writes: Uint8Array): Link;
  /** What an incarnation answered, before anybody has checked it: see {@link IncarnationEvents.completed}. */
  completed(epoch: number, tag: number, errno: number, count: number): void;
  /** Resolves when the text is recorded, behind everything that was answered before. */
  mark(text: string): Promise<void>;
}
