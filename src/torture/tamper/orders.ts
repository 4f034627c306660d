import type { Fault, WireFault } from "../plan.ts";

/** What tampered-driver.ts is told by an option beside the driver's own, as JSON. */
export interface DriverOrders {
  readonly fault: Fault;
  /** The real driver's file URL. */
  readonly module: string;
  /** For {@link Strikes}. */
  readonly folder: string;
  /** A path: what is loaded in place of the file that a fault of the code is in. Empty for other faults. */
  readonly changed: string;
}

/** What relay.ts is told by its one argument: see {@link encodeArgument}. */
export interface RelayOrders {
  readonly fault: WireFault;
  /** The line for the shell that starts the server, with SOCKET_PLACE in it. */
  readonly command: string;
  /** For {@link Strikes}. */
  readonly folder: string;
}

/** The option's name: none that a driver would choose. */
export const TAMPER_OPTION = "skink-tamper";

/** One word for a shell, whatever is in it. */
export function encodeArgument(orders: RelayOrders): string {
  return Buffer.from(JSON.stringify(orders)).toString("base64url");
}

export function decodeArgument(word: string): RelayOrders {
  return JSON.parse(Buffer.from(word, "base64url").toString()) as RelayOrders;
}
