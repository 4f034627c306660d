import type { BlockDevice, Clock, Timer } from "../../shadow/ports.ts";
import { Staging } from "../wire/staging.ts";
import type { Choice } from "./choice.ts";
import type { Exports } from "./exports.ts";
import { Handshake } from "./handshake.ts";
import { DEFAULT_LIMITS, type SessionLimits } from "./limits.ts";
import type { TlsMode } from "./option-verdict.ts";
import { Transmission } from "./transmission.ts";
import type { Transport } from "./transport.ts";

const STAGING_BYTES = 256 << 10;
/** How long a handshake may wait for its next option, to tell the client of the shutdown. */
const SHUTDOWN_GRACE_MS = 200;

export interface SessionPorts {
  readonly transport: Transport;
  readonly exports: Exports;
  readonly clock: Clock;
  /** "off" if left out. */
  readonly tls?: TlsMode;
  readonly limits?: Partial<SessionLimits>;
}

type Phase =
  | { readonly name: "handshake"; readonly handshake: Handshake; readonly timer: Timer }
  | { readonly name: "transmission"; readonly transmission: Transmission }
  | { readonly name: "closed" };

/**
 * The server's side of one connection: from the greeting to the last reply. Synchronous and deterministic; what it
 * does goes out through its ports.
 *
 *      ┌─ STARTTLS
 *      ▼  │
 *   handshake ──EXPORT_NAME, GO──▶ transmission ──DISC, shutdown──▶ closed
 *       └──────────ABORT, timeout, nonsense, hang-up──────────────────▲
 */
export class Session {
  readonly #ports: SessionPorts;
  readonly #limits: SessionLimits;
  #staging = new Staging(STAGING_BYTES);
  #phase: Phase;
  /** The receive buffer that was lent last is memory of a request. */
  #direct = false;

  /** Greets at once. */
  constructor(ports: SessionPorts) {
    this.#ports = ports;
    this.#limits = { ...DEFAULT_LIMITS, ...ports.limits };
    const { transport, exports, tls = "off" } = ports;
    const handshake = new Handshake({
      transport,
      exports,
      staging: this.#staging,
      tls,
      maxOptions: this.#limits.options,
    });
    const timer = ports.clock.after(this.#limits.handshakeTimeoutMs, () => this.#drop());
    this.#phase = { name: "handshake", handshake, timer };
    ports.transport.flush();
  }

  /** Where the next bytes are to be received: borrowed until the next call, never empty while not paused. */
  receiveBuffer(): Uint8Array {
    const direct = this.#phase.name === "transmission" ? this.#phase.transmission.directBuffer() : undefined;
    this.#direct = direct !== undefined;
    if (direct !== undefined) return direct;
    return this.#staging.room(
      this.#phase.name === "transmission" ? this.#phase.transmission.stagingHint : STAGING_BYTES,
    );
  }

  /** `count` bytes, one or more, have been received into the buffer lent last. */
  received(count: number): void {
    if (this.#phase.name === "closed") return;
    if (!this.#direct) this.#staging.filled(count);
    if (this.#phase.name === "transmission") {
      this.#phase.transmission.received(this.#direct ? count : 0);
    } else {
      this.#negotiate();
    }
  }

  /** Whether its client has not chosen an export yet. */
  get inHandshake(): boolean {
    return this.#phase.name === "handshake";
  }

  /** Whether its client keeps memory of `device` for a write whose data has not come on for `ms`. */
  keepsIdle(device: BlockDevice, ms: number): boolean {
    return this.#phase.name === "transmission" && this.#phase.transmission.keepsIdle(device, ms);
  }

  /** The transport's queue has sunk. */
  drained(): void {
    if (this.#phase.name === "transmission") this.#phase.transmission.drained();
  }

  /** The connection is gone. What was parsed runs to its end, without a reply. */
  closed(): void {
    const phase = this.#phase;
    this.#phase = { name: "closed" };
    switch (phase.name) {
      case "handshake":
        return phase.timer.cancel();
      case "transmission":
        return phase.transmission.closed();
      case "closed":
    }
  }

  /**
   * No new requests: SHUTDOWN to options, ESHUTDOWN to commands. The connection is ended when what is in flight has its
   * replies, during a handshake after the next option.
   */
  shutdown(): void {
    if (this.#phase.name === "handshake") {
      const { handshake, timer } = this.#phase;
      handshake.shutdown();
      timer.cancel();
      const grace = this.#ports.clock.after(SHUTDOWN_GRACE_MS, () => this.#drop());
      this.#phase = { name: "handshake", handshake, timer: grace };
      return;
    }
    if (this.#phase.name === "transmission") this.#phase.transmission.shutdown();
  }

  #negotiate(): void {
    if (this.#phase.name !== "handshake") return;
    const { handshake, timer } = this.#phase;
    const outcome = handshake.proceed();
    this.#ports.transport.flush();
    switch (outcome.name) {
      case "more":
        return;
      case "drop":
        return this.#drop();
      case "end":
        timer.cancel();
        this.#phase = { name: "closed" };
        return this.#ports.transport.end();
      case "chosen":
        timer.cancel();
        return this.#transmit(outcome.choice);
      case "startTls":
        return this.#startTls(handshake);
    }
  }

  /** The time limit of the handshake goes on: that of TLS is a part of it. */
  #startTls(handshake: Handshake): void {
    // What came behind the option in plain text may have been put there by anybody.
    if (this.#staging.length > 0) return this.#drop();
    this.#ports.transport.startTls();
    // Nothing that the transport still writes into the buffer lent last is ever taken for decrypted bytes.
    this.#staging = new Staging(STAGING_BYTES);
    handshake.secured(this.#staging);
  }

  #transmit(choice: Choice): void {
    const { transport, clock } = this.#ports;
    const transmission = new Transmission({ transport, clock, limits: this.#limits, staging: this.#staging, choice });
    this.#phase = { name: "transmission", transmission };
    transmission.received(0);
  }

  #drop(): void {
    this.#ports.transport.destroy();
    this.closed();
  }
}
