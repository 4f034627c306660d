import { pino } from "pino";
import type { Log } from "../shadow/ports.ts";

export const LOG_LEVELS = ["info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogOptions {
  readonly level: LogLevel;
  /** One JSON object a line, for machines; else a line for people. */
  readonly json: boolean;
}

/** Bytes of log that wait for a slow reader of stderr. What comes on top is dropped: a log never stops the I/O. */
const MAX_WAITING_BYTES = 1 << 20;

/** The log of a front: its own lines, and what drivers print. On stderr. `flush` writes out what waits, for the end. */
export function createLog(options: LogOptions): Log & { flush(): void } {
  const stderr = pino.destination({ fd: 2, sync: false, maxLength: MAX_WAITING_BYTES });
  // A full disk costs lines, not the front.
  let broken = false;
  stderr.on("error", () => {
    broken = true;
  });
  const settings = { level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime };
  const destination = options.json ? stderr : { write: (line: string) => stderr.write(forPeople(line)) };
  const logger = pino({ ...settings, formatters: { level: (label) => ({ level: label }) } }, destination);
  return {
    info: (message) => logger.info(message),
    warn: (message) => logger.warn(message),
    error: (message) => logger.error(message),
    flush: () => {
      // It tries for ever otherwise.
      if (!broken) stderr.flushSync();
    },
  };
}

/** A log that nobody reads. */
export const silentLog: Log = { info: () => {}, warn: () => {}, error: () => {} };

/** "10:59:10.123 warn  disk: epoch 7 is given up: …" */
function forPeople(line: string): string {
  const { time, level, msg } = JSON.parse(line) as { time: string; level: string; msg: string };
  return `${time.slice(11, 23)} ${level.padEnd(5)} ${msg}\n`;
}
