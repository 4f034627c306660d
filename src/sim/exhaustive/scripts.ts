/** Sectors that a script is about. */
export const SECTORS = 3;

export interface Step {
  readonly kind: "write" | "zero" | "trim" | "flush";
  readonly first: number;
  readonly count: number;
  readonly fua: boolean;
}

/** Every step that there is: each kind of writer on each range, and the flush. */
export const STEPS: readonly Step[] = [
  ...ranges().flatMap(({ first, count }) =>
    (
      [
        { kind: "write", fua: false },
        { kind: "write", fua: true },
        { kind: "zero", fua: false },
        { kind: "trim", fua: false },
      ] as const
    ).map((step) => ({ ...step, first, count })),
  ),
  { kind: "flush", first: 0, count: 0, fua: false },
];

/** How many scripts of so many steps there are. */
export function scriptCount(length: number): number {
  return STEPS.length ** length;
}

/** One of them, by its number. Neighbours begin alike. */
export function scriptAt(length: number, number: number): readonly Step[] {
  const script: Step[] = [];
  for (let left = number; script.length < length; left = Math.floor(left / STEPS.length)) {
    script.unshift(STEPS[left % STEPS.length] as Step);
  }
  return script;
}

/** "write 0+2, FUA write 1+1, flush". */
export function describeScript(script: readonly Step[]): string {
  return script
    .map(({ kind, first, count, fua }) => `${fua ? "FUA " : ""}${kind}${kind === "flush" ? "" : ` ${first}+${count}`}`)
    .join(", ");
}

function ranges(): { first: number; count: number }[] {
  const all: { first: number; count: number }[] = [];
  for (let first = 0; first < SECTORS; first++) {
    for (let count = 1; first + count <= SECTORS; count++) all.push({ first, count });
  }
  return all;
}
