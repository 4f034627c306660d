import type { Errno } from "../block/errors.ts";
import { blameOf } from "../block/fault.ts";
import type { SeededRandom } from "../block/random.ts";
import { isWriter, type RequestKind } from "../block/request.ts";
import type { DeviceEvent } from "../supervisor/event.ts";
import { DEFAULT_POLICY } from "../supervisor/policy.ts";
import type { VirtualClock } from "./clock.ts";
import type { Counts, FrontCounts } from "./counts.ts";
import { Court } from "./court.ts";
import { Excuses } from "./excuses.ts";
import type { Fates } from "./fates.ts";
import type { Entry, History } from "./history.ts";
import { Lies } from "./lies.ts";
import { MarkWatcher } from "./mark-watcher.ts";
import type { Profile } from "./profile.ts";
import type { Sickness } from "./sickness.ts";
import type { SimDriver } from "./sim-driver.ts";
import type { SimFront } from "./sim-front.ts";
import { Violation, WorldsEnd } from "./violation.ts";
import { Watchdog } from "./watchdog.ts";
import type { Witness } from "./watched-device.ts";

export interface WitnessesPorts {
  readonly profile: Profile;
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly fates: Fates;
  readonly history: History;
  /** The one that lives, if one does. */
  front(): SimFront | undefined;
  /** Off: drivers are well from here on. */
  faults(): boolean;
  /** The newest incarnation. */
  driver(): SimDriver | undefined;
}

/** All who look whether sickness is found, cured, and not seen where there is none. */
export class Witnesses implements Witness {
  readonly lies: Lies | undefined;
  readonly court: Court;
  readonly watchdog: Watchdog;
  readonly excuses: Excuses;
  readonly marks: MarkWatcher;
  readonly #ports: WitnessesPorts;
  readonly #seen = { excess: 0, lies: 0, fallbacks: 0, readOnly: 0, held: 0, failed: 0 };

  constructor(ports: WitnessesPorts) {
    const { profile, clock, random, fates, history } = ports;
    const { sickness, blockSize, sectors } = profile;
    const { signs, lies } = sickness;
    this.#ports = ports;
    this.lies = lies === undefined ? undefined : new Lies(lies, random, fates, history, sectors);
    this.court = new Court(blockSize, isPoisonAlone(profile) && killsSurely(sickness));
    const isLastChance = (): boolean => ports.front()?.device.inFlight?.lastChance ?? false;
    this.watchdog = new Watchdog(clock, signs.beats && signs.vitals, isLastChance);
    const trouble = (): string | undefined => ports.front()?.device.trouble;
    this.excuses = new Excuses({ history, court: this.court, lies: this.lies, trouble });
    this.marks = new MarkWatcher(blockSize, sectors, () => ports.front());
  }

  get counts(): Omit<Counts, "upgrades" | "rollbacks" | keyof FrontCounts> {
    const { guilty, pieces, unlucky } = this.court;
    const hangs = Object.values(this.watchdog.found).reduce((sum, count) => sum + count, 0);
    return { hangs, poison: guilty, pieces, unlucky, ...this.#seen };
  }

  // ── What goes in and out of the device ──────────────────────────────────────────────────────────────────────────

  asked(entry: Entry): void {
    this.court.asked(entry);
    this.marks.asked(entry);
    this.excuses.look();
  }

  waits(writer: boolean): void {
    this.marks.waits(writer);
  }

  abandons(kind: RequestKind): void {
    this.marks.abandons(kind);
  }

  answers(entry: Entry, errno: Errno): void {
    this.excuses.look();
    this.marks.answers(entry, errno);
    if (!isWriter(entry.kind)) return;
    if (errno === 0) this.lies?.acknowledged(entry);
    else this.lies?.failed(entry);
  }

  /** What it knew of its drivers and requests is gone, and nobody can be held to it. */
  frontDied(): void {
    this.court.frontDied();
    this.lies?.frontDied();
    this.watchdog.absolve();
  }

  /** What the supervisor tells of itself. */
  event(event: DeviceEvent): void {
    const { profile, history, faults } = this.#ports;
    this.excuses.event(event);
    this.marks.event(event);
    switch (event.type) {
      case "live":
        return this.watchdog.absolve();
      case "fault":
        return this.#fault(event);
      case "convicted":
        this.watchdog.absolve();
        return this.court.convicted(event, history.events);
      case "fallback":
        this.#seen.fallbacks++;
        return;
      case "read-only":
        this.#seen.readOnly++;
        return;
      case "held":
        this.#seen.held++;
        return this.court.held(event.reason);
      case "failed":
        if (this.lies === undefined) {
          if (profile.sickness.policy.exhausted === "failed") this.#seen.failed++;
        } else if (!faults()) {
          // A store that lies about most of what it is known by is another one.
          throw new WorldsEnd();
        }
        return;
      case "lie":
        this.#seen.lies++;
        if (this.lies === undefined) throw new Violation("judge", `${event.reason}, and nobody had lied`);
    }
  }

  #fault({ epoch, fault }: Extract<DeviceEvent, { type: "fault" }>): void {
    const driver = this.#ports.driver();
    if (driver?.epoch !== epoch) throw new Violation("core", `a fault of epoch ${epoch}, which is not the last one`);
    this.court.died(blameOf(fault), driver.outstanding);
    this.watchdog.fault(driver, fault);
    const { excess } = driver.process;
    if ((fault === "memory" || fault === "files" || fault === "lag") && fault !== excess)
      throw new Violation("judge", `epoch ${epoch} is given up for too much ${fault}, and takes no more than it may`);
    if (fault === excess) this.#seen.excess++;
  }
}

/** Whether nothing but poison kills. */
export function isPoisonAlone({ driver, sickness }: Profile): boolean {
  const { poison, hang, excess, operator, newcomer, fallback } = sickness;
  if (
    poison === undefined ||
    hang > 0 ||
    excess !== undefined ||
    operator ||
    newcomer !== undefined ||
    fallback !== undefined
  )
    return false;
  if (driver.reapMs > DEFAULT_POLICY.reapTimeoutMs / 2) return false;
  return (
    driver.crash === 0 &&
    driver.crashInOpen === 0 &&
    driver.openFails === 0 &&
    driver.openHangs === 0 &&
    driver.bogus === 0
  );
}

/** Whether, when it does, it shows that nobody else was the cause. */
function killsSurely({ poison, deaths, signs }: Sickness): boolean {
  if (poison?.effect === "loop") return signs.beats && signs.vitals;
  return poison?.effect === "crash" && deaths.every((kind) => blameOf(kind) === "requests");
}
