import { OUTCOMES, type Outcome } from "../plan.ts";
import { figure } from "./figures.ts";
import type { Group, OutcomeTable } from "./summary.ts";
import { inlinePicture, text } from "./svg.ts";

/*
 *   code                                 500 trials
 *   ▒▒▒▒▒▒▒▒▒░░░░░░█████████████████████▓▓▓▓▓▓▓▓▓
 *     dropped-await                      120 trials
 *     ▒▒▒▒░░░░░░░░░░░██████████████████████▓▓▓▓▓▓
 *
 * Names stand above their bars, so that the picture can be read on a phone.
 */
const WIDTH = 400;
const INDENT = 12;
const TITLE_HEIGHT = 15;
const BAR_HEIGHT = 13;
const BAR_GAP = 8;
/** What there is at all can be seen: one silent loss among thousands of trials is what the picture is for. */
const MIN_PART_WIDTH = 3;

/** How the faults of one persistence ended: a bar for all, each tier and each kind, of as many parts as there are outcomes. */
export function drawOutcomes({ persistence, groups }: OutcomeTable): string {
  let y = 0;
  const marks = groups.flatMap((group) => {
    const drawn = drawGroup(group, y);
    y += TITLE_HEIGHT + BAR_HEIGHT + BAR_GAP;
    return drawn;
  });
  return inlinePicture(`Outcomes of ${persistence} faults`, WIDTH, y, marks);
}

/** The class by which the page's style sheet knows an outcome's colour. */
export function classOf(outcome: Outcome): string {
  return `o-${outcome.replaceAll(" ", "-")}`;
}

function drawGroup({ name, level, trials, outcomes }: Group, top: number): string[] {
  const left = level === "kind" ? INDENT : 0;
  const widths = partWidths(outcomes, trials, WIDTH - left);
  let x = left;
  const parts = OUTCOMES.map((outcome, index) => {
    const width = widths[index] ?? 0;
    const at = x;
    x += width;
    if (width === 0) return "";
    const place = `x="${at.toFixed(1)}" y="${top + TITLE_HEIGHT}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}"`;
    return `<rect class="${classOf(outcome)}" ${place}><title>${outcome}: ${figure(outcomes[outcome])}</title></rect>`;
  });
  return [
    text(left, top + TITLE_HEIGHT - 4, name, level === "kind" ? "" : 'font-weight="bold"'),
    text(WIDTH, top + TITLE_HEIGHT - 4, figure(trials), 'class="dim" text-anchor="end"'),
    ...parts,
  ];
}

/** In the order of the outcomes. What is widened is taken from the others, each according to what it has. */
function partWidths(outcomes: Readonly<Record<Outcome, number>>, trials: number, width: number): number[] {
  const raw = OUTCOMES.map((outcome) => (trials === 0 ? 0 : (outcomes[outcome] / trials) * width));
  const isSmall = (part: number): boolean => part > 0 && part < MIN_PART_WIDTH;
  const small = raw.filter(isSmall);
  const large = width - small.reduce((sum, part) => sum + part, 0);
  const scale = large === 0 ? 1 : (width - small.length * MIN_PART_WIDTH) / large;
  return raw.map((part) => (isSmall(part) ? MIN_PART_WIDTH : part * scale));
}
