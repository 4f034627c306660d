import { picture, text } from "./svg.ts";

/*
 *  Throughput under kills …
 *  100 % ┤ ●━━━━●━━━━●━━━┿●━━━┿●
 *        │               ┆    ┆  ╲       a goal: a tick at the least share that is wanted there
 *   50 % ┤               ┆    ┿    ●
 *    0 % ┼───┬────┬────┬───┬────┬──┬─
 *       10 s   5 s   2 s  1 s  500 ms …  time between two kills, to the right ever shorter: logarithmic
 */
const WIDTH = 760;
const HEIGHT = 420;
const LEFT = 64;
const RIGHT = 130;
const TOP = 64;
const BOTTOM = 56;
const Y_STEPS = [0, 0.25, 0.5, 0.75, 1];
const GOAL_HALF_WIDTH = 16;
const COLORS = ["#1b62a5", "#c06a1b"];
const GOAL_COLOR = "#2a7d3f";
/** Two names at the ends of their curves keep so many pixels between them. */
const NAME_DISTANCE = 16;

/** The share of the undisturbed throughput that is left with a kill each `intervalMs`. */
export interface CurvePoint {
  readonly intervalMs: number;
  readonly share: number;
}

export interface Curve {
  readonly name: string;
  /** From the longest interval to the shortest. */
  readonly points: readonly CurvePoint[];
}

/** Curves over the time between kills, as SVG. `goals`: the least shares that are wanted. */
export function drawKillCurves(curves: readonly Curve[], goals: readonly CurvePoint[]): string {
  const intervals = [...new Set(curves.flatMap(({ points }) => points.map((point) => point.intervalMs)))];
  const [longest, shortest] = [Math.max(...intervals), Math.min(...intervals)];
  const scale = Math.max(1, ...curves.flatMap(({ points }) => points.map((point) => point.share)));
  const x = (intervalMs: number): number =>
    LEFT + ((WIDTH - LEFT - RIGHT) * Math.log(longest / intervalMs)) / (Math.log(longest / shortest) || 1);
  const y = (share: number): number => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * share) / scale;

  const grid = Y_STEPS.flatMap((share) => [
    `<line x1="${LEFT}" y1="${y(share).toFixed(1)}" x2="${WIDTH - RIGHT}" y2="${y(share).toFixed(1)}" stroke="#ddd"/>`,
    text(LEFT - 8, y(share) + 4, `${share * 100} %`, 'text-anchor="end"'),
  ]);
  const axis = intervals.map((intervalMs) =>
    text(x(intervalMs), HEIGHT - BOTTOM + 20, intervalText(intervalMs), 'text-anchor="middle"'),
  );
  const goalMarks = goals.flatMap(({ intervalMs, share }) => [
    `<line class="goal" x1="${(x(intervalMs) - GOAL_HALF_WIDTH).toFixed(1)}" y1="${y(share).toFixed(1)}" x2="${(x(intervalMs) + GOAL_HALF_WIDTH).toFixed(1)}" y2="${y(share).toFixed(1)}" stroke="${GOAL_COLOR}" stroke-width="3"/>`,
    text(x(intervalMs), y(share) + 18, `goal ${share * 100} %`, `text-anchor="middle" fill="${GOAL_COLOR}"`),
  ]);
  return picture("Throughput under kills", WIDTH, HEIGHT, [
    text(
      LEFT,
      32,
      "Throughput while the driver is killed again and again, beside the undisturbed one",
      'font-size="15" font-weight="bold"',
    ),
    ...grid,
    ...axis,
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "a kill each …", 'text-anchor="middle"'),
    ...goalMarks,
    ...curves.flatMap(({ points }, index) => drawCurve(points, x, y, colorOf(index))),
    ...drawNames(curves, y),
  ]);
}

/** "10 s", "250 ms". */
export function intervalText(ms: number): string {
  return ms >= 1000 ? `${ms / 1000} s` : `${ms} ms`;
}

function drawCurve(
  points: readonly CurvePoint[],
  x: (intervalMs: number) => number,
  y: (share: number) => number,
  color: string,
): string[] {
  const places = points.map(({ intervalMs, share }) => [x(intervalMs).toFixed(1), y(share).toFixed(1)] as const);
  return [
    `<polyline points="${places.map((place) => place.join(",")).join(" ")}" fill="none" stroke="${color}" stroke-width="2"/>`,
    ...places.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="4" fill="${color}"/>`),
  ];
}

/** The name of each curve at its right end, the upper ones moved up where they would cover each other. */
function drawNames(curves: readonly Curve[], y: (share: number) => number): string[] {
  let above = Number.POSITIVE_INFINITY;
  return curves
    .map(({ name, points }, index) => ({ name, index, end: y(points.at(-1)?.share ?? 0) + 4 }))
    .sort((a, b) => b.end - a.end)
    .map(({ name, index, end }) => {
      above = Math.min(end, above - NAME_DISTANCE);
      return text(WIDTH - RIGHT + 12, above, name, `fill="${colorOf(index)}" font-weight="bold"`);
    });
}

function colorOf(index: number): string {
  return COLORS[index % COLORS.length] as string;
}
