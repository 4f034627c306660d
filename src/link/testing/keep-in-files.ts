import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Driver, DriverContext, OpenedDevice } from "../../block/driver.ts";

/** Methods after which the store may be another. */
const CHANGING = ["write", "trim", "zero", "close"] as const;

/**
 * The driver, with files of `folder` for its kept memory: the memory of a server goes with its process. What a call has
 * changed is in them before it settles.
 */
export function keepInFiles<Options>(driver: Driver<Options>, folder: string): Driver<Options> {
  return {
    ...driver,
    async open(options, context) {
      const regions = new Map<string, Uint8Array>();
      const keep = (name: string, bytes: number): Uint8Array => {
        const file = join(folder, `${name}.kept`);
        const region = existsSync(file) ? new Uint8Array(readFileSync(file)) : new Uint8Array(bytes);
        regions.set(file, region);
        return region;
      };
      const save = (): void => {
        for (const [file, region] of regions) writeFileSync(file, region);
      };
      return saving(await driver.open(options, { ...context, keep } satisfies DriverContext), save);
    },
  };
}

function saving(device: OpenedDevice, save: () => void): OpenedDevice {
  const changing = CHANGING.flatMap((name) => {
    const method = device[name] as ((...args: unknown[]) => unknown) | undefined;
    if (method === undefined) return [];
    const saved = async (...args: unknown[]): Promise<void> => {
      try {
        await method.apply(device, args);
      } finally {
        save();
      }
    };
    return [[name, saved]];
  });
  return { ...device, ...Object.fromEntries(changing) };
}
