import { durationUs } from "../../block/options.ts";

/** Draws how long one call takes, in milliseconds. */
export type Latency = () => number;

interface Distribution {
  /** How its parameters are written, for people. */
  readonly form: string;
  /** Of its parameters, in milliseconds, if they make sense. */
  make(first: number, second: number): Latency | undefined;
  readonly parameters: 1 | 2;
}

const DISTRIBUTIONS: Readonly<Record<string, Distribution>> = {
  uniform: {
    form: "uniform:50us,150us (from, to)",
    parameters: 2,
    make: (from, to) => (from > to ? undefined : () => from + Math.random() * (to - from)),
  },
  normal: {
    form: "normal:100us,20us (mean, standard deviation; never below 0)",
    parameters: 2,
    make: (mean, deviation) => () => Math.max(0, mean + deviation * standardNormal()),
  },
  exponential: {
    form: "exponential:100us (mean)",
    parameters: 1,
    make: (mean) => () => -mean * Math.log(1 - Math.random()),
  },
  lognormal: {
    form: "lognormal:100us,5ms (median, 99th percentile)",
    parameters: 2,
    make: (median, p99) =>
      median === 0 || p99 < median
        ? undefined
        : () => median * Math.exp((Math.log(p99 / median) / STANDARD_NORMAL_P99) * standardNormal()),
  },
};
const STANDARD_NORMAL_P99 = 2.326_347_874;
const KNOWN = `a time such as 100us, ${Object.values(DISTRIBUTIONS)
  .map(({ form }) => form)
  .join(", ")} was wanted`;

/** No time at all. */
export const NO_LATENCY: Latency = () => 0;

/** Reads "100us", the same for all calls, or a distribution such as "uniform:50us,150us". */
export function parseLatency(text: string): Latency {
  const [, name, parameters = text] = /^([a-z]+):(.*)$/s.exec(text) ?? [];
  if (name === undefined) return constant(text);
  const distribution = Object.hasOwn(DISTRIBUTIONS, name) ? DISTRIBUTIONS[name] : undefined;
  if (distribution === undefined) throw new Error(`it is ${JSON.stringify(text)}, ${KNOWN}`);
  const times = parameters.split(",").map((part) => durationUs(part) / 1000);
  const [first = 0, second = 0] = times;
  const latency = times.length === distribution.parameters ? distribution.make(first, second) : undefined;
  if (latency === undefined) throw new Error(`it is ${JSON.stringify(text)}, ${distribution.form} was wanted`);
  return latency;
}

function constant(text: string): Latency {
  const ms = durationUs(text) / 1000;
  return ms === 0 ? NO_LATENCY : () => ms;
}

/** Box and Muller, "A note on the generation of random normal deviates". */
function standardNormal(): number {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
