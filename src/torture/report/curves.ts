import type { Distribution } from "./distribution.ts";
import { inlinePicture, text } from "./svg.ts";

/*
 *  100 % ┤               ╭───── process (n)
 *        │        ╭──────╯╭──── wire
 *   50 % ┤     ╭──╯ ╭─────╯
 *    0 % ┼──┬──┴────┴──┬──────
 *        1 ms        10 ms       logarithmic
 */
const WIDTH = 400;
const HEIGHT = 240;
const LEFT = 44;
const RIGHT = 10;
const TOP = 8;
const BOTTOM = 26;
const Y_STEPS = [0, 0.25, 0.5, 0.75, 1];
/** Shorter times are drawn as this: there is no zero on such a scale. */
const LEAST_MS = 0.1;
/** Of each curve at most: more would not be seen. */
const MAX_POINTS = 200;
const DASHES = ["", "6 3", "2 3", "8 3 2 3"];

export interface Curve {
  readonly name: string;
  /** In milliseconds. */
  readonly values: Distribution;
}

/** Which share of the times is no longer than so long: a step for each time that was seen. Empty where there are none. */
export function drawCurves(title: string, curves: readonly Curve[]): string {
  const drawn = curves.filter(({ values }) => values.count > 0);
  if (drawn.length === 0) return "";
  const decade = (ms: number): number => Math.log10(Math.max(LEAST_MS, ms));
  const first = Math.floor(Math.min(...drawn.map(({ values }) => decade(values.sorted[0] ?? 0))));
  const last = Math.max(first + 1, Math.ceil(Math.max(...drawn.map(({ values }) => decade(values.max)))));
  const x = (ms: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * (decade(ms) - first)) / (last - first);
  const y = (share: number): number => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share;

  const shares = Y_STEPS.flatMap((share) => [
    line(LEFT, y(share), WIDTH - RIGHT, y(share)),
    text(LEFT - 6, y(share) + 4, `${share * 100} %`, 'class="dim" text-anchor="end"'),
  ]);
  const decades = Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index)).flatMap((ms) => [
    line(x(ms), TOP, x(ms), HEIGHT - BOTTOM),
    text(x(ms), HEIGHT - 8, timeText(ms), `class="dim" text-anchor="${x(ms) > WIDTH - 30 ? "end" : "middle"}"`),
  ]);
  return inlinePicture(title, WIDTH, HEIGHT, [
    ...shares,
    ...decades,
    ...drawn.map((curve) => draw(curve, x, y, curves)),
  ]);
}

/** A legend's entry for the curve of that number. */
export function drawKey(index: number): string {
  return `<svg class="key" viewBox="0 0 24 8" aria-hidden="true"><path class="${colorOf(index)}" ${dash(index)} d="M0 4H24"/></svg>`;
}

function draw(
  { values, name }: Curve,
  x: (ms: number) => number,
  y: (share: number) => number,
  all: readonly Curve[],
): string {
  const index = all.findIndex((curve) => curve.name === name);
  const { sorted, count } = values;
  const points = Math.min(count, MAX_POINTS);
  let path = `M${x(sorted[0] ?? 0).toFixed(1)} ${y(0).toFixed(1)}`;
  for (let point = 1; point <= points; point++) {
    const rank = Math.ceil((point * count) / points);
    path += `H${x(sorted[rank - 1] ?? 0).toFixed(1)}V${y(rank / count).toFixed(1)}`;
  }
  return `<path class="${colorOf(index)}" ${dash(index)} d="${path}"/>`;
}

function line(x1: number, y1: number, x2: number, y2: number): string {
  return `<path class="grid" d="M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}"/>`;
}

function colorOf(index: number): string {
  return `curve c-${index % DASHES.length}`;
}

/** Told apart without colours, too. */
function dash(index: number): string {
  const pattern = DASHES[index % DASHES.length] as string;
  return pattern === "" ? "" : `stroke-dasharray="${pattern}"`;
}

function timeText(ms: number): string {
  return ms >= 1000 ? `${ms / 1000} s` : ms >= 1 ? `${ms} ms` : `${(ms * 1000).toFixed(0)} µs`;
}
