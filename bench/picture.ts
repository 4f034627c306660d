import { BASELINE, CASES, compareValue, type Entry, type Kind } from "./cases.ts";
import { picture, text } from "./svg.ts";
import { figure } from "./table.ts";

/*
 * Two columns, memory and file; in each a group of bars for each case, as long as the ratio to nbdkit:
 *
 *   memory                    ¦ nbdkit = 1
 *   4 KiB random read, QD 1   ¦
 *   ████████████ 21,000 IOPS · 0.71
 *   ██████████████████████████¦ 29,600 IOPS · 1.00
 */
const WIDTH = 1040;
const MARGIN = 24;
const COLUMN_GAP = 32;
const HEADER_HEIGHT = 84;
const GROUP_TITLE_HEIGHT = 20;
const BAR_HEIGHT = 15;
const BAR_GAP = 3;
const GROUP_GAP = 12;
/** Room at the end of the longest bar for its label. */
const LABEL_WIDTH = 150;
/** Keeps a label readable where it crosses the dashed line. */
const HALO = 'paint-order="stroke" stroke="#fff" stroke-width="4"';
const COLORS: Readonly<Record<string, string>> = {
  Skink: "#1b62a5",
  "Skink inline": "#8fbce6",
  nbdkit: "#8c8c8c",
  "qemu-nbd": "#d0b47c",
};

/** The picture of a comparison, as SVG. */
export function drawComparison(entries: readonly Entry[]): string {
  const kinds = (["memory", "file"] as const).filter((kind) => entries.some((entry) => entry.kind === kind));
  const columnWidth = (WIDTH - 2 * MARGIN - (kinds.length - 1) * COLUMN_GAP) / Math.max(1, kinds.length);
  const columns = kinds.map((kind, index) =>
    drawColumn(entries, kind, MARGIN + index * (columnWidth + COLUMN_GAP), columnWidth),
  );
  const height = Math.max(HEADER_HEIGHT, ...columns.map((column) => column.bottom)) + MARGIN;
  return picture("Skink beside nbdkit and qemu-nbd", WIDTH, height, [
    text(
      MARGIN,
      32,
      "Throughput beside nbdkit of the same kind (dashed line); longer is better",
      'font-size="17" font-weight="bold"',
    ),
    ...columns.flatMap((column) => column.marks),
  ]);
}

interface Column {
  readonly marks: readonly string[];
  readonly bottom: number;
}

function drawColumn(entries: readonly Entry[], kind: Kind, left: number, width: number): Column {
  const mine = entries.filter((entry) => entry.kind === kind);
  const unitWidth = (width - LABEL_WIDTH) / Math.max(1, ...mine.map((entry) => entry.ratio ?? 0));
  const servers = [...new Set(mine.map((entry) => entry.server))];
  const marks = [text(left, 60, kind, 'font-size="15" font-weight="bold"'), ...drawLegend(servers, left + 80, 60)];
  let y = HEADER_HEIGHT;
  for (const load of CASES) {
    const group = mine.filter((entry) => entry.case === load.id);
    if (group.length === 0) continue;
    marks.push(text(left, y + 13, load.title));
    y += GROUP_TITLE_HEIGHT;
    for (const { server, ratio, summary } of group) {
      const length = Math.max(1, (ratio ?? 0) * unitWidth);
      const compared = ratio === undefined ? "" : ` · ${ratio.toFixed(2)}`;
      const label = `${figure(compareValue(load, summary))} ${load.unit}${compared}`;
      marks.push(
        `<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="${BAR_HEIGHT}" fill="${colorOf(server)}"/>`,
        text(left + length + 6, y + BAR_HEIGHT - 3, label, `${HALO}${server === BASELINE ? ' fill="#666"' : ""}`),
      );
      y += BAR_HEIGHT + BAR_GAP;
    }
    y += GROUP_GAP;
  }
  const mark = (left + unitWidth).toFixed(1);
  // Behind the labels, in front of nothing that needs reading.
  marks.unshift(
    `<line x1="${mark}" y1="${HEADER_HEIGHT}" x2="${mark}" y2="${y - GROUP_GAP}" stroke="#bbb" stroke-dasharray="3 3"/>`,
  );
  return { marks, bottom: y - GROUP_GAP };
}

function drawLegend(servers: readonly string[], left: number, y: number): string[] {
  return servers.flatMap((server, index) => {
    const x = left + index * 105;
    return [`<rect x="${x}" y="${y - 11}" width="12" height="12" fill="${colorOf(server)}"/>`, text(x + 18, y, server)];
  });
}

function colorOf(server: string): string {
  return COLORS[server] ?? "#555";
}
