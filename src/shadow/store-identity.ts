import { strict as assert } from "node:assert";
import type { Geometry } from "../block/geometry.ts";
import type { KnownStore } from "./home.ts";
import type { DriverInfo, DriverRef } from "./ports.ts";

/** What a device is to its clients, and what its drivers have said of the store: whether one that comes has come with the same one. */
export class StoreIdentity {
  /** The driver whose store is the device's: a larger one makes it grow. Not a fallback, nor one on probation. */
  #owner: DriverRef | undefined;
  /** As clients were told. */
  #geometry: Geometry | undefined;
  /** What each driver said of itself when it first served the store. */
  readonly #known = new Map<DriverRef, DriverInfo>();
  /** The one that has come last, which may be another than the device was made of. */
  #driver: DriverRef | undefined;
  #info: DriverInfo | undefined;

  /** `before`: what another front knew. */
  constructor(before: KnownStore | undefined) {
    if (before === undefined) return;
    const { geometry, kind, identity } = before;
    this.#geometry = geometry;
    this.#known.set({ kind }, { geometry, identity, discards: false });
  }

  /** Whether any driver has come. */
  get isKnown(): boolean {
    return this.#geometry !== undefined;
  }

  /** As clients were told. */
  get geometry(): Geometry {
    assert(this.#geometry !== undefined, "the geometry is asked for before an incarnation has opened");
    return this.#geometry;
  }

  /** What the driver can; the device makes up for what it can't, and was told to clients. */
  get can(): Geometry {
    return this.#info?.geometry ?? this.geometry;
  }

  /** Whether the driver's store forgets on purpose. */
  get discards(): boolean {
    return this.#info?.discards === true;
  }

  /** A driver comes. Returns why its store is another one; then it has not come. */
  come(driver: DriverRef, info: DriverInfo): string | undefined {
    const known = this.#known.get(driver);
    const misfit = this.#geometry === undefined ? undefined : misfitOf(this.#geometry, info);
    const difference = misfit ?? (known === undefined ? this.#otherName(driver, info) : differenceOf(known, info));
    if (difference !== undefined) return difference;
    this.#geometry ??= info.geometry;
    this.#owner ??= driver;
    this.#driver = driver;
    this.#info = info;
    return undefined;
  }

  /** It has come with the same store. Not known before: what another store is called says nothing about this one. */
  proven(): void {
    const [driver, info] = [this.#driver, this.#info];
    if (driver !== undefined && info !== undefined && !this.#known.has(driver)) this.#known.set(driver, info);
  }

  /** It has come to stay. */
  adopt(): void {
    this.#owner = this.#driver;
  }

  /** A store that has grown makes a larger device. What a client was told of its size stays true. Returns the size before, if so. */
  grow(): number | undefined {
    const { geometry } = this;
    const size = this.#info?.geometry.size ?? 0;
    if (this.#driver !== this.#owner || size <= geometry.size) return undefined;
    this.#geometry = { ...geometry, size };
    return geometry.size;
  }

  /** For a front that comes after this one. */
  knowledge(epoch: number): KnownStore {
    return { geometry: this.geometry, epoch, kind: this.#driver?.kind ?? "", identity: this.#info?.identity };
  }

  /** Another version of a driver, which names the store by the same rules. */
  #otherName({ kind }: DriverRef, { identity }: DriverInfo): string | undefined {
    if (identity === undefined) return undefined;
    for (const [other, before] of this.#known) {
      if (other.kind !== kind || before.identity === undefined || before.identity === identity) continue;
      return `identity is ${identity}, ${before.identity} was wanted`;
    }
    return undefined;
  }
}

const FEATURES = ["readOnly", "fua", "trim", "zero", "extents"] as const;

/** What keeps an incarnation from serving the device; `undefined` if nothing does. It may have grown. */
function misfitOf(device: Geometry, { geometry }: DriverInfo): string | undefined {
  const { blockSize, size, readOnly } = geometry;
  if (blockSize !== device.blockSize) return `block size is ${blockSize}, ${device.blockSize} was wanted`;
  if (size < device.size) return `size is ${size}, at least ${device.size} was wanted`;
  if (readOnly && !device.readOnly) return "it is read-only, one that can be written to was wanted";
  return undefined;
}

/**
 * What keeps it from being the same store as `before`, by the same driver's word. Another driver may name the store otherwise,
 * and need not have the same features: the device makes up for them.
 */
function differenceOf(before: DriverInfo, now: DriverInfo): string | undefined {
  if (before.identity !== now.identity) {
    return `identity is ${now.identity ?? "missing"}, ${before.identity ?? "none"} was wanted`;
  }
  const was = before.geometry;
  const is = now.geometry;
  // What writers could use says nothing where there are none.
  const features = was.readOnly && is.readOnly ? (["extents"] as const) : FEATURES;
  for (const feature of features) {
    if (is[feature] !== was[feature]) return `feature ${feature} is ${is[feature]}, ${was[feature]} was wanted`;
  }
  return undefined;
}
