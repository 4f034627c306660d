import type { Scene } from "./scene.ts";

/** The homes that outlive a front. */
export type OutlivingHome = "shm" | "disk";

/** Of a log that is made for one test: little more than the least that there may be. */
const LOG_SIZE = "96M";

/** Arguments of `serve` for a front with such a home, and the guard that starts the next one. */
export function guarded(scene: Scene, home: OutlivingHome): string[] {
  return ["--guard", "--home", home === "disk" ? `disk:${scene.path("shadow.log")}?size=${LOG_SIZE}` : home];
}
