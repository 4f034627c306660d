import type { Progress } from "./campaign.ts";

const REDRAW_MS = 100;
const BAR_CELLS = 20;
const DEFAULT_COLUMNS = 80;

/** A line on a terminal that is written over and over again. */
export class ProgressLine {
  readonly #out: NodeJS.WriteStream;
  readonly #startedAt = performance.now();
  #drawnAt = Number.NEGATIVE_INFINITY;
  #isShown = false;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
  }

  show(progress: Progress): void {
    const now = performance.now();
    if (!this.#out.isTTY || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    this.#isShown = true;
    const text = progressText(progress, (now - this.#startedAt) / 1000);
    this.#out.write(`\r\x1b[K${text.slice(0, (this.#out.columns ?? DEFAULT_COLUMNS) - 1)}`);
  }

  clear(): void {
    if (this.#isShown) this.#out.write("\r\x1b[K");
    this.#isShown = false;
  }
}

/** "[######..............]  312 of 1000 states, 81.2 a second, 8 s left, 0 failed" */
export function progressText({ phase, checked, total, failures }: Progress, seconds: number): string {
  if (phase === "search" || total === undefined) return `looking for the smallest state that fails: ${checked} checked`;
  const share = total === 0 ? 1 : Math.min(1, checked / total);
  const filled = Math.round(share * BAR_CELLS);
  const bar = `[${"#".repeat(filled)}${".".repeat(BAR_CELLS - filled)}]`;
  const rate = checked / Math.max(seconds, 0.001);
  const left = checked === 0 ? "" : `, ${rate.toFixed(1)} a second, ${Math.ceil((total - checked) / rate)} s left`;
  return `${bar}  ${checked} of ${total} states${left}, ${failures} failed`;
}
