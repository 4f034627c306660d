import { z } from "zod";
import { parseSize } from "../block/size.ts";
import type { ArenaLimits } from "../link/shared-arenas.ts";
import { MAX_STRING_BYTES } from "../nbd/wire/protocol.ts";
import type { DeviceLimits } from "../shadow/limits.ts";
import type { Policy } from "../supervisor/policy.ts";
import { DEFAULT_EVERY_MS, DEFAULT_FAILURES, DEFAULT_TIMEOUT_MS } from "./health-check.ts";

/** Timers take no more. */
const MAX_MS = 2 ** 31 - 1;

const milliseconds = z.number().int().positive().max(MAX_MS);
/** Where 0 means that there is no limit, or none of it. */
const countOrZero = z.number().int().min(0);
const millisecondsOrZero = countOrZero.max(MAX_MS);
/** Bytes, as a number or as a text such as 256M. */
const size = sizeFrom(z.number().int().positive());

const limits = z.strictObject({
  pieces: z.number().int().positive(),
  flushShare: z.number().positive().max(1),
  cheapFlushBytes: size,
  flushAgeMs: milliseconds,
  flushRetryMs: milliseconds,
  stallTimeoutMs: milliseconds,
  writeBytes: size,
  readBytes: size,
  digestBytes: size,
} satisfies Record<keyof (DeviceLimits & ArenaLimits), z.ZodType>);

const policy = z.strictObject({
  openTimeoutMs: milliseconds,
  reapTimeoutMs: milliseconds,
  heldTimeoutMs: milliseconds,
  stopTimeoutMs: milliseconds,
  watch: z.boolean(),
  heartbeatTimeoutMs: milliseconds,
  deadlockFloorMs: milliseconds,
  stuckFloorMs: milliseconds,
  deadlineFactor: z.number().min(1),
  deadlineCeilingMs: milliseconds,
  maxResidentBytes: sizeFrom(countOrZero),
  maxOpenFiles: countOrZero,
  maxLagMs: millisecondsOrZero,
  restartDelayMs: milliseconds,
  maxRestartDelayMs: milliseconds,
  restartBudget: countOrZero,
  restartBudgetMs: milliseconds,
  exhausted: z.enum(["held", "failed", "read-only"]),
  poison: z.enum(["error", "fallback"]),
  probationRequests: countOrZero,
  probationMs: millisecondsOrZero,
} satisfies Record<keyof Policy, z.ZodType>);

const driver = z.strictObject({
  spec: z.string().optional(),
  driver: z.string().optional(),
  options: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]).transform(String)).optional(),
});

const health = z.strictObject({
  command: z.string().min(1).optional(),
  module: z.string().min(1).optional(),
  everyMs: milliseconds.default(DEFAULT_EVERY_MS),
  timeoutMs: milliseconds.default(DEFAULT_TIMEOUT_MS),
  failures: z.number().int().positive().default(DEFAULT_FAILURES),
});

const device = z.strictObject({
  name: z
    .string()
    .min(1)
    .refine((name) => Buffer.byteLength(name) <= MAX_STRING_BYTES, `longer than ${MAX_STRING_BYTES} bytes`),
  ...driver.shape,
  /** The short form is a spec. */
  fallback: z.preprocess((value) => (typeof value === "string" ? { spec: value } : value), driver).optional(),
  link: z.enum(["process", "inline"]).optional(),
  readOnly: z.boolean().optional(),
  shared: z.boolean().optional(),
  standby: z.boolean().optional(),
  verify: z.enum(["off", "digests"]).optional(),
  home: z.string().optional(),
  limits: limits.partial().optional(),
  policy: policy.partial().optional(),
  hook: z.string().min(1).optional(),
  health: health.optional(),
});

const tls = z.strictObject({
  mode: z.enum(["off", "on", "required"]).default("required"),
  certificates: z.string().min(1).optional(),
  psk: z.string().min(1).optional(),
  verifyPeer: z.boolean().optional(),
});

/** A configuration file, its keys and values each by itself. */
export const configSchema = z.strictObject({
  devices: z.array(device).min(1),
  listen: z
    .strictObject({
      socket: z.string().min(1).optional(),
      port: z.number().int().min(0).max(65535).optional(),
      host: z.string().min(1).optional(),
    })
    .default({}),
  tls: tls.optional(),
  control: z.string().min(1).optional(),
});

/** Which driver: a spec, or its long form. */
export type DriverEntry = z.infer<typeof driver>;
export type HealthEntry = z.infer<typeof health>;
export type TlsEntry = z.infer<typeof tls>;

/** The keys that may stand at `path`. */
export function knownKeys(path: readonly (string | number)[]): string[] {
  switch (path.at(-1)) {
    case undefined:
      return Object.keys(configSchema.shape);
    case "listen":
      return ["socket", "port", "host"];
    case "tls":
      return Object.keys(tls.shape);
    case "limits":
      return Object.keys(limits.shape);
    case "policy":
      return Object.keys(policy.shape);
    case "fallback":
      return Object.keys(driver.shape);
    case "health":
      return Object.keys(health.shape);
    default:
      return Object.keys(device.shape);
  }
}

function sizeFrom(bytes: z.ZodNumber) {
  return z.union([bytes, z.string()]).transform((value, context) => {
    try {
      return typeof value === "number" ? value : parseSize(value);
    } catch {
      context.addIssue({ code: "custom", message: "no size, such as 256M" });
      return z.NEVER;
    }
  });
}
