/** A program that works on a disk in steps, and can tell afterwards what of them is there. */
export interface Workload {
  /**
   * Works in `place`: a folder, or the NBD URI of a disk. `acknowledge` is called when a step has said that it is durable, step 0 when
   * all is made ready; the next step begins when it has resolved.
   */
  run(place: string, acknowledge: (step: number) => Promise<void>): Promise<void>;
  /** Throws where not all is there of the steps up to `acknowledged`, or anything but the whole next one beside. */
  check(place: string, acknowledged: number): Promise<void>;
}

/** What stores of keys are made to do: few keys, many puts. */
export const PUTS = 5;
const KEYS = 2;
/** More than a sector. */
const VALUE_BYTES = 1500;

export interface Put {
  readonly key: string;
  readonly value: string;
}

/** Of steps from 1 on. */
export function putOf(step: number): Put {
  return { key: `key ${step % KEYS}`, value: `value ${step}, `.padEnd(VALUE_BYTES, `${step}`) };
}

/** Throws where a key has neither its newest acknowledged value nor one of the put that was under way. */
export function checkPuts(get: (key: string) => string | undefined, acknowledged: number): void {
  const steps = Array.from({ length: acknowledged }, (_, index) => putOf(index + 1));
  for (let number = 0; number < KEYS; number++) {
    const key = `key ${number}`;
    const newest = steps.findLast((put) => put.key === key)?.value;
    const next = putOf(acknowledged + 1);
    const found = get(key);
    if (found === newest || (next.key === key && found === next.value)) continue;
    throw new Error(`${key} has ${shown(found)}, put ${acknowledged} was acknowledged: ${shown(newest)} was wanted`);
  }
}

function shown(value: string | undefined): string {
  return value === undefined ? "no value" : JSON.stringify(value.replace(/, .*$/s, ""));
}
