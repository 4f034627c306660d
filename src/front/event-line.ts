import type { FrontEvent, StreamedEvent } from "./events.ts";

/** The longest of the types. */
const TYPE_WIDTH = "read-only".length;

/**
 * A line for people. `deviceWidth`: of the column for the device's name, in characters. Times are in UTC, as in the log.
 *
 *   17:02:11.204  disk  fault      epoch 7  volatile.ts  endless-loop: its event loop does not turn
 */
export function eventLine(event: StreamedEvent, deviceWidth: number): string {
  if (event.type === "missed") return `… ${event.count} ${event.count === 1 ? "event is" : "events are"} missing here`;
  const { time, device, type, epoch, driver } = event;
  const columns = [time.slice(11, 23), device.padEnd(deviceWidth), type.padEnd(TYPE_WIDTH), `epoch ${epoch}`, driver];
  return [...columns, detail(event)].join("  ").trimEnd();
}

function detail(event: FrontEvent): string {
  const { reason } = event;
  switch (event.type) {
    case "live":
      return event.recovery === undefined ? reason : `${reason} (after ${event.recovery.totalMs.toFixed(1)} ms)`;
    case "fault":
      return `${event.fault}: ${reason}`;
    case "restart":
      return event.delayMs === 0 ? reason : `${reason} (in ${Math.ceil(event.delayMs)} ms)`;
    case "stopped":
      return event.clean ? reason : `not cleanly: ${reason}`;
    // Of these the reason says all that the event has in figures.
    case "suspects":
    case "convicted":
    case "lie":
    case "reaped":
    case "fallback":
    case "read-only":
    case "held":
    case "failed":
    case "upgrade":
    case "upgraded":
    case "rollback":
      return reason;
  }
}
