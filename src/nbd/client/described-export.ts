import { FLAG } from "../wire/protocol.ts";
import type { Agreement } from "./agreement.ts";
import { describeExport, type ExportInfo } from "./export-info.ts";

/** What a client knows of its export: each field of {@link ExportInfo}, as it is now. */
export abstract class DescribedExport implements ExportInfo {
  protected abstract get agreement(): Agreement;

  /** All of it as a plain object. */
  get info(): ExportInfo {
    return describeExport(this.agreement);
  }

  get name(): string {
    return this.agreement.name;
  }

  get description(): string {
    return this.agreement.description;
  }

  get size(): number {
    return this.agreement.size;
  }

  get minimumBlockSize(): number {
    return this.agreement.minimumBlockSize;
  }

  get preferredBlockSize(): number {
    return this.agreement.preferredBlockSize;
  }

  get maximumPayload(): number {
    return this.agreement.maximumPayload;
  }

  get readOnly(): boolean {
    return this.#can(FLAG.READ_ONLY);
  }

  get rotational(): boolean {
    return this.#can(FLAG.ROTATIONAL);
  }

  get canFlush(): boolean {
    return this.#can(FLAG.FLUSH);
  }

  get canFua(): boolean {
    return this.#can(FLAG.FUA);
  }

  get canTrim(): boolean {
    return this.#can(FLAG.TRIM);
  }

  get canZero(): boolean {
    return this.#can(FLAG.WRITE_ZEROES);
  }

  get canFastZero(): boolean {
    return this.#can(FLAG.FAST_ZERO);
  }

  get canCache(): boolean {
    return this.#can(FLAG.CACHE);
  }

  get canResize(): boolean {
    return this.#can(FLAG.RESIZE);
  }

  get canMultiConn(): boolean {
    return this.#can(FLAG.CAN_MULTI_CONN);
  }

  get structured(): boolean {
    return this.agreement.structured;
  }

  get extended(): boolean {
    return this.agreement.extended;
  }

  /** Those that were asked for, and that the export has. */
  get contexts(): readonly string[] {
    return [...this.agreement.contexts.values()];
  }

  /** Whether the server tells holes: base:allocation is among the contexts. */
  get canBlockStatus(): boolean {
    return this.agreement.allocationId !== undefined;
  }

  #can(flag: number): boolean {
    return (this.agreement.flags & flag) !== 0;
  }
}
