import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DISK_PLACE, FOLDER_PLACE } from "../src/torture/place.ts";

/** Of the file of zeroes that a device may have its store in. */
export const DISK_MIB = 8;

/** Whether a spec names something that is made for each device. */
export function hasPlace(spec: string): boolean {
  return spec.includes(FOLDER_PLACE) || spec.includes(DISK_PLACE);
}

/** The spec with what it names made below `folder`, which is, too. */
export function fillPlaces(spec: string, folder: string): string {
  if (!hasPlace(spec)) return spec;
  mkdirSync(folder);
  const disk = join(folder, "disk");
  if (spec.includes(DISK_PLACE)) {
    writeFileSync(disk, "");
    truncateSync(disk, DISK_MIB << 20);
  }
  return spec.replaceAll(FOLDER_PLACE, () => folder).replaceAll(DISK_PLACE, () => disk);
}
