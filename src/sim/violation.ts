export type PromiseName =
  | "P1"
  | "P2"
  | "P3"
  | "P4"
  | "P5"
  | "P6"
  | "P7"
  | "P8"
  | "P9"
  | "judge"
  | "errors"
  | "liveness"
  | "core";

/** The world ends here, and no promise is broken: what comes now nobody could have kept Skink from. */
export class WorldsEnd extends Error {}

/** A promise was broken. Ends the world it is thrown in. */
export class Violation extends Error {
  readonly promise: PromiseName;
  /** Where, if it is about a sector. */
  readonly sector: number | undefined;

  constructor(promise: PromiseName, message: string, sector?: number) {
    super(`${promise}: ${message}`);
    this.name = "Violation";
    this.promise = promise;
    this.sector = sector;
  }
}
